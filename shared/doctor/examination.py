"""Runs the checks: database, Redis and the rest beside each other, each part within its time.

What hangs is left behind and is itself a finding: whoever asks gets an answer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Any

import structlog
from redis.exceptions import RedisError

from shared import broker
from shared.db import AWAY
from shared.doctor import (
    celery_app,
    clocks,
    database_server,
    environment,
    insurer,
    processes,
    redis_queues,
    redis_server,
    work,
)
from shared.doctor.findings import Finding, State, warning, wrong
from shared.doctor.patient import Patient

TIME_LIMIT = 8.0
"""Seconds for everything: a person waits, and so does a router."""
STATEMENT_LIMIT = 3_000
"""Milliseconds for one question to the database."""
REDIS_TIMEOUT = 2.0
AT_ONCE = BoundedSemaphore(6)
"""Parts that may be under way in one process; those left behind by earlier looks count."""

log = structlog.get_logger()

Check = Callable[[], list[Finding]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Checks that ask the same server, one after the other; the first says whether it can be asked at all."""

    name: str
    checks: Sequence[tuple[str, Check]]
    end: Callable[[], object] = lambda: None
    """Gives back what the checks used."""


def examine(patient: Patient, *, more: Sequence[tuple[str, Callable[..., list[Finding]]]] = ()) -> list[Finding]:
    """Return every finding, in the checks' order; `more` are further questions to the database, given a session."""
    parts = [_of_itself(patient), _of_database(patient, more), _of_redis(patient)]
    looks = [_Look(part) for part in parts if AT_ONCE.acquire(blocking=False)]
    until = monotonic() + TIME_LIMIT
    for look in looks:
        look.start()
    found = [finding for look in looks for finding in look.findings(until)]
    if len(looks) < len(parts):
        found.append(warning("doctor", "earlier looks are still waiting for an answer, so not everything was asked"))
    return found


class _Look(Thread):
    """One part, looked at in a thread that can be left behind."""

    def __init__(self, part: Part) -> None:
        super().__init__(name=f"doctor-{part.name}", daemon=True)
        self._part = part
        self._found: list[list[Finding]] = []

    def run(self) -> None:
        try:
            for name, check in self._part.checks:
                found = self._asked(name, check)
                self._found.append(found)
                if name == self._part.name and any(finding.state is State.WRONG for finding in found):
                    return
        finally:
            self._part.end()
            AT_ONCE.release()

    def findings(self, until: float) -> Iterator[Finding]:
        """Yield what was found until then, and what has not answered."""
        self.join(max(until - monotonic(), 0.0))
        is_late, done = self.is_alive(), list(self._found)
        for found in done:
            yield from found
        if is_late and len(done) < len(self._part.checks):
            name, _ = self._part.checks[len(done)]
            yield wrong(name, f"no answer within {TIME_LIMIT:g} s; nothing after it was asked", cause=self._part.name)

    def _asked(self, name: str, check: Check) -> list[Finding]:
        is_first = name == self._part.name
        try:
            return check()
        except (*AWAY, RedisError, OSError) as error:
            said = f"cannot be asked: {type(error).__name__}{_of_driver(error)}"
            return [wrong(name, said) if is_first else warning(name, said, cause=self._part.name)]
        except Exception as error:  # a check that fails is a finding, and the others are still asked
            log.exception("check_failed", check=name)
            return [warning(name, f"the check itself failed: {type(error).__name__}", cause="doctor")]


def _of_driver(error: Exception) -> str:
    """Return the class of the error beneath, whose text could name hosts and users."""
    beneath = getattr(error, "orig", None)
    return "" if beneath is None else f" ({type(beneath).__name__})"


def _of_itself(patient: Patient) -> Part:
    checks = [
        ("settings", lambda: environment.settings(patient)),
        ("public-url", lambda: environment.public_url(patient)),
        ("celery", lambda: celery_app.settings_(patient)),
        ("durations", lambda: celery_app.durations(patient)),
        ("versions", celery_app.versions),
    ]
    return Part(name="settings", checks=checks)


def _of_database(patient: Patient, more: Sequence[tuple[str, Callable[..., list[Finding]]]]) -> Part:
    def with_session(ask: Callable[..., list[Finding]], *given: Any) -> Check:
        def check() -> list[Finding]:
            with patient.database.reading() as session:
                if patient.database.is_postgresql:
                    session.connection().exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_LIMIT}")
                return ask(session, *given)

        return check

    checks: list[tuple[str, Check]] = [
        ("database", with_session(database_server.reachable)),
        ("schema", with_session(database_server.schema)),
        ("database-writes", lambda: database_server.writes(patient.database)),
        ("database-space", with_session(database_server.space)),
        ("database-connections", with_session(database_server.connections)),
        ("clock-host", with_session(clocks.of_this_host)),
        ("clock-workers", with_session(clocks.of_workers)),
        ("clock-insurer", with_session(clocks.of_insurer, patient)),
        ("workers", with_session(processes.workers)),
        ("beat", with_session(processes.beat)),
        ("credentials", with_session(insurer.credentials, patient)),
        ("parked-for-credentials", with_session(insurer.parked)),
        ("breakers", with_session(insurer.breakers)),
        ("rate-limit", with_session(insurer.rate_limit)),
        ("answers", with_session(insurer.answers)),
        ("poison-rows", with_session(work.poison_rows)),
        ("overdue", with_session(work.overdue)),
        ("invariants", with_session(work.invariants)),
        ("needs-review", with_session(work.needs_review)),
        ("pauses", with_session(work.pauses_in_force)),
        ("callback-endpoints", with_session(work.callback_endpoints)),
        *((name, with_session(ask)) for name, ask in more),
    ]
    return Part(name="database", checks=checks)


def _of_redis(patient: Patient) -> Part:
    client = broker.redis_client(patient.settings, timeout=REDIS_TIMEOUT)

    def with_client(ask: Callable[..., list[Finding]]) -> Check:
        return lambda: ask(client)

    checks: list[tuple[str, Check]] = [
        ("redis", with_client(redis_server.reachable)),
        ("redis-version", with_client(redis_server.version)),
        ("redis-writes", with_client(redis_server.writes)),
        ("redis-eviction", with_client(redis_server.eviction)),
        ("redis-memory", with_client(redis_server.memory)),
        ("redis-persistence", with_client(redis_server.persistence)),
        ("redis-clients", with_client(redis_server.clients)),
        ("queues", with_client(redis_queues.depths)),
        ("unacknowledged", with_client(redis_queues.unacknowledged)),
        ("strangers", with_client(redis_queues.strangers)),
        ("invariant-checks", lambda: redis_queues.invariant_checks(client, patient.database)),
    ]
    return Part(name="redis", checks=checks, end=client.close)
