"""Story: we ask the partner's own endpoint to refund the customer, once, whatever becomes of the answer."""

import json
from typing import Any
from uuid import UUID

import pytest

from shared import webhook_events
from tests.simulator import REFUND_SECRET, SimBooking
from tests.world import World

CALL = {"mode": "call"}


@pytest.fixture(autouse=True)
def _partner(world: World) -> None:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)


def _asked(world: World, **spec: Any) -> tuple[SimBooking, UUID]:
    booking = world.booking(**spec)
    row_id = world.accept(booking, refund=CALL, key=f"order-{booking.id}", metadata={"order": "A-1001"})
    world.settle()
    return booking, row_id


def _problem(world: World, row_id: UUID) -> str:
    problem = world.row(row_id).problem
    assert problem is not None
    return str(problem["type"]).removeprefix("/problems/")


def _requests(world: World) -> list[dict[str, Any]]:
    return world.control.requests(operation="refund")


@pytest.mark.parametrize("answer", ["paid", "created"])
def test_it_goes_on_once_the_partner_has_paid(world: World, answer: str) -> None:
    booking, row_id = _asked(world, refund_answer=answer)

    row = world.row(row_id)
    (paid,) = world.effects("refund", booking)
    assert row.status == "completed"
    assert (str(row.refund_amount), row.refund_currency, row.refund_reference) == ("22.40", "EUR", paid["reference"])
    assert row.refund_reported_at is not None
    assert (paid["amount"], paid["currency"], paid["cancellation"]) == ("22.40", "EUR", str(row_id))


def test_the_partner_is_told_what_for_under_a_key_of_the_cancellation(world: World) -> None:
    booking, row_id = _asked(world)

    (request,) = _requests(world)
    (call,) = [call for call in world.calls(row_id) if call.step == "refund"]
    assert json.loads(request["body"]) == {
        "type": "refund.requested", "id": str(row_id), "booking_id": booking.id, "amount": "22.40", "currency": "EUR",
        "idempotency_key": f"order-{booking.id}", "metadata": {"order": "A-1001"},
    }  # fmt: skip
    assert (request["key"], request["signature"]) == (call.key, "ok")


def test_a_promise_is_waited_for_and_not_asked_for_again(world: World) -> None:
    booking, row_id = _asked(world, refund_answer="accepted")
    assert world.row(row_id).status == "awaiting_refund"
    world.later(3600)
    world.sweep()
    world.drain()
    assert len(_requests(world)) == 1

    assert world.report_refund(row_id, "22.4", "EUR").status == 200
    world.drain()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_a_promise_that_is_never_kept_ends_with_a_person(world: World) -> None:
    _, row_id = _asked(world, refund_answer="accepted")
    for _ in range(15):
        world.later(24 * 3600)
        world.sweep()
        world.drain()

    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "refund-not-reported")
    assert len(_requests(world)) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 422, 423, 429])
def test_any_4xx_is_a_no_that_a_person_must_look_at(world: World, status: int) -> None:
    fault = {"on": "refund", "do": "refuse", "status": status, "body": {"error": "closed account"}}
    booking, row_id = _asked(world, faults=[fault])

    row = world.row(row_id)
    assert (row.status, row.next_step, _problem(world, row_id)) == ("needs_review", "refund", "refund-refused")
    assert world.effects("refund", booking) == []
    assert world.effects("confirm", booking) == []


def test_a_retry_after_a_no_asks_with_the_same_key(world: World) -> None:
    booking, row_id = _asked(world, faults=[{"on": "refund", "do": "refuse"}])
    world.retry(row_id)
    world.settle()

    first, second = _requests(world)
    assert first["key"] == second["key"]
    assert first["body"] == second["body"]
    assert world.row(row_id).status == "completed"
    assert len(world.effects("refund", booking)) == 1


@pytest.mark.parametrize(
    "fault", ["drop_before", "error_before", "act_then_drop", "act_then_error", "garbled", "not_json", "redirect"]
)
def test_an_unknown_outcome_is_settled_by_the_same_key_and_paid_once(world: World, fault: str) -> None:
    booking, row_id = _asked(world, faults=[{"on": "refund", "do": fault, "times": 2}])

    assert world.row(row_id).status == "completed"
    assert len(world.effects("refund", booking)) == 1
    assert len({request["key"] for request in _requests(world)}) == 1
    assert len({request["body"] for request in _requests(world)}) == 1


def test_while_the_refund_is_unsettled_no_new_round_starts(world: World) -> None:
    booking = world.booking(faults=[{"on": "refund", "do": "act_then_drop", "times": 1}])
    row_id = world.accept(booking, refund=CALL)
    world.drain()
    world.later(25 * 3600)  # the offer has lapsed meanwhile
    world.sweep()
    message = world.database.published.pop(0)
    world.run(*message)

    row = world.row(row_id)
    assert (row.next_step, row.round) == ("confirm", 1)
    world.settle()
    row = world.row(row_id)
    assert (row.status, row.round) == ("completed", 2)
    assert len(world.effects("refund", booking)) == 1
    assert len(world.effects("confirm", booking)) == 1


