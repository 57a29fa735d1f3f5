"""Story: XClaim's webhooks tell what becomes of a claim: late, twice, out of order, or before our own answer."""

import json
from typing import Any

import pytest

from shared import webhook_events
from shared.cancellations import LEASE_SECONDS
from shared.db import Transaction
from shared.lifecycle import TaskName
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from tests.world import World
from workers import attempt

SKIP = {"mode": "skip"}


def _arrive(world: World, token: str | None, event: str, **payload: Any) -> None:
    raw = json.dumps({"event": event, "payload": payload}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=token, key_id="first", headers={})


def _claimed(world: World, **spec: Any) -> tuple[Any, Claim]:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], **spec)
    row_id = world.accept(booking, claim={})
    world.settle()
    return row_id, world.claim(row_id)


def _say(world: World, claim: Claim, category: str, **more: Any) -> None:
    world.control.send_event(
        claim.reference, event="claim.status-category-update", category=category, send=False, **more
    )


def test_an_event_makes_us_ask_and_take_what_xclaim_says_now(world: World) -> None:
    _, claim = _claimed(world)
    _say(world, claim, "Under Assessment")

    _arrive(
        world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": "Old news"}
    )
    world.drain()

    assert world.claim(claim.cancellation_id).status == "Under Assessment"


def test_a_to_b_to_a_ends_at_a_although_the_bodies_repeat(world: World) -> None:
    _, claim = _claimed(world)
    for category in ("Under Review", "Action Required", "Under Review"):
        _say(world, claim, category)
        _arrive(
            world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": category}
        )
        world.drain()

    assert world.claim(claim.cancellation_id).status == "Under Review"
    assert len(world.all(WebhookDelivery)) == 3


def test_a_milestone_latches_from_the_event_although_the_reading_shows_only_a_category(world: World) -> None:
    _, claim = _claimed(world)
    _say(world, claim, "Payment Processing")

    _arrive(
        world, claim.webhook_token, "claim.status-update", id=claim.claim_id,
        status={"category": "Payment Processing", "name": "premium_refund", "label": "Premium Refund"},
    )  # fmt: skip
    world.drain()

    assert list(world.claim(claim.cancellation_id).milestones) == ["premium_refund"]


def test_each_milestone_is_reached_once(world: World) -> None:
    row_id, claim = _claimed(world)
    _say(world, claim, "Payment Complete")
    for _ in range(3):
        _arrive(
            world,
            claim.webhook_token,
            "claim.status-category-update",
            id=claim.claim_id,
            status={"category": "Settled"},
        )
    world.drain()

    reached = [line for line in world.timeline(row_id) if line.event == "claim_milestone"]
    assert [line.details["milestones"] for line in reached] == [["claim_paid"]]


def test_a_claim_that_was_paid_is_not_closed_unpaid_by_what_follows(world: World) -> None:
    row_id, claim = _claimed(world)
    for category in ("Payment Complete", "Closed"):
        _say(world, claim, category)
        _arrive(
            world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": category}
        )
        world.drain()

    assert list(world.claim(row_id).milestones) == ["claim_paid"]
    assert world.claim(row_id).status == "Closed"


def test_a_claim_declined_while_the_refund_is_awaited_stops_the_cancellation(world: World) -> None:
    row_id, claim = _claimed(world)
    assert world.row(row_id).status == "awaiting_refund"
    _say(world, claim, "Declined")

    _arrive(
        world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": "Declined"}
    )
    world.drain()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("claim-closed-unpaid")
    assert world.held_policies() == []


def test_an_event_before_the_create_answer_settles_the_claim(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 50}],
        claim_story=[],
        faults=[
            {"on": "create_claim", "do": "act_then_drop"},
            {"on": "list_claims", "do": "throttle", "retry_after": 600},
        ],
    )
    row_id = world.accept(booking, claim={})
    world.drain()
    claim = world.claim(row_id)
    (made,) = world.control.claims(booking.id)
    assert claim.claim_id is None

    _arrive(world, claim.webhook_token, "claim.status-category-update", id=made["id"], claimReference=made["reference"])
    world.drain()

    assert world.claim(row_id).claim_id == made["id"]
    world.settle()
    assert world.row(row_id).status == "awaiting_refund"
    assert len(world.effects("claim", booking)) == 1


def test_an_event_on_the_bare_path_is_matched_by_id_then_reference_then_booking(world: World) -> None:
    row_id, claim = _claimed(world)
    for number, payload in enumerate(
        [{"id": claim.claim_id}, {"claimReference": claim.reference}, {"bookingReference": claim.booking_id}]
    ):
        _say(world, claim, f"Under Review {number}")
        _arrive(world, None, "claim.status-category-update", **payload, status={"category": "x"})
        world.drain()

        assert world.claim(row_id).status == f"Under Review {number}"


