"""Callers' seconds, for tests of how much a caller may ask: one stays open until a test begins the next."""

from typing import Any

from redis import Redis
from werkzeug.test import TestResponse

from tests.gateway import SHOP, Gateway
from tests.recording import RecordingDatabase

PER_SECOND = 3
COUNTED = "cfar:requests:*"
PATIENT = 30.0
"""Seconds that a request waits for Redis where it does answer: a machine with much to do is no Redis that hangs."""


def limited(database: RecordingDatabase, redis_url: str, **settings: Any) -> Gateway:
    """Return a gateway whose callers may make few requests a second."""
    return Gateway(database, **{"redis_url": redis_url, "caller_rate_limit": PER_SECOND, **settings})


def next_second(redis: Redis) -> None:
    """End the second that each caller is in."""
    for key in redis.scan_iter(COUNTED):
        redis.delete(key)


def first_request(gateway: Gateway, redis: Redis, *, token: str = SHOP) -> None:
    """Begin a second for a caller, and keep it open."""
    known = set(redis.scan_iter(COUNTED))
    for _ in range(100):
        assert gateway.get("", token=token).status_code == 200
        began = set(redis.scan_iter(COUNTED)) - known
        if began and redis.persist(began.pop()):
            return
    raise AssertionError("a second ends before it can be kept open")


def exhausted(gateway: Gateway, redis: Redis, *, token: str = SHOP) -> None:
    """Let a caller use up what it may."""
    first_request(gateway, redis, token=token)
    for _ in range(PER_SECOND - 1):
        assert gateway.get("", token=token).status_code == 200


def is_refused(answer: TestResponse) -> bool:
    """Tell whether it was one request too many."""
    return answer.status_code == 429