def test_an_amount_that_changed_after_the_refund_is_a_persons_to_decide(world: World) -> None:
    booking = world.booking(faults=[{"on": "refund", "do": "act_then_drop"}])
    row_id = world.accept(booking, refund=CALL)
    world.drain()
    world.control.patch_booking(booking.id, policies=[{"refund": "11.20"}])
    world.later(25 * 3600)
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.next_step, _problem(world, row_id)) == ("needs_review", "refund", "refund-amount-changed")
    assert len(world.effects("refund", booking)) == 1
    assert world.effects("confirm", booking) == []


def test_an_offer_that_lapses_while_nobody_could_be_asked_is_renewed_first(world: World) -> None:
    world.configure(refund_url="http://127.0.0.1:9/refunds", refund_secret=REFUND_SECRET)  # nothing listens there
    booking = world.booking()
    row_id = world.accept(booking, refund=CALL)
    world.drain()
    world.control.patch_booking(booking.id, policies=[{"refund": "11.20"}])
    world.later(25 * 3600)
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    world.settle()

    row = world.row(row_id)
    (paid,) = world.effects("refund", booking)
    assert (row.status, row.round, paid["amount"]) == ("completed", 2, "11.20")


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
def test_an_endpoint_that_never_answers_ends_with_a_person(world: World) -> None:
    booking, row_id = _asked(world, faults=[{"on": "refund", "do": "error_before", "times": 1000}])

    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "tries-spent")
    assert len({request["key"] for request in _requests(world)}) == 1
    assert world.effects("confirm", booking) == []


def test_a_report_settles_what_the_call_left_unknown(world: World) -> None:
    booking = world.booking(faults=[{"on": "refund", "do": "error_before", "times": 1000}])
    row_id = world.accept(booking, refund=CALL)
    world.drain()

    assert world.report_refund(row_id, "22.40", "EUR").status == 200
    world.settle()

    assert world.row(row_id).status == "completed"
    assert {call.outcome for call in world.calls(row_id)} == {"done"}
    assert len(world.effects("confirm", booking)) == 1


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
@pytest.mark.parametrize("fault", ["refuse", "error_before"])
def test_a_report_answers_a_persons_question(world: World, fault: str) -> None:
    _, row_id = _asked(world, faults=[{"on": "refund", "do": fault, "times": 1000}])
    assert world.row(row_id).status == "needs_review"

    assert world.report_refund(row_id, "22.40", "EUR").status == 200
    world.settle()

    assert world.row(row_id).status == "completed"


def test_the_committed_call_is_past_the_point_of_no_return(world: World) -> None:
    booking = world.booking(faults=[{"on": "refund", "do": "error_before"}])
    row_id = world.accept(booking, refund=CALL)
    world.drain()

    assert world.row(row_id).irreversible_at is not None


def test_nothing_is_asked_for_where_there_is_nothing_to_refund(world: World) -> None:
    _, row_id = _asked(world, policies=[{"refund": "0"}])

    assert world.row(row_id).status == "completed"
    assert _requests(world) == []


def test_a_claim_declined_before_the_refund_could_be_asked_for_stops_it(world: World) -> None:
    world.configure(refund_url="http://127.0.0.1:9/refunds", refund_secret=REFUND_SECRET)  # nothing listens there
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, claim={}, refund=CALL)
    world.drain()
    claim = world.claim(row_id)
    raw = json.dumps({"event": "claim.deleted", "payload": {"id": claim.claim_id}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    world.settle()

    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "claim-closed-unpaid")
    assert world.effects("refund", booking) == []


def test_a_refund_whose_outcome_is_open_is_not_asked_for_again_once_the_claim_is_closed(world: World) -> None:
    booking = world.booking(claim_story=[], faults=[{"on": "refund", "do": "drop_before"}])
    row_id = world.accept(booking, claim={}, refund=CALL)
    world.drain()
    claim = world.claim(row_id)
    raw = json.dumps({"event": "claim.deleted", "payload": {"id": claim.claim_id}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.settle()

    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "claim-closed-unpaid")
    assert len(_requests(world)) == 1
    assert world.held_policies() == [booking.quote_id]


def test_without_an_address_the_step_waits_for_a_person_and_goes_on_once_there_is_one(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, refund=CALL)
    world.configure()
    world.settle()
    assert (world.row(row_id).status, _problem(world, row_id)) == ("needs_review", "refund-call-disabled")

    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    world.retry(row_id)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("refund", booking)) == 1
