"""Story: the claim is made first, and the policies are cancelled only once it reports its Premium Refund."""

import json
from typing import Any
from uuid import UUID

import pytest

from shared import webhook_events
from tests.simulator import SimBooking
from tests.world import World

DAY = 24 * 3600.0
SKIP = {"mode": "skip"}
JOURNEY: dict[str, Any] = {"journey": "claim_then_cancel", "refund": SKIP}
PREMIUM_REFUND = {"name": "premium_refund", "label": "Premium Refund"}


def _waiting(world: World, **asked: Any) -> tuple[SimBooking, UUID]:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, **{**JOURNEY, **asked})
    world.settle()
    assert world.row(row_id).status == "awaiting_premium_refund"
    return booking, row_id


def _says(world: World, row_id: UUID, category: str, **more: Any) -> None:
    """Let XClaim's claim become so, and its webhook arrive."""
    claim = world.claim(row_id)
    event = "claim.status-update" if more else "claim.status-category-update"
    world.control.send_event(claim.reference, event=event, category=category, send=False, **more)
    raw = json.dumps({"event": event, "payload": {"id": claim.claim_id, "status": {"category": category, **more}}})
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw.encode(), source="xclaim", token=claim.webhook_token, key_id="first", headers={})


def test_nothing_is_previewed_before_the_claim_reports_its_premium_refund(world: World) -> None:
    booking, row_id = _waiting(world)

    row = world.row(row_id)
    assert (row.next_step, row.done_steps) == ("await_premium_refund", ["look_up", "claim"])
    assert world.effects("preview", booking) == []
    assert len(world.effects("claim", booking)) == 1


def test_the_premium_refund_of_a_webhook_leads_to_the_confirm(world: World) -> None:
    booking, row_id = _waiting(world)

    _says(world, row_id, "Payment Processing", **PREMIUM_REFUND)
    world.drain()

    row = world.row(row_id)
    steps = ["look_up", "claim", "await_premium_refund", "preview", "refund", "confirm"]
    assert (row.status, row.done_steps) == ("completed", steps)
    assert len(world.effects("confirm", booking)) == 1


def test_the_premium_refund_is_seen_on_the_claim_although_its_webhook_was_lost(world: World) -> None:
    booking, row_id = _waiting(world)
    claim = world.claim(row_id)
    world.control.send_event(
        claim.reference, event="claim.status-update", category="Payment Processing", send=False, **PREMIUM_REFUND
    )

    world.later(3600)
    world.sweep()
    world.drain()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_the_customers_refund_is_awaited_after_the_premium_refund(world: World) -> None:
    booking, row_id = _waiting(world, refund={"mode": "wait"})
    _says(world, row_id, "Payment Processing", **PREMIUM_REFUND)
    world.drain()

    row = world.row(row_id)
    assert (row.status, row.next_step) == ("awaiting_refund", "refund")
    assert row.waiting_since is not None
    assert row.waiting_since > row.created_at
    assert world.report_refund(row_id, str(row.preview_total), "EUR").status == 200
    world.drain()
    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


@pytest.mark.parametrize(
    ("category", "problem"),
    [
        ("Payment Complete", "claim-paid-first"),
        ("Settled", "claim-paid-first"),
        ("Declined", "claim-closed-unpaid"),
        ("Withdrawn", "claim-closed-unpaid"),
        ("Closed", "claim-closed-unpaid"),
    ],
)
def test_a_claim_that_goes_another_way_first_is_a_persons_to_decide(world: World, category: str, problem: str) -> None:
    booking, row_id = _waiting(world)

    _says(world, row_id, category)
    world.drain()

    row = world.row(row_id)
    assert (row.status, row.next_step) == ("needs_review", "await_premium_refund")
    assert row.problem is not None
    assert row.problem["type"] == f"/problems/{problem}"
    assert world.effects("preview", booking) == []


