"""Story: a caller asks by name for the immediate cancellation, and settles the refund from its answer."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.simulator import SimBooking
from tests.world import World

LOST = ["act_then_drop", "act_then_error", "garbled", "empty", "drop_before", "error_before"]
NEVER_ACTED = {"drop_before", "error_before"}


def _asked(world: World, booking: SimBooking, **more: Any) -> UUID:
    row_id = world.accept(booking, journey="cancel_now", **more)
    world.settle()
    return row_id


def _problem(world: World, row_id: UUID) -> str:
    problem = world.row(row_id).problem
    assert problem is not None
    return str(problem["type"]).removeprefix("/problems/")


def _sent(world: World) -> list[dict[str, Any]]:
    return [json.loads(request["body"]) for request in world.control.requests(operation="cancel")]


def test_it_cancels_at_once_and_shows_the_refund_of_the_answer(world: World) -> None:
    booking = world.booking(policies=[{"price": "22.40"}, {"price": "2.02"}])
    row_id = _asked(world, booking)

    row = world.row(row_id)
    assert (row.status, row.done_steps) == ("completed", ["look_up", "cancel"])
    assert (row.preview_total, row.preview_currency) == (Decimal("24.42"), "EUR")
    assert (row.preview_cancellation_id, row.preview_confirm_before) == (None, None)
    assert len(world.effects("cancel", booking)) == 1
    assert world.effects("preview", booking) == []


def test_the_body_says_plainly_that_it_is_no_preview_and_which_policies(world: World) -> None:
    booking = world.booking(policies=[{}, {}])
    quote = {"id": booking.quote_ids[0], "reason_for_cancellation": "Fell ill"}
    _asked(world, booking, quotes=[quote])

    assert _sent(world) == [{"preview": False, "quotes": [quote]}]
    (effect,) = world.effects("cancel", booking)
    assert effect["quotes"] == [booking.quote_ids[0]]


@pytest.mark.parametrize("required", [True, False])
def test_refund_required_is_passed_on(world: World, required: bool) -> None:
    booking = world.booking()
    _asked(world, booking, refund_required=required)

    assert [body["refund_required"] for body in _sent(world)] == [required]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"can_be_cancelled": False}, "policy-cannot-be-cancelled"),
        ({"can_be_cancelled": None}, "policy-cannot-be-cancelled"),
        ({"status": "CANCELLED"}, "policy-already-cancelled"),
    ],
)
def test_it_is_rejected_before_anything_was_sent(world: World, spec: dict[str, Any], problem: str) -> None:
    booking = world.booking(policies=[spec])
    row_id = _asked(world, booking)

    assert (world.row(row_id).status, _problem(world, row_id)) == ("rejected", problem)
    assert _sent(world) == []
    assert world.row(row_id).irreversible_at is None


def test_the_point_of_no_return_is_the_committed_intent(world: World) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": "error_before"}])
    row_id = world.accept(booking, journey="cancel_now")
    world.drain()

    assert world.row(row_id).status == "in_progress"
    assert world.row(row_id).irreversible_at is not None


@pytest.mark.parametrize("fault", LOST)
def test_a_cancel_without_a_usable_answer_is_done_once_and_its_refund_never_guessed(world: World, fault: str) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": fault}])
    row_id = _asked(world, booking)

    row = world.row(row_id)
    assert len(world.effects("cancel", booking)) == 1
    if row.status == "completed":
        assert row.preview_total == Decimal("22.40")
    else:
        assert (row.status, _problem(world, row_id)) == ("needs_review", "refund-unknown")
        assert (row.done_steps, row.preview_total) == (["look_up", "cancel"], None)
    assert row.status == "completed" or fault not in NEVER_ACTED


@pytest.mark.key_mode("honoured")  # only a key that is honoured brings a lost answer back
@pytest.mark.parametrize("fault", ["act_then_drop", "act_then_error", "garbled"])
def test_the_answer_is_told_again_where_keys_are_honoured(world: World, fault: str) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": fault}])
    row_id = _asked(world, booking)

    row = world.row(row_id)
    assert (row.status, row.preview_total) == ("completed", Decimal("22.40"))
    first, second = (request["key"] for request in world.control.requests(operation="cancel"))
    assert first == second


@pytest.mark.key_mode("ignored")  # nothing is replayed, so the booking must tell
def test_a_lost_answer_that_cannot_be_replayed_leaves_the_refund_to_a_person(world: World) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": "act_then_drop"}])
    row_id = _asked(world, booking)

    row = world.row(row_id)
    assert (row.status, row.next_step, _problem(world, row_id)) == ("needs_review", None, "refund-unknown")
    assert len(world.effects("cancel", booking)) == 1


def test_a_policy_cancelled_before_ours_was_sent_is_someone_elses(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, journey="cancel_now")
    world.run(world.database.published.pop(0)[0], row_id)
    long_ago = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    gone = {"id": booking.quote_id, "status": "CANCELLED", "cancelled_at": long_ago}
    world.control.patch_booking(booking.id, policies=[gone])
    world.settle()

    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "cancelled-by-someone-else")
    assert world.effects("cancel", booking) == []


def test_a_refusal_after_the_intent_is_a_persons_to_decide(world: World) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": "refuse"}])
    row_id = _asked(world, booking)

    row = world.row(row_id)
    assert (row.status, row.next_step, _problem(world, row_id)) == ("needs_review", "cancel", "insurer-refused")
    assert world.effects("cancel", booking) == []


def test_reasons_that_are_not_accepted_are_left_out(world: World) -> None:
    booking = world.booking(reject_reasons=True)
    quote = {"id": booking.quote_id, "reason_for_cancellation": "Fell ill"}
    row_id = _asked(world, booking, quotes=[quote])

    assert world.row(row_id).status == "completed"
    assert [body["quotes"] for body in _sent(world)] == [[quote], [{"id": booking.quote_id}]]
    keys = {request["key"] for request in world.control.requests(operation="cancel")}
    assert len(keys) == 2


def test_figures_that_do_not_add_up_are_shown_to_a_person_with_the_deed_done(world: World) -> None:
    booking = world.booking(total_refund="99.99")
    row_id = _asked(world, booking)

    row = world.row(row_id)
    assert (row.status, _problem(world, row_id)) == ("needs_review", "figures-disagree")
    assert (row.done_steps, row.next_step) == (["look_up", "cancel"], None)


def test_after_two_days_without_an_answer_only_the_booking_is_asked(world: World) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": "act_then_drop"}])
    row_id = world.accept(booking, journey="cancel_now")
    world.drain()
    sent = len(_sent(world))
    world.later(48 * 3600)
    world.settle()

    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "refund-unknown")
    assert len(_sent(world)) == sent
    assert len(world.effects("cancel", booking)) == 1
