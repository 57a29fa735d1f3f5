"""Story: what came of each webhook, in one word, for those who look at them and replay them."""

import json
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from shared import webhook_events
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from tests.world import World
from workers.handle_webhook import LAST_TRY

UPDATE = "claim.status-category-update"


def _claimed(world: World) -> Claim:
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    row_id = world.accept(booking, claim={})
    world.settle()
    return world.claim(row_id)


def _becomes(world: World, claim: Claim, category: str) -> None:
    world.control.send_event(claim.reference, event=UPDATE, category=category, send=False)


def _arrives(world: World, token: str | None, event: str = UPDATE, *, category: str = "x", **payload: Any) -> UUID:
    raw = json.dumps({"event": event, "payload": {"status": {"category": category}, **payload}}).encode()
    with world.database.transaction() as tx:
        delivery_id, _ = webhook_events.record(tx, raw, source="xclaim", token=token, key_id="first", headers={})
    world.drain()
    return delivery_id


def _delivery(world: World, delivery_id: UUID) -> WebhookDelivery:
    (found,) = world.all(WebhookDelivery, WebhookDelivery.id == delivery_id)
    return found  # type: ignore[no-any-return]


def _until_given_up(world: World, delivery_id: UUID) -> WebhookDelivery:
    """Let every try of a delivery pass."""
    for _ in range(LAST_TRY):
        world.later(400)
        world.sweep()
        world.drain()
    return _delivery(world, delivery_id)


def test_news_is_applied_and_its_repeat_unchanged(world: World) -> None:
    claim = _claimed(world)
    _becomes(world, claim, "Under Review")

    outcomes = [_delivery(world, _arrives(world, claim.webhook_token)).outcome for _ in range(3)]

    assert outcomes == ["applied", "unchanged", "unchanged"]


def test_a_milestone_that_the_event_alone_tells_is_applied(world: World) -> None:
    claim = _claimed(world)

    delivery_id = _arrives(world, claim.webhook_token, status={"category": "Submitted", "name": "premium_refund"})

    assert _delivery(world, delivery_id).outcome == "applied"


def test_a_journey_that_is_woken_is_applied_although_the_claim_is_the_same(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_polls=5)
    row_id = world.accept(booking, claim={})
    world.drain()
    claim = world.claim(row_id)

    delivery_id = _arrives(world, claim.webhook_token)

    assert _delivery(world, delivery_id).outcome == "applied"
    assert "hurried" in {line.event for line in world.timeline(row_id)}


def test_what_an_earlier_try_applied_counts_although_the_last_one_found_nothing_new(world: World) -> None:
    claim = _claimed(world)
    world.control.settings(outage=503)
    delivery_id = _arrives(world, claim.webhook_token, category="Payment Complete")
    assert list(world.claim(claim.cancellation_id).milestones) == ["claim_paid"]
    assert _delivery(world, delivery_id).handled_at is None

    world.control.settings(outage=None)
    world.later(30)
    world.sweep()
    world.drain()

    assert world.claim(claim.cancellation_id).status == "Submitted"
    assert (_delivery(world, delivery_id).outcome, _delivery(world, delivery_id).claim_id) == ("applied", claim.id)


def test_an_event_of_another_claim_on_this_address_is_ignored(world: World) -> None:
    first, second = _claimed(world), _claimed(world)

    delivery_id = _arrives(world, first.webhook_token, id=second.claim_id)

    assert _delivery(world, delivery_id).outcome == "ignored"


def test_an_event_that_names_no_claim_of_ours_and_that_xclaim_does_not_confirm_is_ignored(world: World) -> None:
    claim = _claimed(world)
    world.control.send_event(claim.reference, event="claim.deleted", send=False)

    delivery_id = _arrives(world, None, bookingReference=claim.booking_id)

    assert _delivery(world, delivery_id).outcome == "ignored"


def test_an_event_of_no_claim_of_ours_is_kept(world: World) -> None:
    delivery_id = _arrives(world, None, id="nobody-knows-it")
    assert _delivery(world, delivery_id).outcome is None

    delivery = _until_given_up(world, delivery_id)

    assert (delivery.outcome, delivery.claim_id) == ("kept", None)
    assert delivery.handled_at is not None


def test_an_event_about_which_xclaim_never_answered_is_kept_with_its_claim(world: World) -> None:
    claim = _claimed(world)
    world.control.settings(outage=500)
    delivery_id = _arrives(world, claim.webhook_token, category="Settled")

    delivery = _until_given_up(world, delivery_id)

    assert (delivery.outcome, delivery.claim_id) == ("kept", claim.id)
    assert list(world.claim(claim.cancellation_id).milestones) == ["claim_paid"]


def test_a_deleted_claim_is_told_to_a_person_once_and_never_made_again(world: World) -> None:
    claim = _claimed(world)
    world.control.send_event(claim.reference, event="claim.deleted", send=False)

    with capture_logs() as logs:
        outcomes = [_delivery(world, _arrives(world, claim.webhook_token, "claim.deleted")).outcome for _ in range(2)]
    world.settle()

    assert outcomes == ["applied", "unchanged"]
    assert [entry["log_level"] for entry in logs if entry["event"] == "claim_deleted"] == ["warning"]
    assert [line.event for line in world.timeline(claim.cancellation_id)].count("claim_deleted") == 1
    assert len(world.control.effects("claim", claim.booking_id)) == 1
    assert world.row(claim.cancellation_id).status == "needs_review"


def test_the_deletion_of_a_paid_claim_is_told_too(world: World) -> None:
    claim = _claimed(world)
    _becomes(world, claim, "Settled")
    _arrives(world, claim.webhook_token)
    world.control.send_event(claim.reference, event="claim.deleted", send=False)

    _arrives(world, claim.webhook_token, "claim.deleted")

    assert list(world.claim(claim.cancellation_id).milestones) == ["claim_paid"]
    assert "claim_deleted" in {line.event for line in world.timeline(claim.cancellation_id)}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"category": "In Prüfung ✓"}, ["In Prüfung ✓"]),
        ({"category": "under_review", "name": "fraud_over"}, []),
        ({"name": "fraud_over"}, ["fraud_over"]),
        ({"name": "premium_refund", "label": "Vorgang 7"}, []),
        ({}, []),
    ],
)
def test_an_event_in_unknown_words_is_told_once(world: World, status: dict[str, str], words: list[str]) -> None:
    claim = _claimed(world)

    with capture_logs() as logs:
        for _ in range(2):
            _arrives(world, claim.webhook_token, "claim.status-update", status=status)

    assert [entry["word"] for entry in logs if entry["event"] == "claim_category_unknown"] == words
    lines = [line for line in world.timeline(claim.cancellation_id) if line.event == "claim_category_unknown"]
    assert len(lines) == len(words)
    assert all(word in line.reason for word, line in zip(words, lines, strict=True))
