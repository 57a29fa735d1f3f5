"""Story: bookings of several policies. Those named are cancelled, the others stay as they were."""

from uuid import UUID

import pytest

from tests.simulator import SimBooking
from tests.world import World

SKIP = {"mode": "skip"}
THREE = [{"price": 10}, {"price": 20}, {"price": 30}]


def _statuses(world: World, booking: SimBooking) -> list[str]:
    """The policies' statuses at the insurer, now."""
    return [policy["status"] for policy in world.control.booking(booking.id).details["policies"]]


def _slug(world: World, row_id: UUID) -> str:
    return str((world.row(row_id).problem or {}).get("type", "")).rpartition("/")[2]


# --- several policies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [[0], [1], [2, 0], [0, 1, 2]])
def test_exactly_the_named_policies_are_cancelled_and_the_others_stay_confirmed(world: World, named: list[int]) -> None:
    booking = world.booking(policies=THREE)
    wanted = [booking.quote_ids[number] for number in named]
    row_id = world.accept(booking, quotes=[{"id": quote_id} for quote_id in wanted], refund=SKIP)

    world.drain()

    assert world.row(row_id).status == "completed"
    assert sorted(world.effects("confirm", booking)[0]["quotes"]) == sorted(wanted)
    assert _statuses(world, booking) == ["CANCELLED" if number in named else "CONFIRMED" for number in range(3)]


def test_by_default_every_policy_is_cancelled(world: World) -> None:
    booking = world.booking(policies=THREE)
    row_id = world.accept(booking, refund=SKIP)

    world.drain()

    assert world.row(row_id).status == "completed"
    assert _statuses(world, booking) == ["CANCELLED"] * 3


def test_by_default_the_claimed_policy_is_spared_and_every_other_is_cancelled(world: World) -> None:
    booking = world.booking(policies=THREE)
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "completed"
    assert _statuses(world, booking) == ["CANCELLED", "CONFIRMED", "CANCELLED"]


def test_only_the_policies_in_hand_are_reserved(world: World) -> None:
    booking = world.booking(policies=THREE)
    world.accept(booking, quotes=[{"id": booking.quote_ids[0]}], claim={"quote_id": booking.quote_ids[2]})

    world.drain()

    assert sorted(world.held_policies()) == sorted([booking.quote_ids[0], booking.quote_ids[2]])


def test_a_spared_policy_can_still_be_claimed(world: World) -> None:
    booking = world.booking(policies=THREE)
    first, spared, third = booking.quote_ids
    world.accept(booking, quotes=[{"id": first}, {"id": third}], refund=SKIP)
    world.drain()

    row_id = world.accept(booking, journey="claim", claim={"quote_id": spared})
    world.settle()

    assert world.row(row_id).status == "completed"
    assert [effect["quotes"] for effect in world.effects("claim", booking)] == [[spared]]
    assert _statuses(world, booking) == ["CANCELLED", "CONFIRMED", "CANCELLED"]


def test_a_spared_policy_can_be_cancelled_later(world: World) -> None:
    booking = world.booking(policies=THREE)
    first, second, third = booking.quote_ids
    world.accept(booking, quotes=[{"id": second}], refund=SKIP)
    world.drain()

    row_id = world.accept(booking, quotes=[{"id": first}, {"id": third}], refund=SKIP)
    world.drain()

    assert world.row(row_id).status == "completed"
    assert _statuses(world, booking) == ["CANCELLED"] * 3


def test_after_a_part_was_cancelled_all_of_it_is_rejected_naming_that_part(world: World) -> None:
    booking = world.booking(policies=THREE)
    gone = booking.quote_ids[1]
    world.accept(booking, quotes=[{"id": gone}], refund=SKIP)
    world.drain()

    row_id = world.accept(booking, refund=SKIP)
    world.drain()

    assert (world.row(row_id).status, _slug(world, row_id)) == ("rejected", "policy-already-cancelled")
    assert (world.row(row_id).problem or {})["quote_id"] == gone


def test_two_cancellations_of_different_policies_of_a_booking_go_on_side_by_side(world: World) -> None:
    booking = world.booking(policies=THREE)
    first, second, _ = booking.quote_ids
    rows = [world.accept(booking, quotes=[{"id": quote_id}], refund=SKIP) for quote_id in (first, second)]

    world.drain()

    assert [world.row(row_id).status for row_id in rows] == ["completed", "completed"]
    assert _statuses(world, booking) == ["CANCELLED", "CANCELLED", "CONFIRMED"]


# --- packages of which a part can be cancelled ----------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [False, None], ids=["not allowed", "not said"])
def test_a_mixed_package_is_rejected_naming_the_policy_that_cannot_be_cancelled(
    world: World, allowed: bool | None
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 20, "can_be_cancelled": allowed}])
    row_id = world.accept(booking, refund=SKIP)

    world.drain()

    assert (world.row(row_id).status, _slug(world, row_id)) == ("rejected", "policy-cannot-be-cancelled")
    assert (world.row(row_id).problem or {})["quote_id"] == booking.quote_ids[1]
    assert world.held_policies() == []


@pytest.mark.parametrize("allowed", [False, None], ids=["not allowed", "not said"])
def test_of_a_mixed_package_the_policy_that_can_be_cancelled_is_cancelled_when_named(
    world: World, allowed: bool | None
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 20, "can_be_cancelled": allowed}])
    row_id = world.accept(booking, quotes=[{"id": booking.quote_ids[0]}], refund=SKIP)

    world.drain()

    assert world.row(row_id).status == "completed"
    assert _statuses(world, booking) == ["CANCELLED", "CONFIRMED"]


def test_a_claimed_policy_that_cannot_be_cancelled_is_no_obstacle_when_the_others_are_cancelled(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50, "can_be_cancelled": False}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "completed"
