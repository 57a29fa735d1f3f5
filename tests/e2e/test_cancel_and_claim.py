"""Story: policies are cancelled and the Cancel-For-Any-Reason policy is claimed, in every order."""

import json

import pytest

from shared.models import Claim
from tests.world import World

SKIP = {"mode": "skip"}


def test_ordinary_policies_are_cancelled_then_the_cfar_policy_is_claimed(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50, "policy_type": "cfar"}])
    ticket, cfar = booking.quote_ids
    row_id = world.accept(booking, claim={"quote_id": cfar}, refund=SKIP)

    world.settle()
    row = world.row(row_id)

    assert row.status == "completed"
    assert row.done_steps == ["look_up", "preview", "refund", "confirm", "claim"]
    assert world.effects("confirm", booking)[0]["quotes"] == [ticket]
    assert world.effects("claim", booking)[0]["quotes"] == [cfar]


def test_a_policy_that_is_both_claimed_and_cancelled_is_claimed_first(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}])
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    assert world.row(row_id).done_steps == ["look_up", "preview", "claim", "refund", "confirm"]
    kinds = [effect["kind"] for effect in world.control.effects(booking=booking.id) if effect["kind"] != "webhook"]
    assert kinds == ["preview", "claim", "confirm"]


def test_before_confirm_forces_the_claim_first(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1], "when": "before_confirm"}, refund=SKIP)

    world.settle()

    assert world.row(row_id).done_steps == ["look_up", "preview", "claim", "refund", "confirm"]
    assert world.row(row_id).status == "completed"


def test_after_confirm_forces_the_claim_last(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_when_cancelled=True)
    row_id = world.accept(booking, claim={"when": "after_confirm"}, refund=SKIP)

    world.settle()

    assert world.row(row_id).done_steps == ["look_up", "preview", "refund", "confirm", "claim"]
    assert world.row(row_id).status == "completed"


def test_the_deployment_can_choose_when_claims_are_made(world: World) -> None:
    world.configure(claim_when="before_confirm")
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    world.settle()

    assert world.row(row_id).done_steps[2] == "claim"


def test_the_one_policy_that_quotes_do_not_name_is_claimed(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, quotes=[{"id": booking.quote_ids[0]}], claim={}, refund=SKIP)

    world.settle()

    assert world.row(row_id).claim_quote_id == booking.quote_ids[1]
    assert world.row(row_id).status == "completed"


def test_a_claim_whose_policy_cannot_be_told_is_rejected(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={})

    world.drain()

    assert (world.row(row_id).problem or {})["type"].endswith("claim-policy-ambiguous")


def test_an_ineligible_claim_is_rejected_before_anything_happens(world: World) -> None:
    booking = world.booking(failed_checks=["claimant_is_not_on_the_list"])
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.drain()
    row = world.row(row_id)

    assert row.status == "rejected"
    assert (row.problem or {})["type"].endswith("claim-not-eligible")
    assert "claimant_is_not_on_the_list" in (row.problem or {})["detail"]
    assert world.control.summary(booking.id)["previews"] == 0
    assert world.held_policies() == []


def test_a_claim_that_becomes_ineligible_after_look_up_is_rejected_before_money_moves(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]})
    world.run(*world.database.published.pop(0))
    world.run(*world.database.published.pop(0))
    world.control.patch_booking(booking.id, failed_checks=["changed_its_mind"])

    world.drain()

    assert world.row(row_id).status == "rejected"
    assert world.effects("confirm", booking) == []


def test_with_the_check_switched_off_nobody_asks(world: World) -> None:
    world.configure(xclaim_eligibility_check=False)
    booking = world.booking(failed_checks=["nobody_asks"])
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.drain()

    assert not world.control.requests(operation="eligibility")
    assert world.row(row_id).next_step != "look_up"


def test_while_the_claim_is_pending_the_step_is_in_progress(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_pending_polls=3)
    row_id = world.accept(booking, claim={})
    world.drain()
    pending = world.row(row_id)

    assert (pending.status, pending.next_step) == ("in_progress", "claim")
    assert world.claim(row_id).reference is not None
    assert world.claim(row_id).claim_id is None

    world.settle()

    assert world.row(row_id).status == "awaiting_refund"
    assert world.claim(row_id).is_processed
    assert len(world.effects("claim", booking)) == 1


def test_a_claim_that_fails_in_processing_needs_review(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_pending_polls=1, claim_fails="no such schema")
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "needs_review"
    assert (world.row(row_id).problem or {})["type"].endswith("claim-failed")
    assert world.effects("confirm", booking) == []


def test_a_claim_that_is_declined_before_the_confirm_is_not_confirmed(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_pending_polls=2, claim_story=[])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()
    reference = world.claim(row_id).reference
    world.control.send_event(reference, event="claim.status-category-update", category="Declined", send=False)

    world.settle()

    assert world.row(row_id).status == "needs_review"
    assert (world.row(row_id).problem or {})["type"].endswith("claim-closed-unpaid")
    assert world.effects("confirm", booking) == []
    told = [line for line in world.timeline(row_id) if line.event == "claim_milestone"]
    assert [line.details["milestones"] for line in told] == [["claim_closed_unpaid"]]


def test_a_refused_claim_after_the_confirm_needs_review(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 10}, {"price": 50}], faults=[{"on": "create_claim", "do": "refuse", "times": 9}]
    )
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    world.settle()
    row = world.row(row_id)

    assert row.status == "needs_review"
    assert row.next_step == "claim"
    assert (row.problem or {})["type"].endswith("insurer-refused")
    assert len(world.effects("confirm", booking)) == 1


@pytest.mark.parametrize("fields", [[], [{"name": "claim_details", "fields": [{"name": "seat", "value": "12A"}]}]])
def test_the_claim_carries_its_fields_and_its_own_receiver(world: World, fields: list[dict[str, object]]) -> None:
    booking = world.booking(policies=[{"price": 50}])
    row_id = world.accept(booking, claim={"language": "de", "section_fields": fields})
    world.drain()

    (request,) = world.control.requests(operation="create_claim")
    claim, sent = world.claim(row_id), json.loads(request["body"])

    assert sent["language"] == "de"
    assert sent["sectionFields"] == fields
    (receiver,) = sent["webhooks"]
    assert receiver["url"] == f"http://127.0.0.1:9/webhooks/xclaim/{claim.webhook_token}"
    assert len(receiver["key"]) == 64


def test_one_policy_has_one_open_claim(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}])
    world.accept(booking, claim={})
    world.accept(booking, claim={})

    world.settle()

    assert len(world.all(Claim)) == 1
    assert sorted(row.status for row in world.rows()) == ["awaiting_refund", "rejected"]


def test_a_claim_that_closes_unpaid_frees_its_policy_for_another_try(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[], claim_pending_polls=1)
    ticket, cfar = booking.quote_ids
    row_id = world.accept(booking, claim={"quote_id": cfar}, refund=SKIP)
    world.drain()
    reference = world.claim(row_id).reference
    world.control.send_event(reference, event="claim.status-category-update", category="Declined", send=False)

    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.held_policies() == [ticket]
