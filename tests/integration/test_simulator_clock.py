"""The insurer's clock, moved far: what runs out does so by it, and everything else goes on."""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.simulator.caller import Caller
from tests.simulator.credentials import XCLAIM_API_KEY, XCLAIM_PASSWORD
from tests.simulator.receiver import Receiver
from tests.simulator.server import SimulatorServer

HOUR = 3600
DAY = 24 * HOUR
CLAIMS = "/partners/LLODT/claims"
WEBHOOK_KEY = "a key of this claim"


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


@pytest.mark.parametrize("days", [60, -60])
def test_signed_requests_are_let_in_however_far_the_clock_is(
    insurer: SimulatorServer, caller: Caller, days: int
) -> None:
    booking = insurer.control.add_booking()
    insurer.control.shift_clock(days * DAY)
    answer = caller.get(booking.id)
    assert answer.status_code == 200
    off = parsedate_to_datetime(answer.headers["date"]) - (datetime.now(UTC) + timedelta(days=days))
    assert abs(off) < timedelta(seconds=5)


@pytest.mark.parametrize(("seconds", "status"), [(DAY - 60, 200), (DAY + 1, 422), (30 * DAY, 422)])
def test_a_preview_can_be_confirmed_until_its_time_is_up(
    insurer: SimulatorServer, caller: Caller, seconds: int, status: int
) -> None:
    booking = insurer.control.add_booking(policies=[{"policy_end": "2999-01-01T00:00:00Z"}])
    offer = caller.preview(booking.id).json()["cancellation_id"]
    insurer.control.shift_clock(seconds)
    assert caller.confirm(booking.id, offer).status_code == status
    assert insurer.control.summary(booking.id)["confirms"] == int(status == 200)


def test_a_preview_made_after_the_move_can_be_confirmed(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    old = caller.preview(booking.id).json()["cancellation_id"]
    insurer.control.shift_clock(DAY + 1)
    new = caller.preview(booking.id).json()["cancellation_id"]
    assert [caller.confirm(booking.id, offer).status_code for offer in (old, new)] == [422, 200]


@pytest.mark.parametrize(("hours", "status", "previews"), [(47, 409, 1), (48.01, 200, 2)])
def test_a_key_is_remembered_for_48_hours_of_its_clock(
    insurer: SimulatorServer, caller: Caller, hours: float, status: int, previews: int
) -> None:
    booking = insurer.control.add_booking()
    caller.preview(booking.id, "k-1")
    insurer.control.shift_clock(hours * HOUR)
    assert caller.preview(booking.id, "k-1").status_code == status
    assert insurer.control.summary(booking.id)["previews"] == previews


def test_a_confirm_whose_key_is_forgotten_is_refused_and_not_done_twice(
    insurer: SimulatorServer, caller: Caller
) -> None:
    booking = insurer.control.add_booking()
    offer = caller.preview(booking.id).json()["cancellation_id"]
    caller.confirm(booking.id, offer, "k-1")
    insurer.control.shift_clock(47 * HOUR)
    assert caller.confirm(booking.id, offer, "k-1").status_code == 409
    insurer.control.shift_clock(HOUR + 1)
    assert caller.confirm(booking.id, offer, "k-1").status_code == 422
    assert insurer.control.summary(booking.id)["confirms"] == 1


def test_a_claims_key_is_forgotten_too(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(xclaim_keys="honoured", duplicates="accept")
    booking = insurer.control.add_booking(claim_story=[])
    statuses = [caller.claim(booking.id, booking.quote_id, key="k-1").status_code]
    for hours in (47, 1.01):
        insurer.control.shift_clock(hours * HOUR)
        statuses.append(caller.claim(booking.id, booking.quote_id, key="k-1").status_code)
    assert statuses == [201, 409, 201]
    assert insurer.control.summary(booking.id)["claims"] == 2


def test_a_token_expires_and_is_exchanged_anew_after_60_days(insurer: SimulatorServer, caller: Caller) -> None:
    old = _exchange(caller)
    assert caller.xclaim("GET", CLAIMS, headers=old).status_code == 200
    insurer.control.shift_clock(60 * DAY)
    assert caller.xclaim("GET", CLAIMS, headers=old).status_code == 401
    new = _exchange(caller)
    assert caller.xclaim("GET", CLAIMS, headers=new).status_code == 200
    assert caller.xclaim("GET", CLAIMS, headers=old).status_code == 401


def test_webhooks_still_come_after_60_days(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_story=[{"after": 60, "category": "Never"}])
    with Receiver() as receiver:
        hooks = [{"url": receiver.url, "key": WEBHOOK_KEY}]
        claim = caller.claim(booking.id, booking.quote_id, webhooks=hooks).json()["data"]["id"]
        insurer.control.shift_clock(60 * DAY)
        insurer.control.send_event(claim, category="Payment Complete")
    (arrived,) = receiver.arrived
    signed = hmac.new(WEBHOOK_KEY.encode(), arrived.body, hashlib.sha256).hexdigest()
    assert arrived.headers["XClaim-Signature"] == f"sha256={signed}"
    assert json.loads(arrived.body)["payload"]["status"]["category"] == "Payment Complete"
    told = datetime.fromisoformat(insurer.control.effects("webhook", booking.id)[0]["at"])
    assert told > datetime.now(UTC) + timedelta(days=59)


def test_a_story_goes_on_by_true_time_while_the_clock_moves(insurer: SimulatorServer, caller: Caller) -> None:
    story = [{"after": 0.1, "category": "Under Assessment"}, {"after": 0.1, "category": "Payment Complete"}]
    booking = insurer.control.add_booking(claim_story=story)
    with Receiver(503) as receiver:
        caller.claim(booking.id, booking.quote_id, webhooks=[{"url": receiver.url, "key": WEBHOOK_KEY}])
        insurer.control.shift_clock(60 * DAY)
        insurer.control.wait_until(lambda: len(receiver.arrived) == 3)  # the one not taken came again
    outcomes = Counter(effect["outcome"] for effect in insurer.control.effects("webhook", booking.id))
    assert outcomes == {"taken": 2, "not taken": 1}


def test_a_policy_bought_before_is_over_after_60_days(insurer: SimulatorServer, caller: Caller) -> None:
    before = insurer.control.add_booking()
    insurer.control.shift_clock(60 * DAY)
    after = insurer.control.add_booking()
    assert caller.eligibility(before.id, before.quote_id).json()["failedChecks"] == ["valid_policy_coverage_period"]
    assert caller.eligibility(after.id, after.quote_id).json()["isCustomerEligible"] is True


def _exchange(caller: Caller) -> dict[str, str]:
    """Buy a token; returns the header that shows it."""
    path = "/xclaim/auth/jwt/token/programmatic-access"
    answer = caller.http.get(path, auth=(XCLAIM_API_KEY, XCLAIM_PASSWORD))
    return {"Authorization": f"Bearer {answer.json()['data']['jwt']}"}
