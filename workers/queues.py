"""What waits on the broker: read, never changed. What it means for a row is the sweeper's business."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import structlog
from kombu.exceptions import LimitExceeded, OperationalError
from redis import Redis
from redis.exceptions import RedisError

from shared.broker import CONNECT_TIMEOUT
from workers.app import app

LOOK_AT = 60
"""Messages at the front of a queue: enough to find one whose row still waits, also among repeats and questions.

The questions of two sweeps (`claim_polls.AT_ONCE`) may stand before it.
"""

_AWAY = (OperationalError, LimitExceeded, RedisError, OSError)

log = structlog.get_logger()


def oldest_row_ids(queue: str) -> list[UUID]:
    """Return the rows of the messages that have waited longest; none when the broker does not say."""
    try:
        with _redis() as redis:
            front = cast("list[bytes]", redis.lrange(queue, -LOOK_AT, -1))  # they come in at the other end
    except _AWAY as error:
        log.warning("queue_not_seen", queue=queue, error=type(error).__name__)
        return []
    return [row_id for row_id in map(_row_id, front) if row_id is not None]


def is_empty(queue: str) -> bool:
    """Tell whether no message waits in a queue; true when the broker does not say."""
    try:
        with _redis() as redis:
            return not redis.llen(queue)
    except _AWAY as error:
        log.warning("queue_not_seen", queue=queue, error=type(error).__name__)
        return True


@contextmanager
def _redis() -> Iterator[Redis]:
    """Give a connection that is kept: queues are looked at before and after steps."""
    with app.pool.acquire(block=True, timeout=CONNECT_TIMEOUT) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT)
        yield cast("Redis", connection.default_channel.client)


def _row_id(message: bytes) -> UUID | None:
    """Return the id that a message of ours carries; of anybody else's, nothing."""
    try:
        document: Any = json.loads(message)
        return UUID(json.loads(_body(document))[0][0])
    except (ValueError, TypeError, KeyError, IndexError):
        return None


def _body(document: Any) -> str | bytes:
    body = document["body"]
    is_encoded = document["properties"].get("body_encoding") == "base64"
    return base64.b64decode(body) if is_encoded else str(body)
