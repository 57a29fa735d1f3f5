"""Figures for a look at the whole service: what waits, for how long, and what came to an end hour by hour.

Every query is bounded, so that a million rows cost no more than ten thousand: what is counted is counted up to `CAP`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, text, type_coerce
from sqlalchemy.orm import Session

from shared.callback_models import Callback
from shared.db import UtcDateTime, now_plus
from shared.models import STATUSES, Cancellation, Transition
from shared.webhook_models import WebhookDelivery

CAP = 10_000
"""Rows that are counted of one kind at most; one more than that means: that many and more."""
HOURS = 24
COUNTED_BY_HOUR = text("(transitions.event <> 'step_done' OR transitions.to_status = 'completed')")
"""What of the history is counted by the hour: the condition of the index that finds it."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How many rows of one kind there are, CAP + 1 for more than CAP, and since when the oldest is."""

    count: int
    oldest: datetime | None

    @property
    def is_capped(self) -> bool:
        """Tell whether there are more than were counted."""
        return self.count > CAP


@dataclass(frozen=True, kw_only=True)
class Hour:
    """What happened in one hour; `by_status` counts those that came to a status, such as completed, in it."""

    begins: datetime
    accepted: int
    postponed: int
    """Tries that were put off: an insurer's error, or a wait that it asked for."""
    by_status: Mapping[str, int]


def by_status(session: Session) -> Mapping[str, Waiting]:
    """Count cancellations by status, each with when its oldest was accepted."""
    return {status: _of_status(session, status) for status in STATUSES}


def overdue(session: Session) -> Waiting:
    """Count what is due and in nobody's hands or in a worker's, with when the longest due one came due."""
    row = Cancellation
    return _waiting(session, row.next_attempt_at, row.next_attempt_at <= now_plus(0))


def webhooks(session: Session) -> Waiting:
    """Count webhooks that are stored and not handled yet, with when the oldest of them came in."""
    return _unhandled(session, WebhookDelivery, WebhookDelivery.received_at)


def callbacks(session: Session) -> Waiting:
    """Count callers' cancellations of which a message is still to be delivered, with when the oldest was written."""
    return _unhandled(session, Callback, Callback.created_at)


def hourly(session: Session, *, hours: int = HOURS) -> Sequence[Hour]:
    """Return the last hours, the oldest first and the present one last; an hour in which nothing happened is zeros."""
    now = session.scalars(select(now_plus(0))).one()
    present = now.replace(minute=0, second=0, microsecond=0)
    begins = [present - timedelta(hours=back) for back in reversed(range(hours))]
    counted = _counted(session, begins[0])
    return [_hour(one, counted.get(one, {})) for one in begins]


def _of_status(session: Session, status: str) -> Waiting:
    row = Cancellation
    counted = select(func.count()).select_from(select(row.id).where(row.status == status).limit(CAP + 1).subquery())
    first = select(row.created_at).where(row.status == status).order_by(row.id).limit(1)
    return Waiting(count=session.scalars(counted).one(), oldest=session.scalar(first))


def _unhandled(session: Session, table: Any, since: Any) -> Waiting:
    """Take the oldest of those that have been due for longest: what waits long is due early."""
    return _waiting(session, table.next_attempt_at, table.next_attempt_at.is_not(None), since)


def _waiting(session: Session, due: Any, where: ColumnElement[bool], since: Any = None) -> Waiting:
    """Count through the index on `due`."""
    since = due if since is None else since
    found = select(since.label("since")).where(where).order_by(due).limit(CAP + 1).subquery()
    count, oldest = session.execute(select(func.count(), func.min(found.c.since))).one()
    return Waiting(count=count, oldest=oldest)


def _counted(session: Session, since: datetime) -> Mapping[datetime, Mapping[tuple[str, str], int]]:
    """Count by hour, event and status come to."""
    hour = _hour_of(session, Transition.at)
    counted = (
        select(hour, Transition.event, Transition.to_status, func.count())
        .where(Transition.at >= since, COUNTED_BY_HOUR)
        .group_by(hour, Transition.event, Transition.to_status)
    )
    found: dict[datetime, dict[tuple[str, str], int]] = {}
    for begins, event, status, count in session.execute(counted):
        found.setdefault(begins, {})[event, status] = count
    return found


def _hour_of(session: Session, time: Any) -> ColumnElement[datetime]:
    if session.get_bind().dialect.name == "sqlite":
        return type_coerce(func.strftime("%Y-%m-%d %H:00:00", time), UtcDateTime())
    return type_coerce(func.date_trunc("hour", time, "UTC"), UtcDateTime())


def _hour(begins: datetime, counted: Mapping[tuple[str, str], int]) -> Hour:
    by_status: dict[str, int] = {}
    for (event, status), count in counted.items():
        if event not in {"accepted", "postponed", "retried", "hurried"}:
            by_status[status] = by_status.get(status, 0) + count
    return Hour(
        begins=begins,
        accepted=sum(count for (event, _), count in counted.items() if event == "accepted"),
        postponed=sum(count for (event, _), count in counted.items() if event == "postponed"),
        by_status=by_status,
    )
