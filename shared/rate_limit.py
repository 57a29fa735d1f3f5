"""One schedule of requests per partner, kept in Redis and shared by all workers: almost evenly spaced, never a burst.

Redis holds the last turns that were reserved. No second has more of them than the insurer allows, and those that nobody
used are made up for by the next, a little closer together. Wiped, the schedule begins anew with now; away, each process
keeps to its share of the rate by its own clock.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any

import structlog
from redis.exceptions import RedisError

from shared import clock

HEADROOM = 0.97
"""Of the allowed rate: requests spaced evenly when they leave arrive unevenly, and one too many is answered 429."""
CLOSEST = 0.9
"""Of the time between two requests: how close together they come to make up for turns that nobody used."""
COUNTED = 50
"""Turns that are remembered at most. A higher rate is kept to in every 50 requests' time instead of every second."""
LATEST = (1 / HEADROOM - 1) / 2
"""Seconds after its turn at which a request may still leave; half of what the headroom makes room for in any second."""
LEAD = 0.05
"""Seconds before its first request's turn at which a step begins: for its transactions and the breaker's look."""
IN_STEP_PATIENCE = 4.0
"""Seconds for which a step in the middle of its work waits for its next request's turn."""
ASIDE_SECONDS = 5.0
"""For which Redis is not asked again once it did not answer."""
TIMEOUT = 0.5
SEEN_SECONDS = 60
"""For which a process counts as one of those that share the rate."""

_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[7]
redis.call('ZADD', KEYS[2], time[1], ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] - ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[6])
local sharing = redis.call('ZCARD', KEYS[2])
local last = tonumber(redis.call('LINDEX', KEYS[1], -1) or 0)
local first = tonumber(redis.call('LINDEX', KEYS[1], -ARGV[1]) or 0)
local rest = tonumber(redis.call('GET', KEYS[3]) or 0)
local at = math.max(now, last + ARGV[3], first + ARGV[2], rest)
if at - now > tonumber(ARGV[4]) then return {at - now, '', sharing} end
local place = string.format('%.0f', at)
redis.call('RPUSH', KEYS[1], place)
redis.call('LTRIM', KEYS[1], -ARGV[1], -1)
redis.call('PEXPIRE', KEYS[1], math.ceil((at - now + ARGV[2]) / 1000))
return {at - now, place, sharing}
"""
_PAUSE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[2]
local at = math.max(now + ARGV[1], tonumber(redis.call('GET', KEYS[1]) or 0))
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
"""

log = structlog.get_logger()


@dataclass(frozen=True)
class Turn:
    """A reserved place in the schedule: when the request may leave, by `time.monotonic()`, and how Redis knows it."""

    at: float
    place: str | None = None


_turn: ContextVar[Turn | None] = ContextVar("turn_of_request", default=None)
"""The turn of this step's next request, if that has been reserved."""


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
        counted = min(max(int(per_second), 1), COUNTED)
        spaced = [counted, round(counted * self.interval * 1e6), round(CLOSEST * self.interval * 1e6)]
        self._spaced = spaced if counted > 1 else [1, spaced[1], spaced[1]]
        self._turns, self._rest = f"cfar:rate:{partner}:turns", f"cfar:rate:{partner}:rest"
        self._processes = f"cfar:rate:{partner}:processes"
        self._process = process
        self._redis = redis
        self._reserve = redis.register_script(_RESERVE)
        self._pause = redis.register_script(_PAUSE)
        self._sleep = sleep
        self._lock = Lock()
        self._sharing = 1
        self._own_next = 0.0
        self._rests_until = 0.0
        self._aside_until = 0.0

    def reserve(self, *, within: float) -> Turn:
        """Take the next place in the schedule.

        Raises TurnTooLate when it is further away than so many seconds; no place is taken then.
        """
        given = [*self._spaced, round(within * 1e6), self._process, SEEN_SECONDS, _shift()]
        answer = self._asked(self._reserve, [self._turns, self._processes, self._rest], given)
        now = time.monotonic()
        if answer is None:
            return Turn(now + self._reserved_alone(within))
        microseconds, place, self._sharing = answer
        if not place:
            raise TurnTooLate(microseconds / 1e6)
        return Turn(now + microseconds / 1e6, place.decode())

    def pause(self, seconds: float) -> None:
        """Let nothing more leave for so long: the insurer has said that it is too much."""
        with self._lock:
            self._rests_until = max(self._rests_until, _now() + seconds)
            self._own_next = max(self._own_next, self._rests_until)
        self._asked(self._pause, [self._rest], [round(seconds * 1e6), _shift()])

    def seconds_of_rest(self) -> float:
        """Return how long nothing may leave because this process was told that it was too much."""
        return max(self._rests_until - _now(), 0.0)

    @contextmanager
    def reserved(self, turn: Turn) -> Iterator[None]:
        """Wait until shortly before a reserved turn; the first request inside the block leaves at it, or it is free."""
        self._wait_until(turn.at - LEAD)
        token = _turn.set(turn)
        try:
            yield
        finally:
            is_unused = _turn.get() is turn
            _turn.reset(token)
            if is_unused:
                self._free(turn)

    def before_request(self) -> None:
        """Wait for a request's turn; raise TurnTooLate if none comes within `IN_STEP_PATIENCE`.

        A turn that was reserved and missed is let go: leaving late, a request would arrive with those after it.
        """
        turn = _turn.get()
        _turn.set(None)
        if turn is not None and time.monotonic() > turn.at + LATEST:
            self._free(turn)
            turn = None
        self._wait_until((turn or self.reserve(within=IN_STEP_PATIENCE)).at)

    def _free(self, turn: Turn) -> None:
        """Let others make up for a turn that nobody uses."""
        if turn.place is not None:
            self._asked(lambda keys, args: self._redis.lrem(*keys, *args), [self._turns], [-1, turn.place])

    def _wait_until(self, moment: float) -> None:
        wait = moment - time.monotonic()
        if wait > 0:
            self._sleep(wait)

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
