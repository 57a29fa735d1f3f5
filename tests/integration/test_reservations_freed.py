"""When a policy is let go: nothing irreversible was done, its claim came to nothing, or an operator says so."""

from typing import Any
from uuid import UUID

import pytest

from shared import caller_actions, webhook_events
from shared.problems import Problem
from shared.resolutions import resolve
from shared.rulings import Resolution, Ruling
from tests.simulator import SimBooking
from tests.world import World

SKIP = {"mode": "skip"}
REFUSED = {"on": "confirm", "do": "refuse", "times": 50}


def _abort(world: World, row_id: UUID) -> None:
    with world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")


def _close(world: World, row_id: UUID, *, frees_policies: bool = False) -> None:
    ruling = Ruling(
        resolution=Resolution.CLOSE, actor="operator:ops", note="settled by phone", frees_policies=frees_policies
    )
    with world.database.transaction() as tx:
        resolve(tx, row_id, ruling)


def _decline(world: World, row_id: UUID) -> None:
    """XClaim declines the claim, and says so."""
    claim = world.claim(row_id)
    told = {"event": "claim.status-category-update", "category": "Declined"}
    world.control.send_event(claim.reference, **told, send=False)
    raw = f'{{"event": "{told["event"]}", "payload": {{"id": "{claim.claim_id}"}}}}'.encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.drain()


def _stuck_at_confirm(world: World) -> tuple[SimBooking, UUID]:
    """Return a cancellation past the point of no return whose confirm is refused."""
    booking = world.booking(faults=[REFUSED])
    row_id = world.accept(booking, refund=SKIP)
    world.settle()
    assert (world.row(row_id).status, world.row(row_id).next_step) == ("needs_review", "confirm")
    return booking, row_id


def _holder_named_to_another(world: World, booking: SimBooking, **body: Any) -> str | None:
    """Return whom a second cancellation for the booking is told to have it in hand, if anyone."""
    second = world.accept(booking, **body)
    world.drain()
    problem = world.row(second).problem
    if problem is None:
        return None
    assert problem["type"] == "/problems/already-in-hand"
    return str(problem["holder"])


# --- freed ----------------------------------------------------------------------------------------------------------


def test_a_policy_is_freed_when_the_insurer_refuses_its_preview(world: World) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": "refuse"}])
    row_id = world.accept(booking)

    world.drain()

    assert world.row(row_id).status == "rejected"
    assert world.held_policies() == []
    assert _holder_named_to_another(world, booking) is None


def test_every_policy_is_freed_when_the_claim_stops_being_eligible_before_money_moves(world: World) -> None:
    booking = world.booking(policies=[{}, {}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    world.run(*world.database.published.pop(0))
    assert len(world.held_policies()) == 2
    world.control.patch_booking(booking.id, failed_checks=["changed_its_mind"])

    world.drain()

    assert world.row(row_id).status == "rejected"
    assert world.held_policies() == []


@pytest.mark.parametrize("steps", [1, 2, 3], ids=["looked up", "previewed", "awaiting the refund"])
def test_every_policy_is_freed_when_the_caller_takes_it_back(world: World, steps: int) -> None:
    booking = world.booking(policies=[{}, {}])
    row_id = world.accept(booking)
    for _ in range(steps):
        world.run(*world.database.published.pop(0))
    assert len(world.held_policies()) == 2

    _abort(world, row_id)

    assert world.held_policies() == []
    assert _holder_named_to_another(world, booking) is None


def test_a_claimed_policy_is_freed_when_its_claim_closes_unpaid(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, journey="claim", claim={})
    world.settle()
    assert world.held_policies() == [booking.quote_id]

    _decline(world, row_id)

    assert world.row(row_id).status == "completed"
    assert world.held_policies() == []
    assert _holder_named_to_another(world, booking) is None


def test_only_the_claimed_policy_is_freed_when_its_claim_closes_unpaid(world: World) -> None:
    booking = world.booking(policies=[{}, {}], claim_story=[])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    world.settle()

    _decline(world, row_id)

    assert world.held_policies() == [booking.quote_ids[0]]


def test_a_policy_is_freed_when_an_operator_closes_what_did_nothing_irreversible(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()
    assert world.row(row_id).irreversible_at is None

    _close(world, row_id)

    assert world.held_policies() == []
    assert _holder_named_to_another(world, booking) is None


def test_a_policy_is_freed_when_an_operator_closes_and_says_so(world: World) -> None:
    booking, row_id = _stuck_at_confirm(world)

    _close(world, row_id, frees_policies=True)

    assert world.row(row_id).status == "closed"
    assert world.held_policies() == []
    assert _holder_named_to_another(world, booking) is None


def test_closing_one_frees_nothing_that_another_holds(world: World) -> None:
    booking = world.booking(policies=[{}, {}])
    first, second = booking.quote_ids
    closed = world.accept(booking, quotes=[{"id": first}])
    world.accept(booking, quotes=[{"id": second}])
    world.drain()

    _close(world, closed, frees_policies=True)

    assert world.held_policies() == [second]


# --- not freed ------------------------------------------------------------------------------------------------------


def test_a_policy_stays_in_hand_when_it_has_been_cancelled(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.held_policies() == [booking.quote_id]


def test_a_policy_stays_in_hand_when_its_claim_was_paid(world: World) -> None:
    world.configure(xclaim_eligibility_check=False)
    booking = world.booking()
    row_id = world.accept(booking, journey="claim", claim={})

    world.settle()

    assert world.row(row_id).status == "completed"
    assert _holder_named_to_another(world, booking, journey="claim", claim={}) == str(row_id)


def test_a_policy_stays_in_hand_while_a_person_must_decide(world: World) -> None:
    booking, row_id = _stuck_at_confirm(world)

    assert _holder_named_to_another(world, booking) == str(row_id)


def test_a_policy_stays_in_hand_when_an_operator_closes_after_the_point_of_no_return(world: World) -> None:
    booking, row_id = _stuck_at_confirm(world)

    _close(world, row_id)

    assert world.row(row_id).status == "closed"
    assert _holder_named_to_another(world, booking) == str(row_id)


def test_a_policy_stays_in_hand_when_the_customer_was_refunded_and_an_operator_closes(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], faults=[REFUSED])
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")
    world.settle()

    _close(world, row_id)

    assert _holder_named_to_another(world, booking) == str(row_id)


def test_a_policy_stays_in_hand_when_taking_it_back_comes_too_late(world: World) -> None:
    booking, row_id = _stuck_at_confirm(world)

    with pytest.raises(Problem) as refused:
        _abort(world, row_id)

    assert refused.value.slug == "point-of-no-return"
    assert _holder_named_to_another(world, booking) == str(row_id)


def test_a_policy_that_is_being_cancelled_too_stays_in_hand_once_its_confirm_is_on_its_way(world: World) -> None:
    booking = world.booking(claim_story=[], faults=[REFUSED])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.settle()
    assert world.row(row_id).next_step == "confirm"

    _decline(world, row_id)

    assert world.held_policies() == [booking.quote_id]
