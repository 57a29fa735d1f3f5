"""A breaker for each service of each partner's insurer: once it answers nobody, one request at a time finds out when it
does again, and everything else waits without burning tries.

The state is in the database, so that all processes share it and Redis may be wiped. It is read once a second, and
written only when something fails or comes back.
"""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from shared import clock
from shared.breaker_models import BreakerState
from shared.db import Database, Transaction, insert_or_ignore, now_plus
from shared.insurer.errors import HeldBack
from shared.insurer.transport import Passage

OPENS_AFTER = 5
"""Unanswered requests in a row."""
FORGOTTEN_AFTER = 900.0
"""Seconds after which a failure is no longer part of a row; one alone tries every five minutes at least."""
FIRST_PROBE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds until the first probe, and between two at most; doubled after each."""
PROBE_LASTS = 30.0
"""Seconds for which a probe is waited for: longer than any call may take. Its process may have died."""
LONGEST_SPREAD = 300.0
"""Seconds over which those that wait come back at most; as long as the outage has lasted if that is less."""
READ_EVERY = 1.0
_UNSYNCHRONIZED = {"synchronize_session": False}

log = structlog.get_logger()

_NONE = (None, None)
_probe: ContextVar["tuple[Breaker | None, datetime | None]"] = ContextVar("probe_of_breaker", default=_NONE)
"""The probe that the next request of this step is, of which breaker."""


@dataclass(frozen=True, kw_only=True)
class _Open:
    """An open breaker as it was read: seconds until its next probe, and since it opened."""

    until_probe: float
    lasted: float


@dataclass(kw_only=True)
class _Seen:
    """What was read last, and when by this process's clock."""

    open: dict[tuple[str, str], _Open] = field(default_factory=dict)
    at: float = float("-inf")


