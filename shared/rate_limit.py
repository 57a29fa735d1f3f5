"""One schedule of requests per partner, kept in Redis and shared by all workers: evenly spaced, never a burst.

Redis holds only when the next request may leave. Wiped, it begins anew with now; away, each process keeps to its share
of the rate by its own clock.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

import structlog
from redis.exceptions import RedisError

from shared import clock

HEADROOM = 0.97
"""Of the allowed rate: requests spaced evenly when they leave arrive unevenly, and one too many is answered 429."""
IN_STEP_PATIENCE = 5.0
"""Seconds for which a step in the middle of its work waits for its next request's turn, twice at most."""
ASIDE_SECONDS = 5.0
"""For which Redis is not asked again once it did not answer."""
TIMEOUT = 0.5
SEEN_SECONDS = 60
"""For which a process counts as one of those that share the rate."""

_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[5]
redis.call('ZADD', KEYS[2], time[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] - ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local sharing = redis.call('ZCARD', KEYS[2])
if at - now > tonumber(ARGV[2]) then return {0, at - now, sharing} end
local free = at + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', math.ceil((free - now) / 1000) + 1000)
return {1, at - now, sharing}
"""
_PAUSE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[2]
local at = math.max(now + ARGV[1], tonumber(redis.call('GET', KEYS[1]) or 0))
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
"""

log = structlog.get_logger()

_is_prepaid: ContextVar[bool] = ContextVar("request_is_prepaid", default=False)


class TurnTooLate(Exception):
    """The next free place in the schedule is further away than asked for; `seconds` says how far."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the insurer's rate limit leaves no turn for {seconds:.1f} s")
        self.seconds = seconds


class RateLimit:
    """A partner's allowance of requests a second. Thread-safe; make it after any fork."""

    def __init__(
        self,
        redis: Any,
        *,
        partner: str,
        per_second: float,
        process: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`process` names this process among those that share the rate."""
        self.interval = 1 / (per_second * HEADROOM)
        """Seconds between two requests."""
        self._keys = [f"cfar:rate:{partner}", f"cfar:rate:{partner}:processes"]
        self._process = process
        self._reserve = redis.register_script(_RESERVE)
        self._pause = redis.register_script(_PAUSE)
        self._sleep = sleep
        self._lock = Lock()
        self._sharing = 1
        self._own_next = 0.0
        self._aside_until = 0.0

    def wait_for_turn(self, *, within: float) -> None:
        """Reserve the next place in the schedule and wait for it; raise TurnTooLate when it is further away."""
        wait = self._reserved(within)
        if wait > 0:
            self._sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nothing more leave for so long: the insurer has said that it is too much."""
        with self._lock:
            self._own_next = max(self._own_next, _now() + seconds)
        self._asked(self._pause, self._keys[:1], [round(seconds * 1e6), _shift()])

    @contextmanager
    def prepaid(self) -> Iterator[None]:
        """Let the first request inside the block leave at once: its turn has been waited for."""
        token = _is_prepaid.set(True)
        try:
            yield
        finally:
            _is_prepaid.reset(token)

    def before_request(self) -> None:
        """Wait for a request's turn, unless that has been done; raise TurnTooLate after `IN_STEP_PATIENCE`."""
        if _is_prepaid.get():
            _is_prepaid.set(False)
            return
        self.wait_for_turn(within=IN_STEP_PATIENCE)

    def _reserved(self, within: float) -> float:
        given = [round(self.interval * 1e6), round(within * 1e6), self._process, SEEN_SECONDS, _shift()]
        answer = self._asked(self._reserve, self._keys, given)
        if answer is None:
            return self._reserved_alone(within)
        is_reserved, microseconds, self._sharing = answer
        if not is_reserved:
            raise TurnTooLate(microseconds / 1e6)
        return float(microseconds / 1e6)

    def _reserved_alone(self, within: float) -> float:
        """Keep to this process's share of the rate."""
        with self._lock:
            now = _now()
            at = max(now, self._own_next)
            if at - now > within:
                raise TurnTooLate(at - now)
            self._own_next = at + self.interval * self._sharing
        return at - now

    def _asked(self, script: Any, keys: list[str], given: list[Any]) -> Any:
        if time.monotonic() < self._aside_until:
            return None
        try:
            return script(keys=keys, args=given)
        except (RedisError, OSError) as error:
            self._aside_until = time.monotonic() + ASIDE_SECONDS
            log.warning(
                "rate_limit_alone", error=type(error).__name__, sharing=self._sharing, next="keeps to its share"
            )
            return None


def _now() -> float:
    """Return this process's seconds, moved as tests move its clocks."""
    return time.monotonic() + clock.shift().total_seconds()


def _shift() -> int:
    """Return the microseconds by which tests have moved our clocks; Redis has its own."""
    return round(clock.shift().total_seconds() * 1e6)
