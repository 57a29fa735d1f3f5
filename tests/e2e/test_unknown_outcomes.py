"""Story: the insurer acts and its answer is lost, or does not act and nobody can tell. Never twice, never guessed."""

import pytest

from shared.lifecycle import TaskName
from tests.simulator import SimBooking
from tests.world import World

SKIP = {"mode": "skip"}
LOST = ["act_then_drop", "act_then_error", "garbled", "empty", "drop_before", "error_before"]


def _ended_once(world: World, booking: SimBooking, row_id: object) -> None:
    (row,) = [row for row in world.rows() if row.id == row_id]
    assert row.status == "completed", (row.status, row.problem)
    assert len(world.effects("confirm", booking)) == 1


@pytest.mark.parametrize("fault", LOST)
def test_a_confirm_without_a_usable_answer_is_settled_and_done_once(world: World, fault: str) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": fault}])
    row_id = world.accept(booking, refund=SKIP)

    world.settle()

    _ended_once(world, booking, row_id)


@pytest.mark.parametrize("fault", LOST)
def test_a_preview_without_a_usable_answer_is_taken_again(world: World, fault: str) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": fault}])
    row_id = world.accept(booking, refund=SKIP)

    world.settle()

    _ended_once(world, booking, row_id)
    assert world.effects("cancel", booking) == []


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("duplicates", ["refuse", "accept"])
def test_a_claim_without_a_usable_answer_is_settled_and_made_once(world: World, duplicates: str, fault: str) -> None:
    world.control.settings(duplicates=duplicates)
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": fault}])
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    _ended_once(world, booking, row_id)
    assert len(world.effects("claim", booking)) == 1


def test_a_lost_claim_is_not_sent_again_before_it_is_proven_absent_twice(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "drop_before"}])
    world.accept(booking, claim={}, refund=SKIP)
    world.drain()

    world.later(300)
    world.sweep()
    world.drain()

    assert len(world.control.requests(operation="create_claim")) == 1
    world.settle()
    created = world.control.requests(operation="create_claim")
    assert len(created) == 2
    assert created[0]["key"] != created[1]["key"]


def test_a_policy_that_xclaim_calls_used_is_not_claimed_again(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "drop_before"}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()
    world.control.patch_booking(booking.id, failed_checks=["claim_with_same_purchase_has_unique_quote"])

    world.settle()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("outcome-unsettled")
    assert len(world.control.requests(operation="create_claim")) == 1


def test_a_list_that_may_be_incomplete_proves_nothing(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 50}],
        faults=[{"on": "create_claim", "do": "drop_before"}, {"on": "list_claims", "do": "garbled", "times": 200}],
    )
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "needs_review"
    assert len(world.control.requests(operation="create_claim")) == 1


def test_a_policy_someone_else_cancelled_is_never_taken_for_ours(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "error_before", "times": 1}])
    row_id = world.accept(booking, refund=SKIP)
    world.run(*world.database.published.pop(0))
    world.run(*world.database.published.pop(0))
    world.run(*world.database.published.pop(0))
    world.run(TaskName.CONFIRM, row_id)
    world.later(3600)
    _cancel_by_hand(world, booking)

    world.settle()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("cancelled-by-someone-else")


@pytest.mark.key_mode("honoured", "ignored")  # an error stored under the key would only be met again
def test_the_same_key_goes_out_until_the_insurer_forgets_it(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "error_before", "times": 3}])
    world.accept(booking, refund=SKIP)

    world.settle()

    keys = [request["key"] for request in world.control.requests(operation="confirm")]
    assert len(keys) == 4
    assert len(set(keys)) == 1


@pytest.mark.key_mode("storing_errors")
def test_a_key_that_only_brings_back_its_error_is_given_up_once_nothing_is_proven_done(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "error_before"}])
    world.accept(booking, refund=SKIP)

    world.settle()

    sent = [(request["key"], request["status"]) for request in world.control.requests(operation="confirm")]
    (first, _), *_ = sent
    assert [(key == first, status) for key, status in sent] == [(True, 503), (True, 409), (False, 200)]


def test_each_preview_round_has_its_own_key(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()
    world.later(23.5 * 3600)
    world.sweep()
    world.drain()

    previews = world.control.requests(operation="preview")

    assert len(previews) == 2
    assert previews[0]["key"] != previews[1]["key"]
    assert world.row(row_id).round == 2


@pytest.mark.parametrize("step", ["get_booking", "preview", "confirm", "eligibility", "create_claim", "get_claim"])
@pytest.mark.parametrize(
    "fault",
    [
        {"do": "throttle", "retry_after": 7},
        {"do": "throttle"},
        {"do": "locked"},
        {"do": "drop_before"},
        {"do": "error_before", "status": 503},
    ],
    ids=["429-with-retry-after", "429", "423", "dropped", "503"],
)
def test_what_will_pass_is_waited_for(world: World, step: str, fault: dict[str, object]) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_pending_polls=1, faults=[{"on": step, **fault}])
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    _ended_once(world, booking, row_id)
    assert len(world.effects("claim", booking)) == 1


def test_a_throttled_step_waits_as_long_as_it_was_told(world: World) -> None:
    booking = world.booking(faults=[{"on": "get_booking", "do": "throttle", "retry_after": 120}])
    row_id = world.accept(booking)
    world.drain()

    world.later(100)
    world.sweep()
    world.drain()
    assert world.row(row_id).next_step == "look_up"
    assert world.row(row_id).tries == 0

    world.later(25)
    world.sweep()
    world.drain()
    assert world.row(row_id).status == "awaiting_refund"


@pytest.mark.parametrize("fault", ["redirect", "refuse"])
def test_a_confirm_that_is_refused_needs_a_person(world: World, fault: str) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": fault, "times": 50}])
    row_id = world.accept(booking, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "needs_review"
    assert world.effects("confirm", booking) == []


def test_a_preview_that_lacks_its_cancellation_id_is_never_confirmed(world: World) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": "without_cancellation_id"}])
    row_id = world.accept(booking, refund=SKIP)

    world.settle()

    assert world.effects("cancel", booking) == []
    _ended_once(world, booking, row_id)


def test_refused_credentials_reject_nobody(world: World) -> None:
    world.configure(xcover_api_secret="not the secret")
    booking = world.booking()
    row_id = world.accept(booking)

    world.drain()

    assert world.row(row_id).status == "needs_review"
    assert (world.row(row_id).problem or {})["type"].endswith("credentials-refused")


def _cancel_by_hand(world: World, booking: SimBooking) -> None:
    from tests.simulator.caller import Caller

    with Caller(world.simulator) as caller:
        caller.cancel(booking.id, {"preview": False})