def test_an_event_for_an_unknown_claim_is_parked_and_at_last_kept(world: World) -> None:
    _arrive(world, None, "claim.status-category-update", id="nobody-knows-it", status={"category": "Settled"})
    world.drain()
    (delivery,) = world.all(WebhookDelivery)
    assert delivery.handled_at is None

    for _ in range(20):
        world.later(400)
        world.sweep()
        world.drain()

    (delivery,) = world.all(WebhookDelivery)
    assert delivery.handled_at is not None
    assert delivery.verdict == "kept: no claim of ours matches"


def test_an_event_at_a_claims_own_address_touches_that_claim_alone(world: World) -> None:
    first_row, first = _claimed(world)
    _, second = _claimed(world)
    _say(world, second, "Declined")

    _arrive(
        world, first.webhook_token, "claim.status-category-update", id=second.claim_id, status={"category": "Declined"}
    )
    world.drain()

    assert world.claim(first_row).milestones == {}
    assert world.row(first_row).status == "awaiting_refund"
    (delivery,) = world.all(WebhookDelivery)
    assert "another claim" in delivery.verdict


def test_while_xclaim_cannot_be_asked_the_milestone_latches_and_the_status_waits(world: World) -> None:
    row_id, claim = _claimed(world)
    _say(world, claim, "Payment Complete")
    world.control.settings(outage=503)
    _arrive(
        world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": "Settled"}
    )
    world.drain()
    assert list(world.claim(row_id).milestones) == ["claim_paid"]
    assert world.claim(row_id).status == "Submitted"

    world.control.settings(outage=None)
    world.later(30)
    world.sweep()
    world.drain()

    assert world.claim(row_id).status == "Payment Complete"


def test_a_deleted_claim_is_closed_unpaid_and_never_made_again(world: World) -> None:
    row_id, claim = _claimed(world)
    world.control.send_event(claim.reference, event="claim.deleted", send=False)
    _arrive(world, claim.webhook_token, "claim.deleted", id=claim.claim_id)
    world.drain()
    world.settle()

    assert list(world.claim(row_id).milestones) == ["claim_closed_unpaid"]
    assert len(world.all(Claim)) == 1


@pytest.mark.parametrize("category", ["Some New Thing", "In Prüfung ✓"])
def test_an_unknown_category_survives_as_text(world: World, category: str) -> None:
    row_id, claim = _claimed(world)
    _say(world, claim, category)
    _arrive(
        world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": category}
    )
    world.drain()

    assert world.claim(row_id).status == category


def test_handling_a_delivery_twice_changes_nothing(world: World) -> None:
    row_id, claim = _claimed(world)
    _say(world, claim, "Payment Complete")
    _arrive(
        world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id, status={"category": "Settled"}
    )
    (message,) = world.drain()
    lines = len(world.timeline(row_id))

    world.run(TaskName.HANDLE_WEBHOOK, message[1])

    assert len(world.timeline(row_id)) == lines


def test_a_dead_handlers_event_is_soon_taken_up_and_a_sleeping_ones_word_does_not_count(world: World) -> None:
    _, claim = _claimed(world)
    _say(world, claim, "Under Assessment")
    _arrive(world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id)
    (delivery,) = world.all(WebhookDelivery)
    with world.database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, delivery.id)
    assert taken is not None
    sleeping = taken[0]
    world.database.published.clear()

    world.later(LEASE_SECONDS + 0.5)
    world.sweep()
    world.drain()
    (handled,) = world.all(WebhookDelivery)
    with world.database.transaction() as tx:
        assert not webhook_events.renew_handling(tx, sleeping)
        webhook_events.postpone(tx, sleeping, "woke up late", seconds=60)
        webhook_events.mark_handled(tx, sleeping, "woke up late", outcome="kept")

    (after,) = world.all(WebhookDelivery)
    assert handled.handled_at is not None
    assert (after.handled_at, after.verdict) == (handled.handled_at, handled.verdict)


def test_an_event_is_kept_in_hand_while_xclaim_is_slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "RENEW_EVERY", 0.05)
    _, claim = _claimed(world, faults=[{"on": "get_claim", "do": "slow", "seconds": 1, "times": 1}])
    _arrive(world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id)
    (delivery,) = world.all(WebhookDelivery)
    leases: set[Any] = set()
    renew = webhook_events.renew_handling

    def renewed(tx: Transaction, delivery: WebhookDelivery) -> bool:
        is_ours = renew(tx, delivery)
        leases.add(tx.session.get_one(WebhookDelivery, delivery.id, populate_existing=True).lease_until)
        return is_ours

    monkeypatch.setattr(webhook_events, "renew_handling", renewed)
    world.run(TaskName.HANDLE_WEBHOOK, delivery.id)

    assert len(leases - {None}) > 1
