"""Changes of a cancellation's status or step: the one place that writes them, each with its line of history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shared import callbacks, log_context
from shared.db import Transaction, now_plus
from shared.lifecycle import TASK_OF, UNFINISHED, Status, Step, check_transition, next_step
from shared.models import Cancellation, Transition

MESSAGE_PATIENCE = 10.0
"""Seconds a fresh message may wait in its queue before the sweeper rings again."""


class LeaseLost(Exception):
    """Another worker, or the caller's abort, took the row over; what this try found must not be written."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What `advance` writes; what is left out stays as it is."""

    event: str
    actor: str
    reason: str
    status: Status
    done: Sequence[str] | None = None
    due_in: float | None = 0.0
    """Seconds until the service acts by itself; ignored for statuses in which it does not."""
    values: Mapping[str, Any] | None = None
    details: Mapping[str, Any] | None = None


def advance(tx: Transaction, row: Cancellation, change: Change, *, takes_over: bool = False) -> None:
    """Write a change of status or step, its transition and its next message: the only way a status changes.

    Raises LeaseLost when the row was taken over since it was read, IllegalTransition when the table forbids it.
    `takes_over` is for callers' actions on a locked row: whoever holds the lease loses it.
    """
    check_transition(Status(row.status), change.status)
    done = list(row.done_steps if change.done is None else change.done)
    values: dict[str, Any] = {
        "lease_until": None,
        "updated_at": now_plus(0),
        "done_steps": done,
        "turn_class": None,
        "turn": None,
        **(change.values or {}),
    }
    to_step = _step_after(row, change.status, values.get("steps", row.steps), done)
    if to_step != row.next_step:
        values = {"tries": 0, "abandoned": 0, **values}
    if change.status in UNFINISHED or change.status is Status.COMPLETED:
        values["problem"] = None
    values |= {"status": change.status, "next_step": to_step, **_due(change, to_step)}
    if takes_over:
        values["lease"] = Cancellation.lease + 1
    written = update(Cancellation).where(Cancellation.id == row.id, Cancellation.lease == row.lease)
    if not takes_over:  # a holder that has already ended its try must not write a second end
        written = written.where(Cancellation.lease_until.is_not(None))
    before = (row.status, row.next_step)
    statement = written.values(**values).returning(Cancellation.id)
    if tx.session.scalar(statement, execution_options={"synchronize_session": False}) is None:
        raise LeaseLost(f"cancellation {row.id}: lease {row.lease} is no longer the current one; nothing was written")
    _note(tx, row.id, change, before, to_step)
    if change.status != before[0]:
        callbacks.record(tx, row, f"cancellation.{change.status}", status=change.status, next_step=to_step)
    said: dict[str, Any] = {"step": before[1], "status": change.status.value, "next_step": to_step}
    tx.log(change.event, **log_context.ids_of(row), **said)
    if change.status is Status.IN_PROGRESS and to_step and change.due_in == 0:
        tx.enqueue(TASK_OF[Step(to_step)], row.id)


def note(
    tx: Transaction, row: Cancellation, event: str, *, actor: str, reason: str, details: Mapping[str, Any]
) -> None:
    """Write a line in the timeline that changes nothing."""
    change = Change(event=event, actor=actor, reason=reason, status=Status(row.status), details=details)
    _note(tx, row.id, change, (row.status, row.next_step), row.next_step)


def is_noted(session: Session, cancellation_id: UUID, event: str, about: str) -> bool:
    """Tell whether the timeline has such a line about this already."""
    lines = select(Transition.details).where(Transition.cancellation_id == cancellation_id, Transition.event == event)
    return any(details.get("about") == about for details in session.scalars(lines))


def lock(tx: Transaction, cancellation_id: UUID) -> Cancellation | None:
    """Return the row locked for a caller's action."""
    locked = select(Cancellation).where(Cancellation.id == cancellation_id).with_for_update()
    return tx.session.scalars(locked, execution_options={"populate_existing": True}).first()


def _step_after(row: Cancellation, status: Status, steps: Sequence[str], done: Sequence[str]) -> str | None:
    if status in UNFINISHED or (status is Status.NEEDS_REVIEW and row.next_step is not None):
        step = next_step(steps, done)
        return step.value if step else None
    return None


def _due(change: Change, to_step: str | None) -> dict[str, Any]:
    if change.status not in UNFINISHED or to_step is None:
        return {"next_attempt_at": None, "rings": 0, "ring_after": None}
    wait = change.due_in or 0.0
    # A step rung for at once gives its message time; one that waits is the sweeper's to ring when it is due.
    patience = now_plus(MESSAGE_PATIENCE) if wait == 0 else None
    return {"next_attempt_at": now_plus(wait), "rings": 0, "ring_after": patience}


def _note(tx: Transaction, row_id: UUID, change: Change, before: tuple[str, str | None], to_step: str | None) -> None:
    tx.session.add(
        Transition(
            cancellation_id=row_id,
            event=change.event,
            from_status=before[0],
            to_status=change.status,
            from_step=before[1],
            to_step=to_step,
            actor=change.actor,
            reason=change.reason,
            details=dict(change.details or {}),
        )
    )
