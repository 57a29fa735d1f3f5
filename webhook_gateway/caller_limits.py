"""How many requests a second a caller may make under /v1, counted in Redis for all web processes together.

It guards against a program that runs wild. No request fails or waits because of it: without Redis nobody is counted.
"""

import logging
import time
from threading import Lock
from typing import Any

import structlog
from flask import Flask, Response
from flask_limiter import Limiter, RateLimitExceeded
from limits.storage import RedisStorage
from redis.exceptions import RedisError

from shared import broker
from shared.config import WebSettings
from shared.problems import problem
from webhook_gateway import auth, problems

TIMEOUT = 0.25
"""Seconds that a request waits for Redis at most; it answers in less than one thousandth of that."""
ASIDE_SECONDS = 5.0
"""For which Redis is not asked again once it did not answer."""
RETRY_AFTER = 1
"""Seconds. A caller's allowance is renewed each second."""
TOLD_EVERY = 60.0
"""Seconds between two log lines about the same caller: what runs wild is refused hundreds of times a second."""

log = structlog.get_logger()


class OpenStorage(RedisStorage):
    """Counts in Redis; where Redis is away or hangs, nothing is counted and everyone may pass.

    One request asks at a time, so that a process holds one connection: small plans of Redis allow twenty in all.
    """

    STORAGE_SCHEME = ["cfar-redis"]  # noqa: RUF012 - read by the library's registry of storages

    def __init__(self, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self._turn = Lock()
        self._aside_until = 0.0

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Return how many there are with this one; 0 where Redis does not tell.

        While one request finds out that Redis hangs, the others wait no longer than it does.
        """
        if not self._turn.acquire(timeout=TIMEOUT):
            return 0
        try:
            is_aside = time.monotonic() < self._aside_until
            return 0 if is_aside else super().incr(key, expiry, amount)
        except (RedisError, OSError) as error:
            self._aside_until = time.monotonic() + ASIDE_SECONDS
            log.warning("caller_limits_off", error=type(error).__name__, next=f"tried again in {ASIDE_SECONDS:.0f} s")
            return 0
        finally:
            self._turn.release()


def register(app: Flask, settings: WebSettings) -> None:
    """Count what known callers ask for; call it after `auth.register`, which finds out who they are."""
    per_second = settings.caller_rate_limit
    if not per_second:
        return
    redis = broker.redis_client(settings, timeout=TIMEOUT)
    limiter = Limiter(
        auth.caller,
        application_limits=[f"{per_second}/second"],
        strategy="fixed-window",  # one command, and no clock but that of Redis
        storage_uri=f"{OpenStorage.STORAGE_SCHEME[0]}://",
        storage_options={"connection_pool": redis.connection_pool, "key_prefix": "cfar:requests"},
    )
    limiter.request_filter(lambda: not auth.is_guarded())
    limiter.init_app(app)
    logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # it has a line for each refusal
    told = _Told()

    def refuse(_exceeded: RateLimitExceeded) -> Response:
        caller = auth.caller()
        if told.is_due(caller):
            log.warning("caller_limited", caller=caller, per_second=per_second)
        detail = f"{caller!r} may make {per_second} requests a second. Wait as long as Retry-After says, then go on."
        return problems.render(problem("too-many-requests", detail), {"Retry-After": str(RETRY_AFTER)})

    app.register_error_handler(RateLimitExceeded, refuse)


class _Told:
    """When each caller was last logged."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def is_due(self, caller: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(caller, -TOLD_EVERY) < TOLD_EVERY:
            return False
        self._last[caller] = now
        return True
