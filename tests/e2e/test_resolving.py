"""Story: an operator decides what the service could not, and the journey goes on from there."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from shared import intake, webhook_events
from shared.money import Money
from shared.problems import Problem
from shared.rulings import ClaimAmendment, Evidence
from tests.simulator import REFUND_SECRET, SimBooking
from tests.world import World

SKIP = {"mode": "skip"}
SEEN = Evidence(stated={"text": "seen in the portal at 12:05"})
EUR_22_40 = Money(amount=Decimal("22.40"), currency="EUR")


def _parked(world: World, spec: dict[str, Any], **asked: Any) -> tuple[SimBooking, UUID]:
    booking = world.booking(**{"claim_story": [], **spec})
    row_id = world.accept(booking, **{"refund": SKIP, **asked})
    world.settle()
    assert world.row(row_id).status == "needs_review"
    return booking, row_id


def _refused(world: World, row_id: UUID, resolution: str, **ruling: Any) -> Problem:
    before = world.row(row_id)
    with pytest.raises(Problem) as refusal:
        world.resolve(row_id, resolution, **ruling)
    after = world.row(row_id)
    assert (after.status, after.next_step, after.done_steps) == (before.status, before.next_step, before.done_steps)
    return refusal.value


def _refused_confirm(world: World) -> tuple[SimBooking, UUID]:
    return _parked(world, {"faults": [{"on": "confirm", "do": "refuse"}]})


def test_every_ruling_is_kept_with_who_why_and_what_it_was_about(world: World) -> None:
    _, row_id = _refused_confirm(world)
    was = world.row(row_id).problem
    world.resolve(row_id, "not_done", note="XCover's support confirmed that nothing happened", evidence=SEEN)

    line = world.timeline(row_id)[-1]
    assert (line.event, line.actor) == ("resolved", "operator:ops")
    assert line.reason == "XCover's support confirmed that nothing happened"
    assert line.details["resolution"] == "not_done"
    assert line.details["evidence"] == {"text": "seen in the portal at 12:05"}
    assert line.details["was"] == was


def test_a_confirm_that_was_not_done_goes_out_again_under_a_new_key(world: World) -> None:
    booking, row_id = _refused_confirm(world)
    world.resolve(row_id, "not_done")
    world.settle()

    assert world.row(row_id).status == "completed"
    first, second = (request["key"] for request in world.control.requests(operation="confirm"))
    assert first != second
    assert len(world.effects("confirm", booking)) == 1


def test_a_confirm_that_was_done_is_not_sent_again(world: World) -> None:
    booking, row_id = _refused_confirm(world)
    world.resolve(row_id, "done", evidence=SEEN)
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.problem, row.done_steps[-1]) == ("completed", None, "confirm")
    assert len(world.control.requests(operation="confirm")) == 1
    assert world.effects("confirm", booking) == []


def test_a_confirm_that_was_done_is_followed_by_its_claim(world: World) -> None:
    spec = {"policies": [{}, {}], "faults": [{"on": "confirm", "do": "refuse"}]}
    booking = world.booking(claim_story=[], **spec)
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    world.settle()
    world.resolve(row_id, "done", evidence=SEEN)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("claim", booking)) == 1


def test_a_claim_said_to_be_done_is_asked_for_at_xclaim(world: World) -> None:
    spec = {"faults": [{"on": "create_claim", "do": "act_then_drop"}, {"on": "list_claims", "do": "refuse"}]}
    booking, row_id = _parked(world, spec, claim={})
    (made,) = world.control.claims(booking.id)
    world.resolve(row_id, "done", evidence=Evidence(stated={}, claim_reference=made["reference"]))
    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.claim(row_id).claim_id == made["id"]
    assert len(world.control.requests(operation="create_claim")) == 1


def test_a_claim_that_xclaim_does_not_show_is_not_taken_on_an_operators_word(world: World) -> None:
    booking, row_id = _parked(world, {"faults": [{"on": "create_claim", "do": "refuse"}]}, claim={})
    world.resolve(row_id, "done", evidence=Evidence(stated={}, claim_reference="AAAAA-BBBBB-CLA"))
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.next_step) == ("needs_review", "claim")
    assert world.effects("confirm", booking) == []


def test_another_cancellations_claim_cannot_be_named(world: World) -> None:
    other = world.booking(claim_story=[])
    other_id = world.accept(other, journey="claim")
    world.settle()
    _, row_id = _parked(world, {"faults": [{"on": "create_claim", "do": "refuse"}]}, claim={})
    taken = world.claim(other_id)

    problem = _refused(world, row_id, "done", evidence=Evidence(claim_reference=taken.reference))

    assert problem.slug == "nothing-to-resolve"


def test_a_claim_done_without_its_name_is_refused(world: World) -> None:
    _, row_id = _parked(world, {"faults": [{"on": "create_claim", "do": "refuse"}]}, claim={})

    assert _refused(world, row_id, "done", evidence=SEEN).slug == "evidence-missing"


def test_refused_claim_fields_are_amended_and_claimed_anew(world: World) -> None:
    booking, row_id = _parked(world, {"faults": [{"on": "create_claim", "do": "refuse"}]}, claim={})
    fields = [{"name": "incident_date", "value": "2026-11-01"}]
    world.resolve(row_id, "amend", amendment=ClaimAmendment(section_fields=fields, language="de"))
    world.settle()

    assert world.row(row_id).status == "completed"
    first, second = world.control.requests(operation="create_claim")
    assert first["key"] != second["key"]
    assert json.loads(second["body"])["language"] == "de"
    assert len(world.effects("claim", booking)) == 1
    assert world.timeline(row_id)[-1].event == "step_done"


def test_a_claim_on_its_way_cannot_be_amended(world: World) -> None:
    spec = {"faults": [{"on": "create_claim", "do": "act_then_drop"}, {"on": "list_claims", "do": "refuse"}]}
    _, row_id = _parked(world, spec, claim={})

    problem = _refused(world, row_id, "amend", amendment=ClaimAmendment(language="de"))

    assert problem.slug == "nothing-to-resolve"


@pytest.mark.claims_again
def test_a_claim_that_could_not_be_processed_is_amended_by_another(world: World) -> None:
    booking, row_id = _parked(world, {"claim_fails": "The policy document is missing."}, claim={})
    world.control.patch_booking(booking.id, claim_fails=None)
    world.control.settings(duplicates="accept")
    world.resolve(row_id, "amend", amendment=ClaimAmendment(section_fields=[{"name": "document", "value": "x"}]))
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("claim", booking)) == 2


def test_a_refund_done_by_hand_needs_its_proof(world: World) -> None:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    booking, row_id = _parked(world, {"faults": [{"on": "refund", "do": "refuse"}]}, refund={"mode": "call"})
    assert _refused(world, row_id, "done", evidence=SEEN).slug == "evidence-missing"
    wrong = Evidence(money=Money(amount=Decimal("22.41"), currency="EUR"), reference="re_9")
    assert _refused(world, row_id, "done", evidence=wrong).slug == "refund-mismatch"

    world.resolve(row_id, "done", evidence=Evidence(money=EUR_22_40, reference="re_9"))
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.refund_amount, row.refund_reference) == ("completed", Decimal("22.40"), "re_9")
    assert world.effects("refund", booking) == []


def test_a_refund_that_was_not_done_is_asked_for_under_a_new_key(world: World) -> None:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    booking, row_id = _parked(world, {"faults": [{"on": "refund", "do": "refuse"}]}, refund={"mode": "call"})
    world.resolve(row_id, "not_done")
    world.settle()

    assert world.row(row_id).status == "completed"
    first, second = (request["key"] for request in world.control.requests(operation="refund"))
    assert first != second
    assert len(world.effects("refund", booking)) == 1


def test_an_amount_that_changed_after_the_refund_can_be_taken_as_it_is(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, refund={"mode": "wait"})
    world.settle()
    world.report_refund(row_id, "22.40", "EUR")
    world.control.patch_booking(booking.id, policies=[{"refund": "11.20"}])
    world.later(25 * 3600)
    world.settle()
    row = world.row(row_id)
    assert row.problem is not None
    assert row.problem["type"] == "/problems/refund-amount-changed"

    world.resolve(row_id, "done", note="we bear the difference", evidence=SEEN)
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.refund_amount, row.preview_total) == ("completed", Decimal("22.40"), Decimal("11.20"))
    assert len(world.effects("confirm", booking)) == 1


@pytest.mark.key_mode("ignored", "storing_errors")  # a key that is honoured would bring the answer back
def test_the_refund_of_an_immediate_cancel_is_supplied_by_hand(world: World) -> None:
    booking = world.booking(faults=[{"on": "cancel", "do": "act_then_error"}])
    row_id = world.accept(booking, journey="cancel_now")
    world.settle()
    assert world.row(row_id).next_step is None

    world.resolve(row_id, "done", evidence=Evidence(stated={"text": "by mail"}, money=EUR_22_40))

    row = world.row(row_id)
    assert (row.status, row.problem, row.preview_total) == ("completed", None, Decimal("22.40"))
    assert row.completed_at is not None


def test_figures_that_disagree_are_previewed_anew(world: World) -> None:
    booking, row_id = _parked(world, {"total_refund": "99.99"})
    world.control.patch_booking(booking.id, total_refund=None)
    world.resolve(row_id, "not_done", note="XCover has mended its figures")
    world.settle()

    assert (world.row(row_id).status, world.row(row_id).round) == ("completed", 2)


@pytest.mark.parametrize("resolution", ["done", "not_done", "amend"])
def test_a_look_up_leaves_nothing_to_resolve(world: World, resolution: str) -> None:
    _, row_id = _parked(world, {"faults": [{"on": "get_booking", "do": "refuse", "status": 403}]})

    problem = _refused(world, row_id, resolution, evidence=SEEN, amendment=ClaimAmendment(language="de"))

    assert problem.slug == "nothing-to-resolve"


def test_a_premium_refund_seen_by_hand_leads_on(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, journey="claim_then_cancel", refund=SKIP)
    world.settle()
    for _ in range(3):
        world.later(21 * 24 * 3600)
        world.sweep()
        world.drain()
    assert world.row(row_id).status == "needs_review"

    world.resolve(row_id, "done", note="the insurer's mail of Tuesday", evidence=SEEN)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_a_premium_refund_that_did_not_happen_is_waited_for_anew(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, journey="claim_then_cancel", refund=SKIP)
    world.settle()
    world.later(61 * 24 * 3600)
    world.sweep()
    world.drain()
    world.resolve(row_id, "not_done")
    world.settle()

    assert world.row(row_id).status == "awaiting_premium_refund"


def test_a_claim_closed_unpaid_cannot_be_declared_refunded(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, journey="claim_then_cancel", refund=SKIP)
    world.settle()
    claim = world.claim(row_id)
    raw = json.dumps({"event": "claim.deleted", "payload": {"id": claim.claim_id}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.settle()

    assert _refused(world, row_id, "done", evidence=SEEN).slug == "nothing-to-resolve"
    world.resolve(row_id, "close")
    again = world.accept(booking, refund=SKIP)
    world.settle()
    assert world.row(again).status == "completed"


def test_closing_frees_the_policies_only_where_nothing_was_begun_or_it_is_said(world: World) -> None:
    _, first = _parked(world, {"total_refund": "99.99"})
    world.resolve(first, "close")
    assert (world.row(first).status, world.held_policies()) == ("closed", [])

    after, second = _refused_confirm(world)
    _, third = _refused_confirm(world)
    world.resolve(second, "close")
    world.resolve(third, "close", frees_policies=True)

    assert world.held_policies() == [after.quote_id]
    assert world.row(second).problem is not None


def test_the_policies_of_one_that_has_ended_can_still_be_freed(world: World) -> None:
    booking = world.booking(claim_story=[])
    claimed = world.accept(booking, journey="claim")
    world.settle()
    early = world.accept(booking, refund=SKIP)
    world.settle()
    assert world.row(early).status == "rejected"

    world.resolve(claimed, "close", note="the claim is settled, the premium goes back", frees_policies=True)
    late = world.accept(booking, refund=SKIP)
    world.settle()

    assert (world.row(claimed).status, world.row(late).status) == ("completed", "completed")
    line = world.timeline(claimed)[-1]
    assert (line.event, line.reason) == ("policies_freed", "the claim is settled, the premium goes back")


@pytest.mark.parametrize("waits", ["awaiting_refund", "awaiting_premium_refund"])
def test_one_that_waits_for_others_can_be_closed(world: World, waits: str) -> None:
    asked = {"refund": {"mode": "wait"}} if waits == "awaiting_refund" else {"journey": "claim_then_cancel"}
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, **{"refund": SKIP, **asked})
    world.settle()
    assert world.row(row_id).status == waits

    world.resolve(row_id, "close", note="the event takes place after all")
    world.later(100 * 24 * 3600)
    world.sweep()
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.next_step, row.next_attempt_at) == ("closed", None, None)
    assert world.effects("confirm", booking) == []


def test_money_reported_after_the_closing_is_looked_at_again(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, refund={"mode": "wait"})
    world.settle()
    world.resolve(row_id, "close")

    assert world.report_refund(row_id, "22.40", "EUR").status == 202
    assert world.row(row_id).status == "needs_review"


def test_a_parked_one_is_closed_by_one_of_two_operators(world: World) -> None:
    _, row_id = _refused_confirm(world)
    world.resolve(row_id, "close")

    assert _refused(world, row_id, "close").slug == "nothing-to-resolve"
    assert _refused(world, row_id, "not_done").slug == "nothing-to-resolve"


def test_money_reported_for_a_message_that_was_never_a_cancellation_can_only_be_closed(world: World) -> None:
    with world.database.transaction() as tx:
        problem = Problem("invalid-request", "Nothing was accepted.")
        intake.record_refused(tx, problem, sent={}, caller="shop", partner="PARTN", key="k-1")
    (row,) = world.rows()
    assert world.report_refund(row.id, "22.40", "EUR").status == 202

    assert _refused(world, row.id, "done", evidence=SEEN).slug == "nothing-to-resolve"
    world.resolve(row.id, "close")
    assert world.row(row.id).status == "closed"
