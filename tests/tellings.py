"""Which tellings of each test a run has time for.

A test may be told on both databases, and a story for each way in which XCover may treat our keys. With EVERY_TELLING in
the environment all are told (`make test-all`). Else a story is told on PostgreSQL with keys honoured, and every second
in one of its other ways; any other test on PostgreSQL, and every fourth on SQLite. Its name decides, so each run is
the same.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import pytest

POSTGRESQL, SQLITE = DATABASES = ("postgresql", "sqlite")
HONOURED, *_ = KEY_MODES = ("honoured", "ignored", "storing_errors")
OTHERS = ((POSTGRESQL, "ignored"), (POSTGRESQL, "storing_errors"), (SQLITE, None), (SQLITE, None), *[None] * 4)
"""Which other way a story is told in, by a number made of its name."""
TELLS_ALL = bool(os.environ.get("EVERY_TELLING"))


@dataclass(frozen=True)
class Telling:
    """A test's name without the words of the way in which it is told, and that way."""

    story: str
    database: str
    key_mode: str | None
    """None for what the insurer is no part of, and on SQLite, which knows nothing of keys."""


def left_out(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Return the tests that this run does not tell. Those told in one way only, and those about keys, always are."""
    if TELLS_ALL:
        return set()
    found = {item: telling for item in items if (telling := _telling(item)) is not None}
    on_postgresql = {telling.story for telling in found.values() if telling.database == POSTGRESQL}
    return {item for item, telling in found.items() if telling.story in on_postgresql and not _is_told(item, telling)}


def _is_told(item: pytest.Item, telling: Telling) -> bool:
    is_about_keys = item.get_closest_marker("key_mode") is not None
    if telling.database == POSTGRESQL and (is_about_keys or telling.key_mode in {HONOURED, None}):
        return True
    number = crc32(telling.story.encode()) % len(OTHERS)
    return (telling.database, telling.key_mode) == OTHERS[number]


def _telling(item: pytest.Item) -> Telling | None:
    callspec = getattr(item, "callspec", None)
    values = [value for value in callspec.params.values() if isinstance(value, str)] if callspec else []
    database = next((value for value in values if value in DATABASES), None)
    if database is None:
        return None
    key_mode = next((value for value in values if value in KEY_MODES), None)
    head, _, ways = item.nodeid.partition("[")
    words = [word for word in ways.removesuffix("]").split("-") if word not in {database, key_mode}]
    return Telling(f"{head}[{'-'.join(words)}]", database, key_mode if database == POSTGRESQL else None)
