"""How long things are kept: small batches, each a transaction of its own, so that nobody waits for a cleaning."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, select, update

from shared import clock, erasing
from shared.callback_models import Callback
from shared.db import Database, Transaction, now_plus
from shared.erasing import ENDED
from shared.invariant_checks import floor_before
from shared.models import Call, Cancellation, Claim, Reservation, Transition
from shared.operations_models import ProcessSeen
from shared.webhook_models import WebhookBody, WebhookDelivery

AT_ONCE = 100
"""Rows of one transaction."""
FORGOTTEN_AFTER = timedelta(days=7).total_seconds()
ACTOR = "retention"
_UNSYNCHRONIZED = {"synchronize_session": False}

Step = Callable[[Transaction], int]
"""Cleans one batch and returns how many rows that were; fewer than `AT_ONCE` when nothing is left to do."""


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """How long what is kept; None is for ever."""

    bodies: timedelta | None
    webhooks: timedelta | None
    cancellations: timedelta | None


def steps(keeping: Keeping) -> dict[str, Step]:
    """Return what there is to clean, by what it is called in the log."""
    found: dict[str, Step] = {"asked_for": _erase_where(Cancellation.erasure_asked_at.is_not(None), "it was asked for")}
    found["processes_forgotten"] = _forget_processes
    if keeping.bodies is not None:
        long_ago = now_plus(-keeping.bodies.total_seconds())
        reason = f"it ended more than {keeping.bodies.days} days ago"
        found["cancellations_erased"] = _erase_where(Cancellation.updated_at < long_ago, reason)
        found["bodies_erased"] = lambda tx: _erase_bodies(tx, long_ago)
    if keeping.webhooks is not None:
        age = keeping.webhooks.total_seconds()
        found["webhooks_removed"] = lambda tx: _remove_webhooks(tx, age)
    if keeping.cancellations is not None:
        years = keeping.cancellations.total_seconds()
        found["cancellations_removed"] = lambda tx: _remove_cancellations(tx, years)
    return found


def clean(database: Database, step: Step, *, may_go_on: Callable[[], bool]) -> int:
    """Clean batch by batch until nothing is left or it may not go on; return how many rows that were."""
    done = 0
    while True:
        with database.transaction() as tx:
            cleaned = step(tx)
        done += cleaned
        if cleaned < AT_ONCE or not may_go_on():
            return done


def _erase_where(condition: ColumnElement[bool], reason: str) -> Step:
    due = (
        select(Cancellation)
        .where(Cancellation.erased_at.is_(None), Cancellation.next_attempt_at.is_(None), condition, _has_ended())
        .order_by(Cancellation.updated_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )

    def erase(tx: Transaction) -> int:
        rows = tx.session.scalars(due).all()
        for row in rows:
            erasing.erase(tx, row, actor=ACTOR, reason=f"personal data removed: {reason}")
        return len(rows)

    return erase


def _erase_bodies(tx: Transaction, long_ago: Any) -> int:
    """Empty old bodies that nothing waits to be read from, whoever they are about."""
    is_waiting = exists().where(WebhookDelivery.body_id == WebhookBody.id, WebhookDelivery.handled_at.is_(None))
    old = (
        select(WebhookBody.id)
        .where(WebhookBody.erased_at.is_(None), WebhookBody.received_at < long_ago, ~is_waiting)
        .order_by(WebhookBody.received_at)
        .limit(AT_ONCE)
    )
    ids = list(tx.session.scalars(old))
    erasing.erase_bodies(tx, ids)
    return len(ids)


def _remove_webhooks(tx: Transaction, age: float) -> int:
    """Remove old deliveries; a body's digest stays, so that the same event is never taken for a new one."""
    old = select(WebhookDelivery.id).where(
        WebhookDelivery.id < _oldest_kept(age),
        WebhookDelivery.received_at < now_plus(-age),
        WebhookDelivery.handled_at.is_not(None),
    )
    return _remove(tx, WebhookDelivery, old.order_by(WebhookDelivery.id).limit(AT_ONCE))


def _remove_cancellations(tx: Transaction, age: float) -> int:
    """Remove what ended long ago, with all that belongs to it; one whose claim is open stays."""
    is_claim_open = exists().where(Claim.cancellation_id == Cancellation.id, Claim.closed_at.is_(None))
    old = (
        select(Cancellation.id)
        .where(
            Cancellation.id < _oldest_kept(age),
            Cancellation.updated_at < now_plus(-age),
            Cancellation.next_attempt_at.is_(None),
            _has_ended(),
            ~is_claim_open,
        )
        .order_by(Cancellation.id)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = list(tx.session.scalars(old))
    claims = list(tx.session.scalars(select(Claim.id).where(Claim.cancellation_id.in_(ids))))
    unlinked = update(WebhookDelivery).where(WebhookDelivery.claim_id.in_(claims)).values(claim_id=None)
    tx.session.execute(unlinked, execution_options=_UNSYNCHRONIZED)
    for table in (Callback, Transition, Call, Reservation, Claim):
        belonging = delete(table).where(table.cancellation_id.in_(ids))
        tx.session.execute(belonging, execution_options=_UNSYNCHRONIZED)
    tx.session.execute(delete(Cancellation).where(Cancellation.id.in_(ids)), execution_options=_UNSYNCHRONIZED)
    return len(ids)


def _forget_processes(tx: Transaction) -> int:
    """Each start of a worker has a name of its own, so that those of weeks ago are no use to anyone."""
    gone = select(ProcessSeen.name).where(ProcessSeen.seen_at < now_plus(-FORGOTTEN_AFTER)).limit(AT_ONCE)
    names = list(tx.session.scalars(gone))
    tx.session.execute(delete(ProcessSeen).where(ProcessSeen.name.in_(names)), execution_options=_UNSYNCHRONIZED)
    return len(names)


def _oldest_kept(age: float) -> UUID:
    """Ids are ordered by time, by the clock of this host: what is newer is not even looked at."""
    return floor_before(max(age - clock.shift().total_seconds(), 0.0))


def _remove(tx: Transaction, table: Any, wanted: Select[Any]) -> int:
    ids: list[UUID] = list(tx.session.scalars(wanted))
    tx.session.execute(delete(table).where(table.id.in_(ids)), execution_options=_UNSYNCHRONIZED)
    return len(ids)


def _has_ended() -> ColumnElement[bool]:
    return Cancellation.status.in_([status.value for status in ENDED])