class Breakers:
    """All breakers as one process sees them. Thread-safe; make it after any fork."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._seen = _Seen()
        self._read_at = float("-inf")

    def of(self, *, partner: str, service: str) -> "Breaker":
        """Return one of them."""
        return Breaker(self, self._database, partner=partner, service=service)

    def read(self) -> _Seen:
        """Return the open ones, read again after a second; while the database is away, as they were."""
        with self._lock:
            if _now() - self._read_at >= READ_EVERY:
                self._read_at = _now()  # before: one that is away is asked once a second too
                try:
                    self._seen = self._read()
                except SQLAlchemyError as error:
                    log.warning("breakers_not_read", error=type(error).__name__, next="taken to be as they were")
            return self._seen

    def forget(self) -> None:
        """Read again before the next request."""
        with self._lock:
            self._read_at = float("-inf")

    def _read(self) -> _Seen:
        row = BreakerState
        found = select(row.partner, row.service, row.probe_after, row.opened_at, now_plus(0)).where(
            row.opened_at.is_not(None)
        )
        with self._database.reading() as session:
            rows = session.execute(found).all()
        return _Seen(
            open={
                (partner, service): _Open(
                    until_probe=(probe_after - now).total_seconds(), lasted=(now - opened_at).total_seconds()
                )
                for partner, service, probe_after, opened_at, now in rows
                if probe_after is not None and opened_at is not None
            },
            at=_now(),
        )


class Breaker:
    """One service of one partner's insurer: the gate that `InsurerHttp` sends each request through."""

    def __init__(self, all_of_them: Breakers, database: Database, *, partner: str, service: str) -> None:
        self.service = service
        self._all = all_of_them
        self._database = database
        self._key = (partner, service)
        self._has_answered = False
        """Since this process last saw it fail."""

    def is_open(self) -> bool:
        """Tell whether it is known to answer nobody."""
        return self._key in self._all.read().open

    def seconds_closed_off(self) -> float:
        """Return how long nothing may be sent; zero when it answers, or when a probe is due."""
        seen = self._all.read()
        found = seen.open.get(self._key)
        return 0.0 if found is None else max(found.until_probe - (_now() - seen.at), 0.0)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Give True when the block may send: it answers, or the block's first request is its probe."""
        if not self.is_open():
            yield True
            return
        probe = self._taken_probe()
        if probe is None:
            yield False
            return
        token = _probe.set((self, probe))
        try:
            yield True
        finally:
            is_unsent = _probe.get() == (self, probe)
            _probe.reset(token)
            if is_unsent:
                self._give_back(probe)

    @contextmanager
    def request(self, attempted: str) -> Iterator[Passage]:
        """Let a request leave, as a probe where the service answered nobody lately, or raise HeldBack."""
        probe, passage = self._admitted(attempted), Passage()
        try:
            yield passage
        finally:
            if passage.is_answered:
                self._note_answer()
            elif passage.is_answered is False:
                self._note_failure(passage.failure, is_probe=probe is not None)
            elif probe is not None:
                self._give_back(probe)

    def _admitted(self, attempted: str) -> datetime | None:
        """Return the probe that the request is, if it is one."""
        if not self.is_open():
            return None
        breaker, probe = _probe.get()
        if breaker is self:
            _probe.set(_NONE)
            return probe
        probe = self._taken_probe()
        found = self._all.read().open.get(self._key)
        if probe is not None or found is None:
            return probe
        spread = random.random() * min(found.lasted, LONGEST_SPREAD)  # noqa: S311 - spreads waits, hides nothing
        wait = max(self.seconds_closed_off(), 1.0) + spread
        raise HeldBack(attempted, retry_after=wait, service=self.service)

    def _note_answer(self) -> None:
        """Whoever waits for the service may go on."""
        self._has_answered = True
        if self.is_open():
            self._write(self._close)

    def _note_failure(self, error: str, *, is_probe: bool) -> None:
        is_first, self._has_answered = self._has_answered, False
        self._write(lambda tx: self._count(tx, error, is_first=is_first, is_probe=is_probe))

    def _write(self, write: Any) -> None:
        """Write what was learned. It must not hide what became of the request, so a database that is away is logged."""
        try:
            with self._database.aside() as tx:
                write(tx)
        except SQLAlchemyError as away:
            log.warning("breaker_not_written", error=type(away).__name__, next="the next request tells again")
        self._all.forget()

    def _close(self, tx: Transaction) -> None:
        closed = update(BreakerState).where(*self._is_ours(), BreakerState.opened_at.is_not(None))
        closed = closed.values(failures=0, opened_at=None, probe_after=None)
        if tx.session.scalar(closed.returning(BreakerState.service), execution_options=_UNSYNCHRONIZED) is not None:
            partner, service = self._key
            tx.log("breaker_closed", partner=partner, service=service, next="what waited gets its turn")

    def _count(self, tx: Transaction, error: str, *, is_first: bool, is_probe: bool) -> None:
        partner, service = self._key
        new = {"partner": partner, "service": service, "failures": 0, "failed_at": now_plus(0)}
        insert_or_ignore(tx.session, BreakerState, new, conflict=("partner", "service"))
        ours = select(BreakerState, now_plus(-FORGOTTEN_AFTER)).where(*self._is_ours()).with_for_update()
        row, long_ago = tx.session.execute(ours).one()
        is_open = row.opened_at is not None
        if not is_open:
            row.failures = 1 if is_first or row.failed_at < long_ago else row.failures + 1
        elif is_probe:  # others that were under way when it opened say nothing new
            row.failures += 1
        row.failed_at, row.last_error = now_plus(0), error
        if row.failures >= OPENS_AFTER and (is_probe or not is_open):
            pause = min(FIRST_PROBE * 2.0 ** min(row.failures - OPENS_AFTER, 16), LONGEST_PAUSE)
            row.probe_after = now_plus(pause)
            row.opened_at = row.opened_at if is_open else now_plus(0)
            level = logging.INFO if is_open else logging.ERROR
            fact = "breaker_stays_open" if is_open else "breaker_opened"
            tx.log(fact, level=level, partner=partner, service=service, error=error, next=f"probed in {pause:.0f} s")

    def _taken_probe(self) -> datetime | None:
        """Take the probe if it is due, and return until when it is ours; one statement decides between all workers."""
        if self.seconds_closed_off() > 0:
            return None
        try:
            with self._database.aside() as tx:
                due = update(BreakerState).where(*self._is_ours(), BreakerState.probe_after <= now_plus(0))
                taken = due.values(probe_after=now_plus(PROBE_LASTS)).returning(BreakerState.probe_after)
                return tx.session.scalar(taken, execution_options=_UNSYNCHRONIZED)
        finally:
            self._all.forget()

    def _give_back(self, probe: datetime) -> None:
        """Let another probe at once, unless somebody does already: this one was never sent."""

        def free(tx: Transaction) -> None:
            ours = update(BreakerState).where(*self._is_ours(), BreakerState.probe_after == probe)
            tx.session.execute(ours.values(probe_after=now_plus(0)), execution_options=_UNSYNCHRONIZED)

        self._write(free)

    def _is_ours(self) -> tuple[Any, Any]:
        partner, service = self._key
        return BreakerState.partner == partner, BreakerState.service == service


def _now() -> float:
    """Return this process's seconds, moved as tests move its clocks."""
    return time.monotonic() + clock.shift().total_seconds()
