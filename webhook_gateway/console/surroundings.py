"""What stands around the cancellations, for the overview: insurers, lines at their rate limits, processes, queues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from shared import overview
from shared.breaker_models import BreakerState
from shared.broker import QUEUES
from shared.db import now_plus
from shared.models import Cancellation
from shared.operations_models import KINDS, InsurerCheck, ProcessSeen
from shared.turns import HELD
from webhook_gateway.console import wiring

ALIVE_WITHIN = 60.0
"""Seconds. A worker tells of itself every ten."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One service of a partner's insurer."""

    partner: str
    service: str
    opened_at: datetime | None
    probe_after: datetime | None
    last_error: str | None
    check: InsurerCheck | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """Those of a partner that wait for a turn at its rate limit; up to `overview.CAP + 1` are counted."""

    partner: str
    waiting: int
    held: int
    """By a paused batch."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The processes of one kind."""

    kind: str
    alive: int
    seen_at: datetime | None


def endpoints(session: Session) -> Sequence[Endpoint]:
    """Return every service that was asked harmlessly or has ever failed."""
    states = {(row.partner, row.service): row for row in session.scalars(select(BreakerState))}
    checks = {(row.partner, row.service): row for row in session.scalars(select(InsurerCheck))}
    return [_endpoint(*key, states.get(key), checks.get(key)) for key in sorted(states.keys() | checks.keys())]


def lines(session: Session, partners: Sequence[str]) -> Sequence[Line]:
    """Return how many wait in each partner's line."""
    return [
        Line(
            partner=partner,
            waiting=_in_line(session, partner, Cancellation.turn_class < HELD),
            held=_in_line(session, partner, Cancellation.turn_class >= HELD),
        )
        for partner in partners
    ]


def processes(session: Session) -> Sequence[Kind]:
    """Return how many of each kind are alive, and when one was last seen."""
    alive = func.count(case((ProcessSeen.seen_at >= now_plus(-ALIVE_WITHIN), 1)))
    found = select(ProcessSeen.kind, alive, func.max(ProcessSeen.seen_at)).group_by(ProcessSeen.kind)
    known = {kind: Kind(kind=kind, alive=count, seen_at=at) for kind, count, at in session.execute(found)}
    return [known.get(kind, Kind(kind=kind, alive=0, seen_at=None)) for kind in KINDS]


def queues() -> Mapping[str, int] | None:
    """Return how many messages wait in each queue; None when Redis does not say within a quarter of a second."""
    try:
        with wiring.redis().pipeline(transaction=False) as pipe:
            for name in QUEUES:
                pipe.llen(name)
            return dict(zip(QUEUES, pipe.execute(), strict=True))
    except (RedisError, OSError) as error:
        log.warning("queues_not_seen", error=type(error).__name__)
        return None


def _endpoint(partner: str, service: str, state: BreakerState | None, check: InsurerCheck | None) -> Endpoint:
    return Endpoint(
        partner=partner,
        service=service,
        opened_at=None if state is None else state.opened_at,
        probe_after=None if state is None else state.probe_after,
        last_error=None if state is None else state.last_error,
        check=check,
    )


def _in_line(session: Session, partner: str, where: ColumnElement[bool]) -> int:
    row = Cancellation
    some = select(row.id).where(row.partner == partner, row.turn_class.is_not(None), where).limit(overview.CAP + 1)
    return session.scalars(select(func.count()).select_from(some.subquery())).one()
