"""The simulator's webhooks: signed, resent, disturbed on purpose, and only to this machine."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulator.caller import Caller
from tests.simulator.receiver import Arrived, Receiver
from tests.simulator.server import SimulatorServer

KEY = "a key of this claim"
STORY = [
    {"after": 0.02, "category": "Under Assessment"},
    {"after": 0.02, "category": "Payment Complete"},
]


@pytest.fixture
def insurer() -> Iterator[SimulatorServer]:
    with SimulatorServer(webhook_spacing=0.02) as server:
        yield server


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


def test_a_claim_follows_the_default_story(insurer: SimulatorServer, caller: Caller) -> None:
    with Receiver() as receiver:
        booking, claim = _claim(insurer, caller, receiver)
        insurer.control.wait_until(lambda: len(receiver.arrived) == 3)

    told = [json.loads(arrived.body) for arrived in receiver.arrived]
    assert [(one["event"], one["payload"]["status"]["category"]) for one in told] == [
        ("claim.status-category-update", "Under Assessment"),
        ("claim.status-update", "Payment Processing"),
        ("claim.status-category-update", "Payment Complete"),
    ]
    assert told[1]["payload"]["status"]["name"] == "premium_refund"
    assert told[1]["payload"]["status"]["label"] == "Premium Refund"
    assert {one["payload"]["bookingReference"] for one in told} == {booking}
    fetched = caller.xclaim("GET", f"/partners/LLODT/claims/{claim}").json()["data"]
    assert fetched["status"]["category"] == "Payment Complete"


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_webhook_is_signed_over_its_raw_body(insurer: SimulatorServer, caller: Caller, encoding: str) -> None:
    insurer.control.settings(webhook_encoding=encoding)
    with Receiver() as receiver:
        _claim(insurer, caller, receiver, claim_story=STORY[:1])
        insurer.control.wait_until(lambda: receiver.arrived)

    arrived = receiver.arrived[0]
    assert b"https:\\/\\/" in arrived.body
    digest = hmac.new(KEY.encode(), arrived.body, hashlib.sha256).digest()
    expected = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    assert arrived.headers["XClaim-Signature"] == f"sha256={expected}"


def test_a_webhook_that_is_not_taken_comes_again(insurer: SimulatorServer, caller: Caller) -> None:
    with Receiver(503, 500) as receiver:
        booking, _ = _claim(insurer, caller, receiver, claim_story=STORY[:1])
        insurer.control.wait_until(lambda: len(insurer.control.effects("webhook", booking)) == 3)

    assert len({arrived.body for arrived in receiver.arrived}) == 1
    effects = insurer.control.effects("webhook", booking)
    assert [effect["status"] for effect in effects] == [503, 500, 200]
    assert [effect["attempt"] for effect in effects] == [1, 2, 3]


def test_a_receiver_that_never_takes_it_is_given_up(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(webhook_tries=2)
    with Receiver(*[503] * 10) as receiver:
        booking, _ = _claim(insurer, caller, receiver, claim_story=STORY[:2])
        insurer.control.wait_until(lambda: len(insurer.control.effects("webhook", booking)) == 4)
    assert len(receiver.arrived) == 4


def test_nothing_is_sent_to_another_machine(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_story=[])
    hooks = [{"url": "https://partner.example/hook", "key": KEY}]
    claim = caller.claim(booking.id, booking.quote_id, webhooks=hooks).json()["data"]["id"]
    insurer.control.send_event(claim, category="Settled")
    assert insurer.control.effects("webhook")[0]["outcome"] == "refused: not this machine"


def test_a_receiver_that_is_not_there_is_tried_again(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(webhook_tries=2)
    booking = insurer.control.add_booking(claim_story=[])
    hooks = [{"url": "http://127.0.0.1:9/hook", "key": KEY}]
    claim = caller.claim(booking.id, booking.quote_id, webhooks=hooks).json()["data"]["id"]
    insurer.control.send_event(claim, category="Settled")
    insurer.control.wait_until(lambda: len(insurer.control.effects("webhook")) == 2)
    assert {effect["outcome"] for effect in insurer.control.effects("webhook")} == {"ConnectError"}


@pytest.mark.parametrize(
    ("do", "categories"),
    [
        ("twice", ["Under Assessment", "Under Assessment", "Payment Complete"]),
        ("out_of_order", ["Payment Complete", "Under Assessment"]),
        ("dropped", ["Payment Complete"]),
        ("late", ["Payment Complete", "Under Assessment"]),
    ],
)
def test_webhooks_can_be_disturbed(insurer: SimulatorServer, caller: Caller, do: str, categories: list[str]) -> None:
    faults = [{"on": "webhook", "do": do, "seconds": 0.3}]
    with Receiver() as receiver:
        booking, _ = _claim(insurer, caller, receiver, claim_story=STORY, faults=faults)
        wanted = len(categories) + (do == "dropped")
        insurer.control.wait_until(lambda: len(insurer.control.effects("webhook", booking)) == wanted)
    assert [_category(arrived) for arrived in receiver.arrived] == categories


def test_a_webhook_may_come_before_the_answer(insurer: SimulatorServer, caller: Caller) -> None:
    faults = [{"on": "webhook", "do": "before_answer"}]
    with Receiver() as receiver:
        _, claim = _claim(insurer, caller, receiver, claim_story=STORY[:1], faults=faults)
        assert [_category(arrived) for arrived in receiver.arrived] == ["Under Assessment"]
    assert insurer.control.claims()[0]["id"] == claim


def test_a_webhook_may_be_forged(insurer: SimulatorServer, caller: Caller) -> None:
    faults = [{"on": "webhook", "do": "bad_signature"}]
    with Receiver() as receiver:
        _claim(insurer, caller, receiver, claim_story=STORY[:1], faults=faults)
        insurer.control.wait_until(lambda: receiver.arrived)
    good = hmac.new(KEY.encode(), receiver.arrived[0].body, hashlib.sha256).hexdigest()
    assert receiver.arrived[0].headers["XClaim-Signature"] != f"sha256={good}"


def test_a_test_can_tell_the_story_itself(insurer: SimulatorServer, caller: Caller) -> None:
    with Receiver() as receiver:
        booking, claim = _claim(insurer, caller, receiver, claim_story=[])
        insurer.control.send_event(claim, category="Under Review", send=False)
        assert receiver.arrived == []
        insurer.control.send_event(claim, event="claim.status-update", name="fraud_over")
        insurer.control.send_event(claim, event="claim.deleted")
    told = [json.loads(arrived.body) for arrived in receiver.arrived]
    assert [one["event"] for one in told] == ["claim.status-update", "claim.deleted"]
    assert told[0]["payload"]["status"]["name"] == "fraud_over"
    assert told[0]["payload"]["status"]["category"] == "Under Review"
    assert caller.xclaim("GET", f"/partners/LLODT/claims/{claim}").status_code == 404
    assert caller.xclaim("GET", f"/partners/LLODT/bookings/{booking}/claims").json()["data"] == []


def test_a_story_begins_when_a_pending_claim_is_processed(insurer: SimulatorServer, caller: Caller) -> None:
    with Receiver() as receiver:
        booking = insurer.control.add_booking(claim_story=STORY[:1], claim_pending_polls=1)
        hooks = [{"url": receiver.url, "key": KEY}]
        made = caller.claim(booking.id, booking.quote_id, webhooks=hooks).json()["data"]
        path = f"/v2/partners/LLODT/claims/{made['claimReference']}"
        assert [caller.xclaim("GET", path).status_code for _ in range(2)] == [202, 200]
        insurer.control.wait_until(lambda: receiver.arrived)


def test_a_bookings_webhook_is_signed_over_its_date(insurer: SimulatorServer) -> None:
    booking = insurer.control.add_booking(policies=[{"status": "CANCELLED"}])
    with Receiver(202) as receiver:
        insurer.control.notify(booking.id, url=receiver.url, key="k", secret="webhook_secret")
        insurer.control.wait_until(lambda: len(receiver.arrived) == 2)  # 202 is not 200
    arrived = receiver.arrived[0]
    text = f"date: {arrived.headers['Date']}".encode()
    digest = base64.b64encode(hmac.new(b"webhook_secret", text, hashlib.sha256).digest()).decode()
    escaped = digest.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    expected = f'Signature keyId="k",algorithm="hmac-sha256",signature="{escaped}"'
    assert arrived.headers["Authorization"] == expected
    assert json.loads(arrived.body)["payload"]["quotes"][0]["refund_value"] == 22.4


def _claim(insurer: SimulatorServer, caller: Caller, receiver: Receiver, **spec: Any) -> tuple[str, str]:
    """Open a claim that tells the receiver; returns the booking's and the claim's ids."""
    booking = insurer.control.add_booking(**spec)
    hooks = [{"url": receiver.url, "key": KEY}]
    answer = caller.claim(booking.id, booking.quote_id, webhooks=hooks)
    assert answer.status_code == 201
    return booking.id, answer.json()["data"]["id"]


def _category(arrived: Arrived) -> str:
    return str(json.loads(arrived.body)["payload"]["status"]["category"])
