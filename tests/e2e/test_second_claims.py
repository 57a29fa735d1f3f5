"""Story: a request for a claim arrives after all, long after it was proven not to have; a person is told of both."""

import json
from typing import Any

import pytest

from shared import webhook_events
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from tests.simulator.caller import Caller
from tests.world import World

SKIP = {"mode": "skip"}


def _arrive(world: World, token: str | None, **payload: Any) -> str:
    raw = json.dumps({"event": "claim.status-category-update", "payload": payload}).encode()
    with world.database.transaction() as tx:
        delivery_id, _ = webhook_events.record(tx, raw, source="xclaim", token=token, key_id="first", headers={})
    world.drain()
    return next(str(one.verdict) for one in world.all(WebhookDelivery) if one.id == delivery_id)


def _claimed_twice(world: World) -> tuple[Claim, str]:
    """Return our claim, and the reference of the one that our late request made."""
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    world.settle()
    assert world.row(row_id).status == "completed"
    with Caller(world.simulator) as caller:
        late = caller.claim(booking.id, booking.quote_ids[1])
    return world.claim(row_id), str(late.json()["data"]["claimReference"])


@pytest.mark.claims_again
def test_an_event_of_a_second_claim_on_the_first_ones_address_needs_review_although_all_was_done(world: World) -> None:
    claim, second = _claimed_twice(world)

    verdict = _arrive(world, claim.webhook_token, claimReference=second, status={"category": "Under Review"})

    row = world.row(claim.cancellation_id)
    assert row.status == "needs_review"
    assert row.problem is not None
    assert row.problem["type"].endswith("/claim-duplicated")
    assert second in row.problem["detail"]
    assert str(claim.reference) in row.problem["detail"]
    assert second in verdict
    assert world.claim(row.id).reference == claim.reference


@pytest.mark.claims_again
def test_a_second_claim_is_told_once(world: World) -> None:
    claim, second = _claimed_twice(world)
    for _ in range(2):
        _arrive(world, claim.webhook_token, claimReference=second, status={"category": "Under Review"})
        _arrive(world, claim.webhook_token, claimReference=second, status={"category": "Declined"})

    world.resolve(claim.cancellation_id, "close")
    _arrive(world, claim.webhook_token, claimReference=second, status={"category": "Closed"})

    told = [line for line in world.timeline(claim.cancellation_id) if line.event == "needs_review"]
    assert len(told) == 1
    assert world.row(claim.cancellation_id).status == "closed"


def test_a_name_that_xclaim_does_not_know_stops_nothing(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    world.settle()
    claim = world.claim(row_id)

    verdict = _arrive(world, claim.webhook_token, claimReference="AAAAA-BBBBB-CLA", status={"category": "Closed"})

    assert verdict.startswith("ignored")
    assert world.row(row_id).status == "completed"
    assert world.claim(row_id).milestones == {}


def test_another_bookings_claim_on_this_address_stops_nothing(world: World) -> None:
    first, other = (world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[]) for _ in range(2))
    ids = [world.accept(one, claim={"quote_id": one.quote_ids[1]}, refund=SKIP) for one in (first, other)]
    world.settle()
    claim, others = (world.claim(row_id) for row_id in ids)

    verdict = _arrive(world, claim.webhook_token, claimReference=others.reference, status={"category": "Closed"})

    assert verdict.startswith("ignored")
    assert [world.row(row_id).status for row_id in ids] == ["completed", "completed"]