def test_a_claim_that_never_reports_is_a_persons_to_decide_after_sixty_days(world: World) -> None:
    _, row_id = _waiting(world)

    for days in (20, 20, 19):
        world.later(days * DAY)
        world.sweep()
        world.drain()
    assert world.row(row_id).status == "awaiting_premium_refund"
    world.later(DAY + 60)
    world.sweep()
    world.drain()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert row.problem is not None
    assert row.problem["type"] == "/problems/premium-refund-not-reported"


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
def test_looks_at_the_claim_grow_rarer_down_to_four_a_day(world: World) -> None:
    _, row_id = _waiting(world)

    waits = []
    for _ in range(36):
        row = world.row(row_id)
        assert row.next_attempt_at is not None
        waits.append((row.next_attempt_at - row.updated_at).total_seconds())
        world.later(waits[-1] + 11)
        world.sweep()
        world.drain()

    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(60, abs=2)
    assert waits[-1] == pytest.approx(6 * 3600, abs=2)


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
def test_while_xclaim_is_down_it_goes_on_waiting(world: World) -> None:
    _, row_id = _waiting(world)
    world.control.settings(outage=503)
    for _ in range(12):
        world.later(6 * 3600)
        world.sweep()
        world.drain()
    assert world.row(row_id).status == "awaiting_premium_refund"

    world.control.settings(outage=None)
    _says(world, row_id, "Payment Processing", **PREMIUM_REFUND)
    world.drain()

    assert world.row(row_id).status == "completed"


def test_a_premium_refund_counts_only_once_xclaim_when_asked_shows_the_claim(world: World) -> None:
    booking, row_id = _waiting(world)
    _says(world, row_id, "Payment Processing", **PREMIUM_REFUND)
    world.control.settings(outage=503)
    world.drain()
    assert world.effects("preview", booking) == []

    world.control.settings(outage=None)
    world.settle()

    assert world.row(row_id).status == "completed"


def test_a_claim_deleted_before_the_premium_refund_stops_it(world: World) -> None:
    booking, row_id = _waiting(world)
    claim = world.claim(row_id)
    world.control.send_event(claim.reference, event="claim.deleted", send=False)
    raw = json.dumps({"event": "claim.deleted", "payload": {"id": claim.claim_id}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.settle()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert world.effects("preview", booking) == []


def test_a_policy_that_cannot_be_cancelled_when_its_time_has_come_needs_a_person(world: World) -> None:
    booking = world.booking(claim_story=[], policies=[{"can_be_cancelled": False}])
    row_id = world.accept(booking, **JOURNEY)
    world.settle()
    assert world.row(row_id).status == "awaiting_premium_refund"  # the look-up does not ask

    _says(world, row_id, "Payment Processing", **PREMIUM_REFUND)
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.next_step) == ("needs_review", "preview")
    assert row.problem is not None
    assert row.problem["type"] == "/problems/policy-cannot-be-cancelled"


def test_every_policy_of_the_booking_is_cancelled_unless_some_are_named(world: World) -> None:
    booking = world.booking(claim_story=[], policies=[{}, {"policy_type": "cancel_for_any_reason"}])
    claimed = booking.quote_ids[1]
    row_id = world.accept(booking, **JOURNEY, claim={"quote_id": claimed})
    world.settle()

    _says(world, row_id, "Payment Processing", **PREMIUM_REFUND)
    world.drain()

    (confirmed,) = world.effects("confirm", booking)
    assert sorted(confirmed["quotes"]) == sorted(booking.quote_ids)


def test_once_claimed_it_cannot_be_aborted(world: World) -> None:
    _, row_id = _waiting(world)

    assert world.row(row_id).irreversible_at is not None


def test_a_claim_alone_ends_with_the_claim(world: World) -> None:
    booking = world.booking(claim_story=[], policies=[{"can_be_cancelled": False}])
    row_id = world.accept(booking, journey="claim")
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.done_steps, row.quotes) == ("completed", ["look_up", "claim"], [])
    assert len(world.effects("claim", booking)) == 1
    assert world.effects("preview", booking) == []
    assert world.held_policies() == [booking.quote_ids[0]]


def test_a_claim_alone_that_is_declined_at_once_is_still_what_was_asked_for(world: World) -> None:
    booking = world.booking(claim_story=[{"after": 0.0, "category": "Declined"}], claim_pending_polls=2)
    row_id = world.accept(booking, journey="claim")
    world.settle()

    assert world.row(row_id).status == "completed"


def test_a_claim_alone_is_refused_for_a_cancelled_policy(world: World) -> None:
    booking = world.booking(policies=[{"status": "CANCELLED"}])
    row_id = world.accept(booking, journey="claim")
    world.settle()

    row = world.row(row_id)
    assert row.status == "rejected"
    assert row.problem is not None
    assert row.problem["type"] == "/problems/policy-already-cancelled"
