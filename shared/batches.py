"""Batches: cancellations that are handed over together, and paused, resumed and called off together.

What changes many rows does so in chunks, a transaction each, and repeating it goes on where it was stopped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from shared import bulk_intake, callbacks
from shared.batch_models import Batch
from shared.bulk_intake import Line, Taken
from shared.cancellation_request import fingerprint
from shared.columns import new_id
from shared.db import Database, Transaction, insert_or_ignore, now_plus
from shared.lifecycle import Status, Step, check_transition
from shared.models import STATUSES, Cancellation, Transition
from shared.problems import Problem
from shared.turns import BULK, HELD

CHUNK = 1_000
"""Rows that one transaction pauses or resumes."""
ABORTED_TOGETHER = 200
"""Rows that one transaction aborts: fewer, since for each there may be someone to tell."""
CALLED_OFF = "its batch was called off"

Action = Literal["pause", "resume", "call_off"]

_HAS_NOT_BEGUN = (
    Cancellation.status == Status.IN_PROGRESS.value,
    Cancellation.next_step == Step.LOOK_UP.value,
    Cancellation.lease == 0,
)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many cancellations of a batch stand where."""

    by_status: Mapping[str, int]
    waiting: int
    """Of those in progress: not begun."""

    @property
    def lines(self) -> int:
        """How many the batch holds."""
        return sum(self.by_status.values())


def open_batch(
    tx: Transaction, *, sent: Mapping[str, Any], name: str, expected: int | None, caller: str, partner: str, key: str
) -> tuple[Batch, bool]:
    """Store a batch under the caller's key, and return (batch, created) with the batch locked.

    Raises Problem `idempotency-key-reused` when the key came with another body.
    """
    values = {
        "id": new_id(), "partner": partner, "caller": caller, "idempotency_key": key, "fingerprint": fingerprint(sent),
        "name": name, "expected": expected, "status": "open",
    }  # fmt: skip
    created = insert_or_ignore(tx.session, Batch, values, conflict=("caller", "idempotency_key"))
    of_key = select(Batch).where(Batch.caller == caller, Batch.idempotency_key == key)
    batch = tx.session.scalars(of_key.with_for_update(read=True)).one()
    if batch.fingerprint != values["fingerprint"]:
        detail = "This key stands for a batch with another body; use a new key for a new batch."
        raise Problem("idempotency-key-reused", detail, id=str(batch.id))
    return batch, created


def find_by_key(session: Session, *, caller: str, key: str) -> Batch | None:
    """Return the batch that a caller's key stands for."""
    return session.scalars(select(Batch).where(Batch.caller == caller, Batch.idempotency_key == key)).first()


def find(session: Session, batch_id: UUID) -> Batch | None:
    """Return the batch as it is now."""
    return session.get(Batch, batch_id)


def add(tx: Transaction, batch_id: UUID, lines: Mapping[int, Line], *, actor: str) -> Taken:
    """Add lines, held while the batch is paused; raise Problem `batch-called-off` once it takes no new ones."""
    batch = _locked(tx, batch_id)
    if batch.status != "called_off":
        return bulk_intake.take(tx, lines, batch=batch, actor=actor)
    sent = {place: (line.key, line.sent) for place, line in lines.items()}
    known = bulk_intake.recognise(tx.session, sent, caller=batch.caller, partner=batch.partner)
    if known.ids.keys() | known.refused.keys() != lines.keys():
        raise Problem("batch-called-off", "The batch was called off: it takes no more cancellations.")
    return known


def counts(session: Session, batch_id: UUID) -> Counts:
    """Count a batch's cancellations by their status."""
    waiting = func.sum(case(((Cancellation.next_step == Step.LOOK_UP.value) & (Cancellation.lease == 0), 1), else_=0))
    of_batch = select(Cancellation.status, func.count(), waiting).where(Cancellation.batch_id == batch_id)
    found = {status: (count, idle) for status, count, idle in session.execute(of_batch.group_by(Cancellation.status))}
    return Counts(
        by_status={status: found.get(status, (0, 0))[0] for status in STATUSES},
        waiting=found.get(Status.IN_PROGRESS.value, (0, 0))[1],
    )


def steer(database: Database, batch_id: UUID, action: Action, *, actor: str) -> None:
    """Do one of the following; raise Problem `batch-called-off` where the batch is over."""
    match action:
        case "pause":
            pause(database, batch_id)
        case "resume":
            resume(database, batch_id)
        case "call_off":
            call_off(database, batch_id, actor=actor)


