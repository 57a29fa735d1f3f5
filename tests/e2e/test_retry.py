"""Story: a person looked at a cancellation and lets it go on. Never a new key, never a second claim."""

from dataclasses import replace
from typing import Any

import pytest

from shared import caller_actions
from shared.problems import Problem
from tests.world import World, connections

SKIP = {"mode": "skip"}


def _retry(world: World, row_id: object) -> None:
    with world.database.transaction() as tx:
        caller_actions.retry(tx, row_id, actor="operator:ops")  # type: ignore[arg-type]


def test_a_parked_cancellation_goes_on_where_it_stopped(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "refuse"}])
    row_id = world.accept(booking, refund=SKIP)
    world.settle()
    assert world.row(row_id).status == "needs_review"

    _retry(world, row_id)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.row(row_id).problem is None


@pytest.mark.key_mode("honoured", "ignored")  # a refusal stored under the key would only be met again
def test_a_refused_confirm_is_repeated_under_its_own_key(world: World) -> None:
    row_id = world.accept(world.booking(faults=[{"on": "confirm", "do": "refuse"}]), refund=SKIP)
    world.settle()

    _retry(world, row_id)
    world.settle()

    keys = [request["key"] for request in world.control.requests(operation="confirm")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.key_mode("storing_errors")
def test_a_confirm_whose_key_only_brings_back_its_refusal_is_read_back_and_sent_under_another(world: World) -> None:
    row_id = world.accept(world.booking(faults=[{"on": "confirm", "do": "refuse"}]), refund=SKIP)
    world.settle()

    _retry(world, row_id)
    world.settle()

    sent = [(request["key"], request["status"]) for request in world.control.requests(operation="confirm")]
    (first, _), *_ = sent
    assert [(key == first, status) for key, status in sent] == [(True, 422), (True, 409), (False, 200)]


def test_a_refused_claim_is_repeated_under_its_own_key(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "refuse"}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.settle()

    _retry(world, row_id)
    world.settle()

    assert world.row(row_id).status == "completed"
    keys = [request["key"] for request in world.control.requests(operation="create_claim")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_declined_claim_is_never_made_a_second_time(world: World) -> None:
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 50}], claim_pending_polls=2, claim_story=[])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()
    reference = world.claim(row_id).reference
    world.control.send_event(reference, event="claim.status-category-update", category="Declined", send=False)
    world.settle()

    _retry(world, row_id)
    world.settle()

    assert world.row(row_id).status == "needs_review"
    assert len(world.effects("claim", booking)) == 1


def test_the_wait_of_a_postponed_one_can_be_skipped(world: World) -> None:
    booking = world.booking(faults=[{"on": "get_booking", "do": "drop_before"}])
    row_id = world.accept(booking, refund=SKIP)
    world.drain()
    assert world.row(row_id).next_step == "look_up"

    _retry(world, row_id)
    world.drain()

    assert world.row(row_id).status == "completed"


def test_a_retry_does_not_shorten_the_wait_before_a_reading_is_believed(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "drop_before"}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()

    for _ in range(3):
        _retry(world, row_id)
        world.drain()

    assert len(world.control.requests(operation="create_claim")) == 1


@pytest.mark.parametrize("refund", [SKIP, {"mode": "wait"}])
def test_what_has_ended_or_waits_for_others_cannot_be_retried(world: World, refund: dict[str, str]) -> None:
    row_id = world.accept(world.booking(), refund=refund)
    world.drain()

    with pytest.raises(Problem) as refused:
        _retry(world, row_id)

    assert refused.value.slug == "nothing-to-retry"


def test_a_claim_whose_answer_named_another_one_is_looked_for_and_not_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 50}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    xclaim = connections().xclaim
    create = xclaim.create_claim

    def misnamed(*args: Any, **more: Any) -> Any:
        answer = create(*args, **more)
        return replace(answer, value=replace(answer.value, claim_type_id="another-type"))

    monkeypatch.setattr(xclaim, "create_claim", misnamed)
    world.settle()
    assert world.row(row_id).status == "needs_review"

    _retry(world, row_id)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("claim", booking)) == 1
