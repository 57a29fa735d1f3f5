"""Story: two partners in one deployment, each with its own insurer account, keys, limits and callers."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from shared import webhook_events
from shared.cancellation_request import parse
from shared.lifecycle import TaskName
from shared.models import Cancellation
from shared.problems import Problem
from shared.webhook_models import WebhookDelivery
from shared.xclaim.signature import key_id
from tests.simulator import CLAIM_TYPE_ID, PARTNER_CODE, SimBooking, SimulatorServer
from tests.simulator.credentials import Credentials
from tests.world import WEBHOOK_KEY, World
from workers import partners
from workers.partners import PartnerUnknown
from workers.runtime import runtime

OTHER = "OTHER"
SKIP = {"mode": "skip"}
OTHERS = Credentials(
    partner_code=OTHER,
    xcover_api_key="other_key",
    xcover_api_secret="other_secret",
    xclaim_api_key="other_claim_key",
    xclaim_password="other_password",
)
OTHERS_WEBHOOK_KEY = "the other partner's master key"

pytestmark = [pytest.mark.key_mode("honoured"), pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]


@pytest.fixture(scope="module")
def others_insurer() -> Iterator[SimulatorServer]:
    """The insurer as the other partner sees it, which lets nobody else in."""
    with SimulatorServer(credentials=OTHERS) as server:
        yield server


@pytest.fixture(autouse=True)
def two_partners(world: World, others_insurer: SimulatorServer) -> None:
    others_insurer.control.reset()
    table: dict[str, Any] = dict.fromkeys(["refund_url", "refund_secret", "xclaim_token"]) | {
        "xcover_base_url": others_insurer.xcover_url,
        "xcover_api_key": OTHERS.xcover_api_key,
        "xcover_api_secret": OTHERS.xcover_api_secret,
        "xclaim_base_url": others_insurer.xclaim_url,
        "xclaim_api_key": OTHERS.xclaim_api_key,
        "xclaim_password": OTHERS.xclaim_password,
        "xclaim_webhook_keys": OTHERS_WEBHOOK_KEY,
        "xclaim_claim_type_id": CLAIM_TYPE_ID,
    }
    world.settings.add_partner(OTHER, table, callers=frozenset({"shop", "agency"}))


def of_other(world: World, booking: SimBooking, **body: Any) -> UUID:
    return world.accept(booking, partner=OTHER, **body)


def test_each_partners_cancellation_is_carried_through_its_own_account(
    world: World, others_insurer: SimulatorServer
) -> None:
    ours, theirs = world.booking(), others_insurer.control.add_booking()
    our_row, their_row = world.accept(ours, refund=SKIP), of_other(world, theirs, refund=SKIP)
    world.settle()

    assert [world.row(row_id).status for row_id in (our_row, their_row)] == ["completed"] * 2
    assert [world.row(row_id).partner for row_id in (our_row, their_row)] == [PARTNER_CODE, OTHER]
    assert len(world.effects("confirm", ours)) == len(others_insurer.control.effects("confirm", theirs.id)) == 1
    assert world.control.effects("confirm", theirs.id) == []


def test_a_claim_is_made_with_its_partners_key_and_kept_up_to_date_by_its_webhooks(
    world: World, others_insurer: SimulatorServer
) -> None:
    booking = others_insurer.control.add_booking(policies=[{"price": 50}])
    row_id = of_other(world, booking, claim={}, refund=SKIP)
    world.settle()

    assert world.row(row_id).status == "completed"
    claim = world.claim(row_id)
    assert (claim.partner, claim.webhook_key_id) == (OTHER, key_id(OTHERS_WEBHOOK_KEY))
    assert len(others_insurer.control.effects("claim", booking.id)) == 1


@pytest.mark.parametrize(("caller", "partner"), [("stranger", OTHER), ("shop", "NOBODY")], ids=["not-its", "unknown"])
def test_a_partner_that_is_unknown_and_one_that_is_not_the_callers_look_the_same(
    world: World, caller: str, partner: str
) -> None:
    with pytest.raises(Problem) as refusal:
        parse({"booking_id": "B-1", "partner": partner}, settings=world.settings, caller=caller)
    assert refusal.value.slug == "invalid-request"
    problem = "no partner of this code is configured for this caller"
    assert refusal.value.document["errors"] == [{"field": "partner", "problem": problem}]


def test_while_one_partners_insurer_answers_nobody_the_others_goes_on(
    world: World, others_insurer: SimulatorServer
) -> None:
    others_insurer.control.settings(outage=503)
    stuck = [of_other(world, others_insurer.control.add_booking(), refund=SKIP) for _ in range(8)]
    world.drain()
    going = world.accept(world.booking(), refund=SKIP)
    world.drain()
    assert world.row(going).status == "completed"
    assert {world.row(row_id).status for row_id in stuck} == {"in_progress"}

    others_insurer.control.settings(outage=None)
    world.settle()
    assert {world.row(row_id).status for row_id in stuck} == {"completed"}


def test_one_partners_throttling_stops_no_other(world: World, others_insurer: SimulatorServer) -> None:
    fault = {"on": "get_booking", "do": "throttle", "retry_after": 600}
    throttled = of_other(world, others_insurer.control.add_booking(faults=[fault]), refund=SKIP)
    world.drain()
    waiting = of_other(world, others_insurer.control.add_booking(), refund=SKIP)
    going = world.accept(world.booking(), refund=SKIP)
    world.drain()

    assert world.row(going).status == "completed"
    assert {world.row(row_id).next_step for row_id in (throttled, waiting)} == {"look_up"}
    world.settle()
    assert {world.row(row_id).status for row_id in (throttled, waiting)} == {"completed"}


@pytest.mark.parametrize("step", ["look_up", "refund", "confirm"])
def test_one_whose_partner_is_configured_no_more_waits_for_a_person_and_goes_on_when_it_is_back(
    world: World, others_insurer: SimulatorServer, step: str
) -> None:
    booking = others_insurer.control.add_booking()
    row_id = of_other(world, booking, refund=SKIP)
    while world.row(row_id).next_step != step:
        world.run(*world.database.published.pop(0))
    others = world.settings._others.pop(OTHER)
    runtime()._partners.pop(OTHER, None)
    world.settle()
    row = world.row(row_id)
    assert (row.status, (row.problem or {})["type"]) == ("needs_review", "/problems/partner-unknown")

    world.settings._others[OTHER] = others
    world.retry(row_id)
    world.settle()
    assert world.row(row_id).status == "completed"
    assert len(others_insurer.control.effects("confirm", booking.id)) == 1


@pytest.mark.parametrize("own_address", [True, False], ids=["own-address", "bare-address"])
def test_an_event_that_another_partners_key_signs_touches_no_claim_of_ours(
    world: World, others_insurer: SimulatorServer, *, own_address: bool
) -> None:
    booking = others_insurer.control.add_booking(policies=[{"price": 50}])
    row_id = of_other(world, booking, claim={}, refund=SKIP)
    world.settle()
    claim = world.claim(row_id)
    paid = {"event": "claim.updated", "payload": {"id": claim.claim_id, "status": {"category": "Claim Paid"}}}

    for master, outcome in ((WEBHOOK_KEY, None), (OTHERS_WEBHOOK_KEY, "applied")):
        raw = json.dumps({**paid, "sent_with": key_id(master)}).encode()
        with world.database.transaction() as tx:
            token = claim.webhook_token if own_address else None
            delivery_id, _ = webhook_events.record(
                tx, raw, source="xclaim", token=token, key_id=key_id(master), headers={}
            )
        world.drain()
        (delivery,) = world.all(WebhookDelivery, WebhookDelivery.id == delivery_id)
        assert delivery.outcome == outcome
        assert ("claim_paid" in world.claim(row_id).milestones) is (outcome == "applied")


def test_a_partner_whose_clients_cannot_be_built_stops_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch, others_insurer: SimulatorServer
) -> None:
    runtime()._partners.pop(OTHER, None)
    real = partners.connect

    def broken(settings: Any, **given: Any) -> Any:
        if settings.xcover_partner_code == OTHER:
            raise ValueError("nothing can be built from this")
        return real(settings, **given)

    monkeypatch.setattr(partners, "connect", broken)
    stuck = of_other(world, others_insurer.control.add_booking(), refund=SKIP)
    going = world.accept(world.booking(), refund=SKIP)
    with world.database.transaction() as tx:  # both stand in line, as after a moment without a free turn
        tx.session.execute(update(Cancellation).values(turn_class=1, turn=1, ring_after=None))
    world.database.published.clear()
    world.sweep()
    world.drain()
    assert world.row(going).status == "completed"

    for _ in range(8):
        with suppress(ValueError):
            world.run(TaskName.LOOK_UP, stuck)
        world.later(60)
    assert world.row(stuck).status == "needs_review"


def test_after_a_partner_is_gone_its_key_opens_no_other_partners_claims(
    world: World, others_insurer: SimulatorServer
) -> None:
    ours = world.accept(world.booking(policies=[{"price": 50}]), claim={}, refund=SKIP)
    theirs = of_other(world, others_insurer.control.add_booking(policies=[{"price": 50}]), claim={}, refund=SKIP)
    world.settle()
    world.settings.add_partner("THIRD", {"xcover_api_key": "k", "xcover_api_secret": "s"}, callers=None)
    world.settings._others.pop(OTHER)

    def told(row_id: UUID, *, own_address: bool) -> bool:
        claim = world.claim(row_id)
        closed = {"event": "claim.updated", "payload": {"id": claim.claim_id, "status": {"category": "Declined"}}}
        with world.database.transaction() as tx:
            webhook_events.record(
                tx, json.dumps(closed).encode(), source="xclaim", key_id=key_id(OTHERS_WEBHOOK_KEY), headers={},
                token=claim.webhook_token if own_address else None,
            )  # fmt: skip
        with suppress(PartnerUnknown):
            world.drain()
        return "claim_closed_unpaid" in world.claim(row_id).milestones

    assert not told(ours, own_address=False)
    assert not told(ours, own_address=True)
    assert not told(theirs, own_address=False)