def pause(database: Database, batch_id: UUID) -> None:
    """Hold what has not begun."""
    _set_status(database, batch_id, "paused")
    _reclass(database, batch_id, while_it_is="paused", before=BULK, after=HELD)


def resume(database: Database, batch_id: UUID) -> None:
    """Let what was held have its turn."""
    _set_status(database, batch_id, "open")
    _reclass(database, batch_id, while_it_is="open", before=HELD, after=BULK)


def call_off(database: Database, batch_id: UUID, *, actor: str) -> None:
    """Abort what has not begun, and take no more; what has begun goes on."""
    _set_status(database, batch_id, "called_off")
    while True:
        with database.transaction() as tx:
            ids = _next_idle(tx, batch_id, at_most=ABORTED_TOGETHER)
            _abort(tx, ids, actor=actor)
            tx.log("batch_called_off", batch_id=str(batch_id), aborted=len(ids))
        if len(ids) < ABORTED_TOGETHER:
            return


def _set_status(database: Database, batch_id: UUID, status: str) -> None:
    with database.transaction() as tx:
        batch = tx.session.get(Batch, batch_id, with_for_update=True)
        if batch is None:
            raise LookupError(f"batch {batch_id} is gone; its status was not set to {status}")
        if batch.status == "called_off" and status != "called_off":
            raise Problem("batch-called-off", f"The batch was called off: it cannot be {_DONE[status]}.")
        if batch.status != status:
            batch.status = status
            batch.updated_at = now_plus(0)
            tx.log("batch_changed", batch_id=str(batch_id), status=status)


_DONE = {"paused": "paused", "open": "resumed"}


def _reclass(database: Database, batch_id: UUID, *, while_it_is: str, before: int, after: int) -> None:
    while True:
        with database.transaction() as tx:
            if _locked(tx, batch_id).status != while_it_is:
                return  # someone has decided otherwise since, and changes the same rows
            ids = _next_idle(tx, batch_id, Cancellation.turn_class == before, at_most=CHUNK)
            changed = update(Cancellation).where(Cancellation.id.in_(ids)).values(turn_class=after)
            tx.session.execute(changed, execution_options={"synchronize_session": False})
        if len(ids) < CHUNK:
            return


def _next_idle(tx: Transaction, batch_id: UUID, *where: Any, at_most: int) -> Sequence[UUID]:
    """Lock some of a batch's cancellations that have not begun; always in the order of their ids."""
    idle = select(Cancellation.id).where(Cancellation.batch_id == batch_id, *_HAS_NOT_BEGUN, *where)
    return tx.session.scalars(idle.order_by(Cancellation.id).limit(at_most).with_for_update()).all()


def _abort(tx: Transaction, ids: Sequence[UUID], *, actor: str) -> None:
    """Do for many locked rows that have not begun what `caller_actions.abort` does for one."""
    if not ids:
        return
    check_transition(Status.IN_PROGRESS, Status.ABORTED)
    aborted = update(Cancellation).where(Cancellation.id.in_(ids))
    values = {
        "status": Status.ABORTED.value, "next_step": None, "next_attempt_at": None, "ring_after": None, "rings": 0,
        "turn_class": None, "turn": None, "lease": Cancellation.lease + 1, "lease_until": None, "tries": 0,
        "abandoned": 0, "problem": None, "updated_at": now_plus(0),
    }  # fmt: skip
    tx.session.execute(aborted.values(**values), execution_options={"synchronize_session": False})
    line = {
        "event": "aborted", "from_status": Status.IN_PROGRESS.value, "to_status": Status.ABORTED.value,
        "from_step": Step.LOOK_UP.value, "to_step": None, "actor": actor, "reason": CALLED_OFF,
    }  # fmt: skip
    tx.session.execute(insert(Transition), [{**line, "cancellation_id": row_id} for row_id in ids])
    told = select(Cancellation).where(Cancellation.id.in_(ids), Cancellation.callback_url.is_not(None))
    for row in tx.session.scalars(told.order_by(Cancellation.id)):
        callbacks.record(tx, row, "cancellation.aborted", status=Status.ABORTED.value, next_step=None)


def _locked(tx: Transaction, batch_id: UUID) -> Batch:
    """Return the batch, whose status stays as it is until the transaction ends; others may add lines meanwhile."""
    batch = tx.session.get(Batch, batch_id, with_for_update={"read": True}, populate_existing=True)
    if batch is None:
        raise LookupError(f"batch {batch_id} is gone")
    return batch
