"""Fair turns for SQLite's writers, across processes.

SQLite's own waiting is a lottery in which whoever waits longest draws least often: with twelve busy writers some wrote
once in 15 s. Here one writer at a time waits for the database, and the others wait for that place.
"""

import fcntl
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import TimeoutError as TookTooLong

LOOK_EVERY = 0.002
"""Seconds; about as long as one write takes."""


@contextmanager
def turn(database: str, *, patience: float) -> Iterator[None]:
    """Hold the place of the next writer; raise SQLAlchemy's TimeoutError after `patience` seconds.

    Held only until the write has begun, and given back by the system when its holder dies.
    """
    until = time.monotonic() + patience
    with Path(f"{database}-turn").open("ab") as place:
        while True:
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise TookTooLong(
                        f"no turn to write to {database} within {patience:g} s; nothing was begun"
                    ) from None
                time.sleep(LOOK_EVERY * (0.5 + random.random()))  # noqa: S311 - spreads looks, hides nothing
        yield
