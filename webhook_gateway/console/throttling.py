"""How often signing in may fail: per address, and in all. Counted in Redis for all web processes together.

Unlike the limit of callers it never opens: while Redis is away, each process counts by itself.
"""

import time
from collections.abc import Callable
from functools import partial

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from shared import broker
from shared.config import WebSettings

PER_ADDRESS = RateLimitItemPerMinute(10, 5)
IN_ALL = RateLimitItemPerMinute(100, 5)
"""Far more than people mistype in five minutes, and far less than guessing needs."""
TIMEOUT = 0.25
"""Seconds that signing in waits for Redis at most."""
ASIDE_SECONDS = 5.0
"""For which Redis is not asked again once it did not answer."""

log = structlog.get_logger()


class Throttle:
    """Counts failures to sign in."""

    def __init__(self, settings: WebSettings) -> None:
        redis = broker.redis_client(settings, timeout=TIMEOUT)
        url = settings.redis_url.get_secret_value()
        shared = RedisStorage(url, connection_pool=redis.connection_pool, key_prefix="cfar:sign-in")
        self._shared = FixedWindowRateLimiter(shared)
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._aside_until = 0.0

    def is_shut(self, address: str) -> bool:
        """Tell whether too much has failed lately, from there or in all."""
        return not all(self._test(item, who) for item, who in _counted(address))

    def note_failure(self, address: str) -> None:
        """Count one more."""
        for item, who in _counted(address):
            self._own.hit(item, who)
            self._asked(partial(self._shared.hit, item, who))

    def _test(self, item: RateLimitItem, who: str) -> bool:
        if not self._own.test(item, who):
            return False
        answer = self._asked(partial(self._shared.test, item, who))
        return True if answer is None else answer

    def _asked(self, ask: Callable[[], bool]) -> bool | None:
        if time.monotonic() < self._aside_until:
            return None
        try:
            return ask()
        except (RedisError, OSError) as error:
            self._aside_until = time.monotonic() + ASIDE_SECONDS
            log.warning("sign_in_counted_alone", error=type(error).__name__, next="Redis is asked again soon")
            return None


def _counted(address: str) -> tuple[tuple[RateLimitItem, str], ...]:
    return (PER_ADDRESS, address), (IN_ALL, "everyone")
