"""All writes to a cancellation's row by its steps.

A step is three beats: `begin_step` in a short transaction, the call with no transaction open, and one of
`finish_step`, `postpone`, `await_refund`, `await_premium_refund`, `renew_preview`, `park` or `reject` in another.
The third beat writes only while the lease taken in the first is still its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import case, or_, select, update
from sqlalchemy.orm import Session

from shared import pauses, reservations
from shared.db import Transaction, now_plus
from shared.lifecycle import UNFINISHED, Status, Step, next_step
from shared.models import Cancellation
from shared.problems import problem
from shared.transitions import Change, LeaseLost, advance, lock

LEASE_SECONDS = 8.0
"""Short, and renewed while a call runs, so that a dead worker's step is soon free."""
MAX_TRIES = 100
"""With waits growing to 5 min, about eight hours of an insurer that does not answer."""
MAX_ABANDONED = 5
"""A step during which workers died this often is probably what kills them."""

WORKER = "worker"


def find(session: Session, cancellation_id: UUID) -> Cancellation | None:
    """Return the row as it is now."""
    return session.get(Cancellation, cancellation_id)


def begin_step(tx: Transaction, cancellation_id: UUID, step: Step) -> Cancellation | None:
    """Take the lease on a due step, or return None when the row has moved on, is not due, or is being worked on."""
    taken = (
        update(Cancellation)
        .where(
            Cancellation.id == cancellation_id,
            Cancellation.next_step == step,
            Cancellation.status.in_(UNFINISHED),
            Cancellation.next_attempt_at <= now_plus(0),
            or_(Cancellation.lease_until.is_(None), Cancellation.lease_until < now_plus(0)),
            pauses.not_paused(),
        )
        .values(
            lease=Cancellation.lease + 1,
            lease_until=now_plus(LEASE_SECONDS),
            begun_at=now_plus(0),
            tries=Cancellation.tries + 1,
            # A lease that is still written although it ran out was never ended by its holder.
            abandoned=case(
                (Cancellation.lease_until.is_not(None), Cancellation.abandoned + 1),
                else_=Cancellation.abandoned,
            ),
            rings=0,
            ring_after=None,
            turn_class=None,
            turn=None,
        )
        .returning(Cancellation)
    )
    held = tx.session.scalars(taken, execution_options={"populate_existing": True}).first()
    if held is None:
        return None
    if held.abandoned > MAX_ABANDONED:
        park(
            tx,
            held,
            "worker-crashed",
            f"Workers died {held.abandoned} times during {step}; retry takes it up again.",
        )
        return None
    if held.tries > MAX_TRIES:
        park(tx, held, "tries-spent", f"{MAX_TRIES} tries of {step} are spent; retry takes it up again.")
        return None
    return held


def renew_lease(tx: Transaction, held: Cancellation) -> bool:
    """Keep the row while a call runs; return False when it is no longer ours."""
    # A third beat that has ended the lease in the meantime must not be undone by this one.
    is_ours = (
        Cancellation.id == held.id,
        Cancellation.lease == held.lease,
        Cancellation.lease_until.is_not(None),
    )
    ours = update(Cancellation).where(*is_ours)
    renewed = tx.session.execute(ours.values(lease_until=now_plus(LEASE_SECONDS)).returning(Cancellation.id))
    return renewed.first() is not None


def assure_held(tx: Transaction, held: Cancellation) -> None:
    """Lock the row, before rows that belong to it: every transaction locks in this order. Raise LeaseLost."""
    current = lock(tx, held.id)
    if current is None or current.lease != held.lease or current.lease_until is None:
        raise LeaseLost(f"cancellation {held.id}: lease {held.lease} is no longer the current one")


def is_still_held(session: Session, held: Cancellation) -> bool:
    """Tell by the database's clock whether the lease lasts: asked right before something irreversible is sent."""
    held_now = (
        Cancellation.id == held.id,
        Cancellation.lease == held.lease,
        Cancellation.lease_until >= now_plus(0),
    )
    return session.scalar(select(Cancellation.id).where(*held_now)) is not None


def pass_point_of_no_return(tx: Transaction, held: Cancellation) -> None:
    """Write the committed intent of something irreversible; from here on abort is refused."""
    if held.irreversible_at is None:
        first = update(Cancellation).where(Cancellation.id == held.id, Cancellation.irreversible_at.is_(None))
        tx.session.execute(
            first.values(irreversible_at=held.begun_at), execution_options={"synchronize_session": False}
        )
        held.irreversible_at = held.begun_at


