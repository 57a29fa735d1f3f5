"""Every way in which an invariant can be broken, planted by SQL into rows that were right; and a check of them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import delete, update

from shared import forgettable
from shared.clock import utc_now
from shared.lifecycle import TaskName
from shared.models import Call, Cancellation, Claim, Reservation, Transition
from tests.every_ending import STATES, write
from tests.simulator import CLAIM_TYPE_ID, PARTNER_CODE
from tests.world import World
from workers import check_invariants
from workers.app import app

Breach = Callable[[World], set[UUID]]
"""Plants one and returns the cancellations concerned."""


def change(world: World, table: Any, row_id: UUID, **values: Any) -> None:
    """Write to a cancellation, or to what belongs to it, past every rule."""
    column = table.id if table is Cancellation else table.cancellation_id
    with world.database.transaction() as tx:
        tx.session.execute(update(table).where(column == row_id).values(**values))


def add_call(world: World, row_id: UUID, step: str, number: int, outcome: str = "done") -> None:
    """Add one more call of a step."""
    with world.database.transaction() as tx:
        values = {"key": str(uuid4()), "fingerprint": "0" * 64, "request": {}, "attempts": 1}
        tx.session.add(Call(cancellation_id=row_id, step=step, round=number, outcome=outcome, **values))


def add_claim(world: World, row_id: UUID, reference: str, **values: Any) -> None:
    """Add one more claim of another type."""
    booking_id = world.row(row_id).booking_id
    with world.database.transaction() as tx:
        tx.session.add(
            Claim(
                partner=PARTNER_CODE, cancellation_id=row_id, booking_id=booking_id, quote_id="q1",
                claim_type_id=f"{CLAIM_TYPE_ID}-2", webhook_token=str(uuid4()), reference=reference,
                **{"milestones": {}, **values},
            )
        )  # fmt: skip


def pair(world: World, state: str, other: str = "") -> list[UUID]:
    """Write two cancellations of one booking, which have one policy in common."""
    first, second = write(world, STATES[state]), write(world, STATES[other or state])
    change(world, Cancellation, second, booking_id=world.row(first).booking_id)
    return [first, second]


def check() -> list[Any]:
    """Check once, as beat has a worker do, and return what was logged as broken."""
    with structlog.testing.capture_logs() as logs:
        app.tasks[TaskName.CHECK_INVARIANTS.value]()
    return [line for line in logs if line["event"] == "invariant_broken"]


def forget_checks() -> None:
    """Let the next check know of none before it."""
    forgettable.remember(app, dict.fromkeys((check_invariants.CHANGED, check_invariants.ALL), ""))


def blocks_of(world: World, row_id: UUID) -> list[Transition]:
    """Return the lines of its timeline that say it was blocked."""
    return [line for line in world.timeline(row_id) if line.actor == "invariants"]


def _cancelled_by_two(world: World) -> set[UUID]:
    return set(pair(world, "completed/-!", "completed/-!+skipped"))


def _cancelled_by_one_that_ended_and_one_at_work(world: World) -> set[UUID]:
    first, second = pair(world, "completed/-!", "in_progress/confirm!+first")
    add_call(world, second, "confirm", 2)
    return {first, second}


def _cancelled_under_two_keys(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!"])
    add_call(world, row_id, "confirm", 2)
    return {row_id}


def _claimed_by_two(world: World) -> set[UUID]:
    first, second = pair(world, "completed/-!+claim")
    change(world, Claim, first, milestones={"claim_paid": "2026-01-01T00:00:00Z"}, closed_at=utc_now())
    return {first, second}


def _claimed_twice_by_one(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!+claim"])
    add_claim(world, row_id, "CLM-2")
    return {row_id}


def _claimed_under_two_keys(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!+claim"])
    add_call(world, row_id, "claim", 2)
    return {row_id}


def _refund_called_for_twice(world: World) -> set[UUID]:
    row_id = write(world, STATES["needs_review/refund!+call"])
    for number in (2, 3):
        add_call(world, row_id, "refund", number)
    return {row_id}


def _confirmed_without_a_refund(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!+skipped"])
    change(world, Cancellation, row_id, refund_mode="wait")
    return {row_id}


def _confirmed_before_its_refund_was_done(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!+skipped"])
    change(world, Cancellation, row_id, done_steps=["look_up", "preview", "confirm"])
    return {row_id}


def _confirm_asked_for_without_a_refund(world: World) -> set[UUID]:
    row_id = write(world, STATES["in_progress/refund"])
    add_call(world, row_id, "confirm", 1)
    return {row_id}


def _confirmed_with_another_amount(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!"])
    change(world, Cancellation, row_id, refund_amount=Decimal("22.41"))
    return {row_id}


def _confirmed_with_another_currency(world: World) -> set[UUID]:
    row_id = write(world, STATES["completed/-!"])
    change(world, Cancellation, row_id, refund_currency="USD")
    return {row_id}


def _working_on_a_policy_of_nobodys(world: World) -> set[UUID]:
    row_id = write(world, STATES["awaiting_refund/refund!"])
    with world.database.transaction() as tx:
        tx.session.execute(delete(Reservation).where(Reservation.cancellation_id == row_id))
    return {row_id}


def _working_on_a_policy_in_other_hands(world: World) -> set[UUID]:
    mine, theirs = pair(world, "in_progress/claim!+last", "in_progress/preview")
    booking_id = world.row(mine).booking_id
    with world.database.transaction() as tx:
        of_one = (Reservation.cancellation_id == mine, Reservation.quote_id == "q1")
        tx.session.execute(update(Reservation).where(*of_one).values(released_at=utc_now()))
        tx.session.add(Reservation(partner=PARTNER_CODE, booking_id=booking_id, quote_id="q1", cancellation_id=theirs))
    return {mine}


def _held_by_one_that_ended(world: World, state: str) -> set[UUID]:
    row_id = write(world, STATES[state])
    booking_id = world.row(row_id).booking_id
    with world.database.transaction() as tx:
        tx.session.add(Reservation(partner=PARTNER_CODE, booking_id=booking_id, quote_id="q1", cancellation_id=row_id))
    return {row_id}


BREACHES: dict[str, Breach] = {
    "one_cancel: by two cancellations": _cancelled_by_two,
    "one_cancel: by one that ended and one at work": _cancelled_by_one_that_ended_and_one_at_work,
    "one_cancel: under two keys": _cancelled_under_two_keys,
    "one_claim: by two cancellations, of which one was paid": _claimed_by_two,
    "one_claim: twice by one": _claimed_twice_by_one,
    "one_claim: under two keys": _claimed_under_two_keys,
    "one_refund: called for twice": _refund_called_for_twice,
    "refunded_first: nothing was reported": _confirmed_without_a_refund,
    "refunded_first: the refund was not done": _confirmed_before_its_refund_was_done,
    "refunded_first: the confirm was asked for early": _confirm_asked_for_without_a_refund,
    "refunded_as_confirmed: another amount": _confirmed_with_another_amount,
    "refunded_as_confirmed: another currency": _confirmed_with_another_currency,
    "one_holder: at work without holding": _working_on_a_policy_of_nobodys,
    "one_holder: at work on what another holds": _working_on_a_policy_in_other_hands,
    "one_holder: rejected and still holding": lambda world: _held_by_one_that_ended(world, "rejected/-"),
    "one_holder: aborted and still holding": lambda world: _held_by_one_that_ended(world, "aborted/-"),
    "one_holder: closed before anything was done, and still holding": lambda world: _held_by_one_that_ended(
        world, "closed/-"
    ),
}
"""`invariant: how` to what plants it."""
