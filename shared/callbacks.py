"""What upstream systems are told by callback: written with each change, sent in order, until they have taken it.

The rows hold the schedule. Of a cancellation's pending messages only the first has a time; ending it gives the next
its turn. Every transaction locks the cancellation before its messages. Sending is `workers.deliver_callback`'s.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from shared import callback_health
from shared.callback_answers import Told
from shared.callback_health import Place
from shared.callback_models import Callback
from shared.db import Transaction, now_plus
from shared.lifecycle import TaskName
from shared.models import Cancellation

WAITS = tuple(
    wait.total_seconds()
    for wait in (
        *(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5)),
        *(timedelta(hours=10), timedelta(hours=14), timedelta(hours=20), timedelta(hours=20)),
    )
)
"""Seconds before each further try: three days in all. After the last one the message is given up."""
SPREAD = 0.1
"""The share by which chance makes a wait longer at most: an endpoint that comes back must not be overrun."""
AT_ONCE = 100
"""Messages rung for in one sweep, every few seconds; most are rung for when they are written."""
RUNG_FOR = 60.0
"""Seconds that a message may wait in its queue before the sweeper rings again."""
LEASE = 60.0
"""Seconds that one try has: its deadline, and a slow look-up of the name before it."""
PUT_OFF_FOR = 60.0
"""Seconds that others wait while one message finds out whether a failing endpoint works again.

Or an endpoint that answers nobody would keep every worker waiting for it, and cancellations would wait for workers.
"""

_UNSYNCED: dict[str, Any] = {"synchronize_session": False}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A message taken for one try, and what sending it takes."""

    callback: Callback
    place: Place


def wait_before_next(tries: int, *, retry_after: float | None = None, jitter: float) -> float | None:
    """Return the seconds until the next try after so many; None when it was the last."""
    if tries > len(WAITS):
        return None
    wait = WAITS[max(tries, 1) - 1] * (1 + SPREAD * jitter)
    return max(wait, retry_after or 0.0)


def record(
    tx: Transaction, row: Cancellation, kind: str, *, status: str, next_step: str | None, milestone: str | None = None
) -> None:
    """Write a message in the transaction of the change it tells; nothing where nobody wants to be told."""
    if row.callback_url is None:
        return
    _lock(tx, row.id)
    known = select(
        func.coalesce(func.max(Callback.sequence), 0), func.count().filter(_is_pending()), now_plus(0)
    ).where(Callback.cancellation_id == row.id)
    last, pending, now = tx.session.execute(known).one()
    data = {
        "cancellation_id": str(row.id),
        "idempotency_key": row.idempotency_key,
        "booking_id": row.booking_id,
        "sequence": last + 1,
        "status": status,
        "next_step": next_step,
        "milestone": milestone,
    }
    message = Callback(
        cancellation_id=row.id,
        sequence=last + 1,
        type=kind,
        payload={"type": kind, "timestamp": _rfc3339(now), "data": data},
    )
    if pending == 0:
        message.next_attempt_at, message.ring_after = now_plus(0), now_plus(RUNG_FOR)
    tx.session.add(message)
    tx.session.flush()
    if pending == 0:
        tx.enqueue(TaskName.DELIVER_CALLBACK, message.id)


def of_cancellation(session: Session, cancellation_id: UUID) -> Sequence[Callback]:
    """Return its messages in their order."""
    of_it = select(Callback).where(Callback.cancellation_id == cancellation_id).order_by(Callback.sequence)
    return session.scalars(of_it).all()