def finish_step(
    tx: Transaction,
    held: Cancellation,
    step: Step,
    reason: str,
    *,
    details: Mapping[str, Any] | None = None,
    **values: Any,
) -> None:
    """Mark the step done; the next one is rung for after the commit."""
    done = [*held.done_steps, step.value]
    steps = values.get("steps", held.steps)
    status = Status.IN_PROGRESS if next_step(steps, done) else Status.COMPLETED
    if status is Status.COMPLETED:
        values["completed_at"] = now_plus(0)
    change = Change(
        event="step_done",
        actor=WORKER,
        reason=reason,
        status=status,
        done=done,
        values=values,
        details=details,
    )
    advance(tx, held, change)


def postpone(
    tx: Transaction,
    held: Cancellation,
    reason: str,
    *,
    seconds: float,
    counts: bool = True,
    was_answered: bool = False,
    details: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Try the same step again later.

    A wait that is nobody's fault does not count as a try; after a usable answer the counting starts anew. `more` are
    columns to write with it.
    """
    tries = held.tries if counts else max(held.tries - 1, 0)
    values = {"tries": 0, "abandoned": 0} if was_answered else {"tries": tries, "abandoned": held.abandoned}
    change = Change(
        event="postponed",
        actor=WORKER,
        reason=reason,
        status=Status.IN_PROGRESS,
        due_in=seconds,
        details=details,
        values={**values, **more},
    )
    advance(tx, held, change)


def await_refund(tx: Transaction, held: Cancellation, reason: str, *, seconds: float) -> None:
    """Wait for the partner's report, and wake up by ourselves to renew the preview."""
    values = {"waiting_since": held.waiting_since or now_plus(0), "tries": 0, "abandoned": 0}
    change = Change(
        event="awaiting_refund", actor=WORKER, status=Status.AWAITING_REFUND, due_in=seconds, values=values,
        reason=reason,
    )  # fmt: skip
    advance(tx, held, change)


def await_premium_refund(tx: Transaction, held: Cancellation, reason: str, *, seconds: float) -> None:
    """Wait for the claim's Premium Refund, and wake up by ourselves to ask about the claim."""
    values = {"waiting_since": held.waiting_since or now_plus(0), "tries": 0, "abandoned": 0}
    change = Change(
        event="awaiting_premium_refund", actor=WORKER, status=Status.AWAITING_PREMIUM_REFUND, due_in=seconds,
        values=values, reason=reason,
    )  # fmt: skip
    advance(tx, held, change)


def renew_preview(tx: Transaction, held: Cancellation, reason: str, *, seconds: float = 0.0, **values: Any) -> None:
    """Start a new preview round, with a new key; claims made and refunds reported stay done."""
    done = [step for step in held.done_steps if step not in {Step.PREVIEW, Step.REFUND}]
    values = {"round": held.round + 1, **values}
    change = Change(
        event="preview_renewed", actor=WORKER, reason=reason, status=Status.IN_PROGRESS, done=done, due_in=seconds,
        values=values,
    )  # fmt: skip
    advance(tx, held, change)


def hurry(tx: Transaction, row: Cancellation, reason: str) -> None:
    """End the wait of a locked row that nobody works on: news has come."""
    change = Change(
        event="hurried", actor=WORKER, reason=reason, status=Status.IN_PROGRESS, values={"tries": row.tries}
    )
    advance(tx, row, change, takes_over=True)


def park(
    tx: Transaction,
    held: Cancellation,
    slug: str,
    detail: str,
    *,
    actor: str = WORKER,
    takes_over: bool = False,
    done: Sequence[str] | None = None,
    values: Mapping[str, Any] | None = None,
    **evidence: Any,
) -> None:
    """Leave the decision to a person, with the evidence; `done` where the step itself was done."""
    change = Change(
        event="needs_review",
        actor=actor,
        reason=detail,
        status=Status.NEEDS_REVIEW,
        done=done,
        values={**(values or {}), "problem": problem(slug, detail, **evidence)},
        details=evidence,
    )
    advance(tx, held, change, takes_over=takes_over)


def reject(tx: Transaction, held: Cancellation, slug: str, detail: str, **evidence: Any) -> None:
    """End it before the point of no return; after that point a refusal is a person's to decide."""
    current = lock(tx, held.id)  # a refund may have been reported while this try was under way
    if current is None or current.irreversible_at is not None:
        park(tx, held, slug, detail, **evidence)
        return
    values = {"problem": problem(slug, detail, **evidence)}
    change = Change(
        event="rejected", actor=WORKER, reason=detail, status=Status.REJECTED, values=values, details=evidence
    )
    advance(tx, held, change)
    reservations.release_all(tx, held.id)
