"""Story: an operator has webhooks handled again. Nothing happens twice, and what was missed then is found."""

import json
from typing import Any
from uuid import UUID

import pytest

from shared import webhook_events
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from tests.gateway import OPERATOR, Gateway, bearer
from tests.simulator import PARTNER_CODE
from tests.world import World

TRIES_OF_HALF_AN_HOUR = 20


@pytest.fixture
def gateway(world: World) -> Gateway:
    return Gateway(world.database, xcover_partner_code=PARTNER_CODE)


def arrive(world: World, token: str | None, category: str, **payload: Any) -> UUID:
    said = {"event": "claim.status-category-update", "payload": {**payload, "status": {"category": category}}}
    with world.database.transaction() as tx:
        stored, _ = webhook_events.record(
            tx, json.dumps(said).encode(), source="xclaim", token=token, key_id="first", headers={}
        )
    return stored


def claimed(world: World, **spec: Any) -> tuple[UUID, Claim]:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], **spec)
    row_id = world.accept(booking, claim={})
    world.settle()
    return row_id, world.claim(row_id)


def xclaim_says(world: World, claim: Claim, category: str) -> None:
    world.control.send_event(claim.reference, event="claim.status-category-update", category=category, send=False)


def replay(gateway: Gateway, **body: Any) -> dict[str, Any]:
    answer = gateway.client.post("/v1/webhooks/replay", json={"dry_run": False, **body}, headers=bearer(OPERATOR))
    assert answer.status_code == 200, answer.text
    return answer.get_json()  # type: ignore[no-any-return]


def delivery(world: World, stored: UUID) -> WebhookDelivery:
    (found,) = world.all(WebhookDelivery, WebhookDelivery.id == stored)
    return found  # type: ignore[no-any-return]


def give_up(world: World) -> None:
    for _ in range(TRIES_OF_HALF_AN_HOUR):
        world.later(400)
        world.sweep()
        world.drain()


def test_replaying_everything_doubles_nothing(world: World, gateway: Gateway) -> None:
    row_id, claim = claimed(world)
    for category in ("Under Review", "Payment Complete"):
        xclaim_says(world, claim, category)
        arrive(world, claim.webhook_token, category, id=claim.claim_id)
        world.drain()
    lines, claim_before = len(world.timeline(row_id)), world.claim(row_id)
    first_outcomes = [found.outcome for found in world.all(WebhookDelivery)]

    done = replay(gateway, source="xclaim")
    world.drain()

    assert done["replayed"] == 2
    again = world.all(WebhookDelivery)
    assert ([found.handled_at is None for found in again], [found.tries for found in again]) == ([False] * 2, [1] * 2)
    assert (first_outcomes, [found.outcome for found in again]) == (["applied"] * 2, ["unchanged"] * 2)
    after = world.claim(row_id)
    assert (after.status, after.milestones) == (claim_before.status, claim_before.milestones)
    assert len(world.timeline(row_id)) == lines
    assert len(world.all(Claim)) == 1


def test_a_kept_event_finds_its_claim_once_there_is_one(world: World, gateway: Gateway) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    stored = arrive(world, None, "Payment Complete", bookingReference=booking.id)
    world.drain()
    give_up(world)
    assert delivery(world, stored).outcome == "kept"
    row_id = world.accept(booking, claim={})
    world.settle()
    assert world.claim(row_id).milestones == {}

    answer = gateway.client.post(f"/v1/webhooks/{stored}/replay", json={"dry_run": True}, headers=bearer(OPERATOR))
    assert answer.get_json()["forecast"]["newly_matched"] == 1
    xclaim_says(world, world.claim(row_id), "Payment Complete")
    gateway.client.post(f"/v1/webhooks/{stored}/replay", headers=bearer(OPERATOR))
    world.drain()

    claim = world.claim(row_id)
    found = delivery(world, stored)
    assert (found.outcome, found.claim_id, found.replays) == ("applied", claim.id, 1)
    assert (list(claim.milestones), claim.status) == (["claim_paid"], "Payment Complete")


def test_a_replay_of_a_time_range_takes_up_what_an_outage_left(world: World, gateway: Gateway) -> None:
    row_id, claim = claimed(world)
    early = arrive(world, claim.webhook_token, "Under Review", id=claim.claim_id)
    world.drain()
    world.later(600)
    world.control.settings(outage=500)
    missed = arrive(world, claim.webhook_token, "Action Required", id=claim.claim_id)
    world.drain()
    give_up(world)
    assert delivery(world, missed).outcome == "kept"
    world.control.settings(outage=None)
    xclaim_says(world, claim, "Under Assessment")

    since = delivery(world, missed).received_at.isoformat()
    done = replay(gateway, since=since, outcome="kept")
    world.drain()

    assert (done["replayed"], [delivery(world, found).replays for found in (early, missed)]) == (1, [0, 1])
    assert world.claim(row_id).status == "Under Assessment"


def test_a_replayed_event_that_still_finds_nothing_is_kept_again(world: World, gateway: Gateway) -> None:
    stored = arrive(world, None, "Settled", id="nobody-knows-it")
    world.drain()
    give_up(world)

    replay(gateway, outcome="kept")
    world.drain()
    assert delivery(world, stored).handled_at is None
    give_up(world)

    found = delivery(world, stored)
    assert (found.outcome, found.replays) == ("kept", 1)


def test_a_replay_whose_ring_is_lost_is_rung_for_by_the_sweeper(world: World, gateway: Gateway) -> None:
    row_id, claim = claimed(world)
    xclaim_says(world, claim, "Under Review")
    stored = arrive(world, claim.webhook_token, "Under Review", id=claim.claim_id)
    world.drain()

    replay(gateway, claim=claim.reference)
    world.database.published.clear()
    world.later(10.1)
    world.sweep()
    world.drain()

    assert delivery(world, stored).handled_at is not None
    assert world.claim(row_id).status == "Under Review"
