"""Small facts kept in Redis that may be gone at any moment: where a check goes on, when it last ended.

Nothing may depend on them but speed and an alarm; what must last is a row.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from shared.broker import CONNECT_TIMEOUT

KEPT_FOR = 7 * 24 * 3600
"""Seconds. What nobody writes any more goes by itself."""

CHECK_ENDED = "check.ended"
"""When the invariants were last checked to the end, in whole seconds since 1970."""

_AWAY = (OperationalError, RedisError, OSError)
PREFIX = "cfar."

log = structlog.get_logger()


def remember(app: Celery, facts: Mapping[str, str]) -> None:
    """Keep these facts if Redis takes them."""
    try:
        with connected(app) as client:
            for name, value in facts.items():
                client.set(PREFIX + name, value, ex=KEPT_FOR)
    except _AWAY as error:
        log.warning("facts_not_kept", names=sorted(facts), error=type(error).__name__)


def recall(app: Celery, *names: str) -> dict[str, str]:
    """Return what is still known of these facts; nothing when Redis does not say."""
    try:
        with connected(app) as client:
            found = client.mget([PREFIX + name for name in names])
    except _AWAY as error:
        log.warning("facts_not_recalled", names=list(names), error=type(error).__name__)
        return {}
    return {name: value.decode() for name, value in zip(names, found, strict=True) if value is not None}


@contextmanager
def connected(app: Celery) -> Iterator[Any]:
    """Give a client of the broker's Redis; raises what kombu and redis raise when it is away."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT)
        yield connection.default_channel.client