def ring(tx: Transaction, *, at_most: int) -> Sequence[UUID]:
    """Mark messages that are due as rung for and return them, those first that have been due for longest."""
    if at_most <= 0:
        return []
    due = (
        select(Callback.id)
        .where(
            Callback.next_attempt_at <= now_plus(0),
            _is_free(),
            or_(Callback.ring_after.is_(None), Callback.ring_after <= now_plus(0)),
        )
        .order_by(Callback.next_attempt_at)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    ids = tx.session.scalars(due).all()
    if not ids:
        return []
    rung = update(Callback).where(Callback.id.in_(ids)).values(rings=Callback.rings + 1, ring_after=now_plus(RUNG_FOR))
    return tx.session.scalars(rung.returning(Callback.id), execution_options=_UNSYNCED).all()


def begin(tx: Transaction, callback_id: UUID) -> Held | None:
    """Take a message that is due for one try; None when it is not, or when its endpoint wants nothing any more."""
    found = tx.session.execute(
        select(Cancellation.id, Cancellation.caller, Cancellation.callback_url)
        .join(Callback, Callback.cancellation_id == Cancellation.id)
        .where(Callback.id == callback_id, Callback.next_attempt_at <= now_plus(0), _is_free())
    ).first()
    if found is None or found.callback_url is None:
        return None
    endpoint = callback_health.of(tx.session, found.caller, found.callback_url)
    if endpoint is not None and endpoint.disabled_at is not None:
        give_up_all(tx, found.id, "not sent: the endpoint is disabled")
        return None
    if (
        endpoint is not None
        and endpoint.failing_since is not None
        and not callback_health.may_probe(tx, endpoint, seconds=LEASE)
    ):
        _put_off(tx, callback_id)
        return None
    taken = (
        update(Callback)
        .where(Callback.id == callback_id, Callback.next_attempt_at <= now_plus(0), _is_free())
        .values(lease_until=now_plus(LEASE), tries=Callback.tries + 1)
        .returning(Callback)
    )
    callback = tx.session.scalars(taken, execution_options={"populate_existing": True, **_UNSYNCED}).first()
    if callback is None:
        return None
    place = Place(caller=found.caller, url=found.callback_url, endpoint=endpoint)
    return Held(callback=callback, place=place)


def finish(tx: Transaction, held: Held, told: Told) -> None:
    """Write how a try ended, and let the next message have its turn; nothing when somebody else took it over."""
    callback = held.callback
    _lock(tx, callback.cancellation_id)
    wait = wait_before_next(callback.tries, retry_after=told.retry_after, jitter=random.random())  # noqa: S311 - spreads waits
    values: dict[str, Any] = {"last_status": told.status, "last_error": told.error, "lease_until": None}
    ended = {"next_attempt_at": None, "ring_after": None, "rings": 0}
    if told.is_taken:
        values |= {**ended, "delivered_at": now_plus(0)}
    elif told.is_gone or wait is None:
        values |= {**ended, "given_up_at": now_plus(0)}
    else:
        values |= {"next_attempt_at": now_plus(wait), "ring_after": None, "rings": 0}
    still_ours = (Callback.id == callback.id, Callback.lease_until == callback.lease_until)
    written = update(Callback).where(*still_ours).values(**values).returning(Callback.id)
    if tx.session.scalar(written, execution_options=_UNSYNCED) is None:
        return
    if "given_up_at" in values:
        _log_given_up(tx, callback.cancellation_id, told.error or "")
    _line_up(tx, callback.cancellation_id)
    if told.was_tried:
        callback_health.note(tx, held.place, told, tries=callback.tries)


def give_up_all(tx: Transaction, cancellation_id: UUID, why: str) -> None:
    """Stop telling of a cancellation what is still to be told and in no one's hands."""
    _lock(tx, cancellation_id)
    given_up = update(Callback).where(Callback.cancellation_id == cancellation_id, _is_pending(), _is_free())
    values = {"given_up_at": now_plus(0), "next_attempt_at": None, "lease_until": None, "last_error": why}
    tx.session.execute(given_up.values(**values), execution_options=_UNSYNCED)
    _log_given_up(tx, cancellation_id, why)


def replay(tx: Transaction, row: Cancellation, *, callback_id: UUID | None = None) -> int:
    """Make everything due again that was not delivered, or one message, a delivered one too; return how many.

    Its endpoint is enabled again. What is being sent at this moment is left alone.
    """
    _lock(tx, row.id)
    which = [Callback.delivered_at.is_(None)] if callback_id is None else [Callback.id == callback_id]
    anew = update(Callback).where(Callback.cancellation_id == row.id, *which, _is_free())
    pending = {"tries": 0, "delivered_at": None, "given_up_at": None, "next_attempt_at": None, "lease_until": None}
    again = tx.session.scalars(anew.values(**pending).returning(Callback.id), execution_options=_UNSYNCED).all()
    if row.callback_url is not None and again:
        callback_health.enable(tx, caller=row.caller, url=row.callback_url)
    _line_up(tx, row.id)
    return len(again)


def _lock(tx: Transaction, cancellation_id: UUID) -> None:
    """Keep others from adding or ending messages: who ends one must see the next that waits for it."""
    tx.session.execute(select(Cancellation.id).where(Cancellation.id == cancellation_id).with_for_update())


def _line_up(tx: Transaction, cancellation_id: UUID) -> None:
    """Give the first pending message a time if it has none, and none to those behind it; one being sent goes on."""
    pending = select(Callback).where(Callback.cancellation_id == cancellation_id, _is_pending())
    rows = tx.session.scalars(
        pending.order_by(Callback.sequence).with_for_update(), execution_options={"populate_existing": True}
    ).all()
    now = tx.session.scalars(select(now_plus(0))).one()
    if not rows or any(row.lease_until is not None and row.lease_until > now for row in rows):
        return
    first, *others = rows
    for row in others:
        row.next_attempt_at = None
    tx.session.flush()  # before the first one gets its time: a cancellation has one such message at most
    if first.next_attempt_at is None:
        first.next_attempt_at, first.ring_after, first.rings = now_plus(0), now_plus(RUNG_FOR), 0
        tx.enqueue(TaskName.DELIVER_CALLBACK, first.id)


def _put_off(tx: Transaction, callback_id: UUID) -> None:
    """Let a message wait while another tries its endpoint; that is no try of its own."""
    later = update(Callback).where(Callback.id == callback_id, Callback.next_attempt_at <= now_plus(0), _is_free())
    values = {"next_attempt_at": now_plus(PUT_OFF_FOR), "ring_after": None}
    tx.session.execute(later.values(**values), execution_options=_UNSYNCED)


def _log_given_up(tx: Transaction, cancellation_id: UUID, why: str) -> None:
    tx.log("callback_given_up", level=logging.ERROR, cancellation_id=str(cancellation_id), last=why, next="replay it")


def _is_pending() -> ColumnElement[bool]:
    return (Callback.delivered_at.is_(None)) & (Callback.given_up_at.is_(None))


def _is_free() -> ColumnElement[bool]:
    return or_(Callback.lease_until.is_(None), Callback.lease_until < now_plus(0))


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
