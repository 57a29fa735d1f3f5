"""Whom the partner believes: whoever signed these very bytes with the agreed secret, just now by true time."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tests.simulator import REFUND_SECRET, Credentials
from tests.simulator.caller import REFUND, Caller, refund_headers
from tests.simulator.server import SimulatorServer

OTHER_SECRET = f"whsec_{base64.b64encode(b'another secret of thirty-two bytes').decode()}"
SIXTY_DAYS = 60 * 24 * 3600


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook_signature": ""},
        {"webhook_signature": "v1"},
        {"webhook_signature": "v1,not base64"},
        {"webhook_signature": "v1,a,b"},
        {"webhook_signature": "v2,AAAA"},
        {"webhook_id": "msg_2"},
        {"webhook_id": ""},
        {"webhook_timestamp": "yesterday"},
        {"webhook_timestamp": "nan"},
        {"webhook_timestamp": ""},
    ],
)
def test_a_signature_that_does_not_fit_is_401(
    insurer: SimulatorServer, caller: Caller, headers: dict[str, str]
) -> None:
    booking = insurer.control.add_booking()
    body = _body(booking.id)
    assert caller.send_refund(body, **headers).status_code == 401
    assert insurer.control.requests()[0]["signature"] != "ok"
    assert insurer.control.effects() == []


def test_a_request_without_a_signature_is_401(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    body = {**REFUND, "booking_id": booking.id}
    answer = caller.http.post(insurer.refund_url, json=body, headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()) == (401, {"error": "Missing required headers"})
    assert insurer.control.effects() == []


@pytest.mark.parametrize("age", [301, -301])
def test_a_signature_too_old_or_from_the_future_is_401(insurer: SimulatorServer, caller: Caller, age: float) -> None:
    booking = insurer.control.add_booking()
    body = _body(booking.id)
    assert caller.send_refund(body, **refund_headers(body, age=age)).status_code == 401
    assert caller.send_refund(body, **refund_headers(body, age=age / 2)).status_code == 200


def test_the_signature_covers_every_byte_of_the_body(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    body = _body(booking.id)
    signed = refund_headers(body)
    assert caller.send_refund(body + b" ", **signed).status_code == 401
    assert caller.send_refund(body.replace(b"22.40", b"92.40"), **signed).status_code == 401
    assert caller.send_refund(body, **refund_headers(body, secret=OTHER_SECRET)).status_code == 401
    assert insurer.control.effects() == []
    assert caller.send_refund(body, **signed).status_code == 200


def test_one_of_several_signatures_is_enough(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    body = _body(booking.id)
    new, old = refund_headers(body), refund_headers(body, secret=OTHER_SECRET)
    both = f"{old['webhook-signature']} {new['webhook-signature']}"
    assert caller.send_refund(body, **{**new, "webhook_signature": both}).status_code == 200


def test_the_librarys_own_signature_is_taken(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    body = json.dumps({**REFUND, "booking_id": booking.id})
    now = datetime.now(UTC)
    signed = Webhook(REFUND_SECRET).sign("msg_7", now, body)
    headers = {"webhook_id": "msg_7", "webhook_timestamp": str(int(now.timestamp())), "webhook_signature": signed}
    assert caller.send_refund(body.encode(), **headers).status_code == 200


def test_another_secret_may_be_agreed_on() -> None:
    with SimulatorServer(credentials=Credentials(refund_secret=OTHER_SECRET)) as insurer, Caller(insurer) as caller:
        booking = insurer.control.add_booking()
        body = _body(booking.id)
        assert caller.send_refund(body).status_code == 401
        assert caller.send_refund(body, **refund_headers(body, secret=OTHER_SECRET)).status_code == 200


def test_signatures_are_dated_by_true_time_however_far_the_clock_is_moved(
    insurer: SimulatorServer, caller: Caller
) -> None:
    booking = insurer.control.add_booking()
    first = caller.refund(booking.id)
    insurer.control.shift_clock(SIXTY_DAYS)
    second = caller.refund(booking.id)
    assert (second.status_code, second.json()) == (200, first.json())
    assert insurer.control.summary(booking.id)["refunds"] == 1


def _body(booking_id: str) -> bytes:
    return json.dumps({**REFUND, "booking_id": booking_id}).encode()
