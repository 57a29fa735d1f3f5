"""Story: the insurer answers nobody. What is accepted waits, one request at a time asks, then everything goes on."""

import json
from datetime import timedelta

import pytest

from shared import webhook_events
from shared.breakers import LONGEST_PAUSE, OPENS_AFTER
from shared.webhook_models import WebhookDelivery
from shared.xclaim.signature import key_id
from tests.simulator import SimulatorServer
from tests.world import WEBHOOK_KEY, World

SKIP = {"mode": "skip"}
pytestmark = [pytest.mark.key_mode("honoured"), pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]

NOWHERE = "http://127.0.0.1:9/"
"""A port at which nobody listens."""


def pass_time(world: World, *, until: timedelta, each: float) -> None:
    for _ in range(int(until.total_seconds() / each)):
        world.later(each)
        world.sweep()
        world.drain()


def requests(world: World) -> int:
    return len(world.control.requests())


def test_while_xcover_is_down_jobs_wait_without_burning_tries_and_one_at_a_time_asks(world: World) -> None:
    bookings = [world.booking() for _ in range(12)]
    world.control.settings(outage=503)
    rows = [world.accept(booking, refund=SKIP) for booking in bookings]
    world.drain()
    assert requests(world) == OPENS_AFTER

    pass_time(world, until=timedelta(minutes=40), each=60)
    probes = requests(world) - OPENS_AFTER
    assert 15 <= probes <= 2400 / LONGEST_PAUSE + 10
    assert {world.row(row_id).status for row_id in rows} == {"in_progress"}
    assert max(world.row(row_id).tries for row_id in rows) <= 1

    world.control.settings(outage=None)
    world.settle()
    assert {world.row(row_id).status for row_id in rows} == {"completed"}
    assert [len(world.effects("confirm", booking)) for booking in bookings] == [1] * 12


def test_one_alone_outlasts_an_outage_of_hours(world: World, simulator: SimulatorServer) -> None:
    booking = world.booking()
    world.configure(xcover_base_url=NOWHERE)
    row_id = world.accept(booking, refund=SKIP)
    world.drain()
    pass_time(world, until=timedelta(hours=4), each=400)
    assert world.row(row_id).tries <= OPENS_AFTER

    world.configure()
    world.settle()
    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_one_whose_own_request_is_always_answered_500_ends_with_a_person_and_stops_no_other(world: World) -> None:
    poison = world.booking(faults=[{"on": "preview", "do": "error_before", "status": 500, "times": 10_000}])
    poisoned = world.accept(poison, refund=SKIP)
    others = []
    for _ in range(8):
        others.append(world.accept(world.booking(), refund=SKIP))
        pass_time(world, until=timedelta(seconds=150), each=30)
    assert {world.row(row_id).status for row_id in others} == {"completed"}

    world.settle(rounds=400)
    row = world.row(poisoned)
    assert (row.status, (row.problem or {})["type"]) == ("needs_review", "/problems/tries-spent")


def test_while_xclaim_is_down_claims_wait_and_what_needs_no_claim_goes_on(world: World) -> None:
    world.configure(xclaim_base_url=NOWHERE, xclaim_eligibility_check=False)
    bookings = [world.booking(policies=[{"price": 50}, {"price": 60}]) for _ in range(8)]
    claiming = [world.accept(b, claim={"quote_id": b.quote_id}, refund=SKIP) for b in bookings]
    plain = [world.accept(world.booking(), refund=SKIP) for _ in range(3)]
    world.drain()
    pass_time(world, until=timedelta(minutes=30), each=60)
    assert {world.row(row_id).status for row_id in plain} == {"completed"}
    assert {(world.row(row_id).status, world.row(row_id).next_step) for row_id in claiming} == {
        ("in_progress", "claim")
    }
    assert max(world.row(row_id).tries for row_id in claiming) <= OPENS_AFTER

    world.configure(xclaim_eligibility_check=False)
    world.settle()
    assert {world.row(row_id).status for row_id in claiming} == {"completed"}
    assert [len(world.effects("claim", booking)) for booking in bookings] == [1] * 8


@pytest.mark.parametrize("on", ["get_booking", "preview"])
def test_one_whose_own_request_goes_unanswered_keeps_nobody_from_being_served(world: World, on: str) -> None:
    fault = {"on": on, "do": "error_before", "status": 503, "times": 10_000}
    poisons = [world.accept(world.booking(faults=[fault]), refund=SKIP) for _ in range(2)]
    world.drain()
    pass_time(world, until=timedelta(minutes=4), each=20)
    others = [world.accept(world.booking(), refund=SKIP) for _ in range(3)]
    world.database.published.clear()  # their messages are lost: the line alone gets them their turn
    pass_time(world, until=timedelta(minutes=12), each=20)
    assert {world.row(row_id).status for row_id in others} == {"completed"}
    assert {world.row(row_id).status for row_id in poisons} == {"in_progress"}


def test_a_webhook_is_not_given_up_because_its_own_question_was_the_probe(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.settle()
    claim = world.claim(row_id)
    raw = json.dumps({"event": "claim.updated", "payload": {"id": claim.claim_id}}).encode()
    with world.database.transaction() as tx:
        delivery_id, _ = webhook_events.record(
            tx, raw, source="xclaim", token=claim.webhook_token, key_id=key_id(WEBHOOK_KEY), headers={}
        )
    world.control.settings(outage=503)
    pass_time(world, until=timedelta(hours=3), each=120)
    (delivery,) = world.all(WebhookDelivery, WebhookDelivery.id == delivery_id)
    assert delivery.handled_at is None
    assert delivery.tries <= OPENS_AFTER

    world.control.settings(outage=None)
    pass_time(world, until=timedelta(minutes=20), each=60)
    (delivery,) = world.all(WebhookDelivery, WebhookDelivery.id == delivery_id)
    assert delivery.outcome in {"applied", "unchanged"}
