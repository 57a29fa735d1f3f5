"""A commit whose answer is lost may have been done or not: whichever it was, everything ends, and nothing twice."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from shared.db import AWAY
from shared.webhook_models import WebhookBody
from shared.xclaim.signature import sign
from tests.gateway import BOOKING, WEBHOOK_KEYS, Gateway
from tests.lossy_database import Wire, breaking_wire
from tests.recording import RecordingDatabase
from tests.simulator import REFUND_SECRET, SimBooking, SimulatorServer
from tests.world import World

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

JOURNEYS: dict[str, dict[str, Any]] = {
    "claimed first": {"claim": {}, "refund": {"mode": "skip"}},
    "refunded by call": {"refund": {"mode": "call"}},
    "at once": {"journey": "cancel_now"},
}


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with breaking_wire(database_url) as made:
        yield made


@pytest.fixture
def world(wire: Wire, simulator: SimulatorServer, broker: str) -> Iterator[World]:
    database = RecordingDatabase(wire.url)
    made = World(database, simulator, refund_url=simulator.refund_url, refund_secret=REFUND_SECRET)
    yield made
    made.close()
    database.close()


def accept(world: World, booking: SimBooking, body: dict[str, Any]) -> UUID:
    """Ask until it is answered, as a caller does."""
    try:
        return world.accept(booking, key=booking.id, **body)
    except AWAY:
        return world.accept(booking, key=booking.id, **body)


def drain(world: World) -> None:
    """Run every message; the step that loses its database ends there."""
    while world.database.published:
        message = world.database.published.pop(0)
        try:
            world.run(*message)
        except AWAY:
            continue


@pytest.mark.parametrize("arrives", [True, False], ids=["done unheard", "never arrived"])
@pytest.mark.parametrize("journey", JOURNEYS)
def test_whichever_commit_of_a_journey_is_lost_it_ends_and_nothing_is_done_twice(
    world: World, wire: Wire, journey: str, arrives: bool
) -> None:
    world.control.settings(duplicates="accept")
    lost = 0
    while True:
        booking = world.booking(policies=[{"price": 50}], claim_story=[])
        wire.break_at(lost + 1, arrives=arrives)
        row_id = accept(world, booking, JOURNEYS[journey])
        drain(world)
        is_lost = wire.has_broken()
        world.later(9)
        world.sweep()
        world.settle()

        row = world.row(row_id)
        assert row.status == "completed", (lost, row.problem)
        wanted = {"claim": "claim" in row.done_steps, "confirm": "confirm" in row.done_steps}
        assert {kind: len(world.effects(kind, booking)) for kind in wanted} == wanted, lost
        assert len(world.rows()) == lost + 1
        if not is_lost:
            break
        lost += 1
    assert lost >= 4, "no commit was lost: nothing was tested"


@pytest.fixture
def gateway(wire: Wire) -> Iterator[Gateway]:
    database = RecordingDatabase(wire.url)
    yield Gateway(database)
    database.close()


@pytest.mark.parametrize("arrives", [True, False], ids=["done unheard", "never arrived"])
def test_a_caller_that_was_told_503_asks_again_and_is_accepted_once(
    gateway: Gateway, wire: Wire, arrives: bool
) -> None:
    wire.break_at(1, arrives=arrives)
    unheard = gateway.post("", {"booking_id": BOOKING}, Idempotency_Key="key-1")
    again = gateway.post("", {"booking_id": BOOKING}, Idempotency_Key="key-1")

    assert wire.has_broken()
    assert (unheard.status_code, again.status_code) == (503, 200 if arrives else 202)
    assert unheard.headers["Retry-After"]
    assert [one["id"] for one in gateway.get("").get_json()["items"]] == [again.get_json()["id"]]


@pytest.mark.parametrize("arrives", [True, False], ids=["done unheard", "never arrived"])
def test_a_refund_whose_report_was_told_503_is_reported_again_and_counts_once(
    gateway: Gateway, wire: Wire, arrives: bool
) -> None:
    found = gateway.accept_previewed()
    report = {"amount": "22.40", "currency": "EUR", "reference": "re_123"}
    wire.break_at(1, arrives=arrives)
    unheard = gateway.post(f"/{found}/refund", report)
    again = gateway.post(f"/{found}/refund", report)

    assert wire.has_broken()
    assert (unheard.status_code, again.status_code) == (503, 200)
    assert gateway.row(found).refund_amount == Decimal("22.40")
    events = gateway.get(f"/{found}/events").get_json()["items"]
    assert len([line for line in events if line.get("event") == "refund_reported"]) == 1


@pytest.mark.parametrize("arrives", [True, False], ids=["done unheard", "never arrived"])
def test_a_webhook_that_was_told_503_is_sent_again_and_its_body_is_kept_once(
    gateway: Gateway, wire: Wire, arrives: bool
) -> None:
    body = b'{"event": "claim.updated", "payload": {"id": "c-1"}}'
    signed = {"XClaim-Signature": sign(body, WEBHOOK_KEYS[0])}
    wire.break_at(1, arrives=arrives, marker=b"INSERT INTO webhook_bodies")
    answers = [gateway.client.post("/webhooks/xclaim", data=body, headers=signed) for _ in range(2)]

    assert wire.has_broken()
    assert [answer.status_code for answer in answers] == [503, 200]
    with gateway.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(WebhookBody)) == 1
