"""The partner who is called for refunds: reads carefully, pays once, and says the same again."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.simulator.caller import REFUND, Caller
from tests.simulator.server import SimulatorServer


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


@pytest.fixture
def slow_payment(insurer: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let paying take a moment, in which a repeat would get in if anything let it."""
    record = insurer.state.record

    def slowly(*given: Any, **facts: Any) -> dict[str, Any]:
        time.sleep(0.02)
        return record(*given, **facts)

    monkeypatch.setattr(insurer.state, "record", slowly)


def test_a_refund_is_paid_and_stands_in_the_ledger(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()

    answer = caller.refund(booking.id, "k-1", amount="11.20", currency="USD")

    assert answer.status_code == 200
    (effect,) = insurer.control.effects(booking=booking.id)
    del effect["at"]
    assert effect == {
        "kind": "refund",
        "booking": booking.id,
        "amount": "11.20",
        "currency": "USD",
        "key": "k-1",
        "reference": answer.json()["reference"],
        "cancellation": REFUND["id"],
    }
    assert effect["reference"].startswith("re_")
    assert insurer.control.summary(booking.id)["refunds"] == 1


def test_the_request_log_says_who_was_asked_for_what(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    caller.refund(booking.id, "k-1")
    (entry,) = insurer.control.requests(operation="refund", booking=booking.id, method="POST")
    assert (entry["path"], entry["key"], entry["signature"]) == ("/partner/refunds", "k-1", "ok")
    assert (entry["status"], entry["fault"]) == (200, None)
    assert json.loads(entry["body"])["amount"] == "22.40"


@pytest.mark.parametrize(
    ("refund_answer", "status", "kind"),
    [("paid", 200, "refund"), ("created", 201, "refund"), ("accepted", 202, "refund_promised")],
)
def test_it_answers_what_the_setting_says(
    insurer: SimulatorServer, caller: Caller, refund_answer: str, status: int, kind: str
) -> None:
    insurer.control.settings(refund_answer=refund_answer)
    booking = insurer.control.add_booking()
    first, second = (caller.refund(booking.id) for _ in range(2))
    assert (first.status_code, second.status_code) == (status, status)
    assert first.json() == second.json()
    assert [effect["kind"] for effect in insurer.control.effects()] == [kind]
    assert insurer.control.summary(booking.id)["refunds"] == int(kind == "refund")


def test_a_booking_may_be_answered_otherwise(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(refund_answer="accepted")
    assert caller.refund(booking.id, "k-1").status_code == 202
    insurer.control.patch_booking(booking.id, refund_answer="created")
    assert [caller.refund(booking.id, key).status_code for key in ("k-1", "k-2")] == [202, 201]
    other = insurer.control.add_booking()
    assert caller.refund(other.id, "k-3").status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "refund.reported"},
        {"id": "not a uuid"},
        {"booking_id": ""},
        {"booking_id": 7},
        {"amount": 22.4},
        {"amount": "-1.00"},
        {"amount": "0.00"},
        {"amount": "1e3"},
        {"amount": "NaN"},
        {"currency": "eur"},
        {"idempotency_key": None},
        {"metadata": []},
    ],
)
def test_a_field_that_is_wrong_is_422_and_named(
    insurer: SimulatorServer, caller: Caller, changes: dict[str, Any]
) -> None:
    booking = insurer.control.add_booking()
    answer = caller.refund(booking.id, **changes) if "booking_id" not in changes else _send(caller, changes)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == list(changes)
    assert insurer.control.effects() == []
    assert caller.refund(booking.id).status_code == 200  # a refusal does not use up the key


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"{", 400), (b"[]", 422), (b"null", 422), (b"\xff", 401)])
def test_what_is_not_a_request_is_refused(insurer: SimulatorServer, caller: Caller, body: bytes, status: int) -> None:
    assert caller.send_refund(body).status_code == status
    assert insurer.control.effects() == []


def test_a_key_and_a_content_type_are_required(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    assert caller.refund(booking.id, None).status_code == 400
    body = json.dumps({**REFUND, "booking_id": booking.id}).encode()
    assert caller.send_refund(body, content_type="text/plain").status_code == 415
    assert insurer.control.effects() == []


def test_a_field_nobody_knows_yet_is_left_alone(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    assert caller.refund(booking.id, reason="rain").status_code == 200


def test_a_booking_that_is_not_there_is_404_until_it_is(insurer: SimulatorServer, caller: Caller) -> None:
    assert caller.refund("AAAAA-BBBBB-INS").status_code == 404
    insurer.control.add_booking(id="AAAAA-BBBBB-INS")
    assert caller.refund("AAAAA-BBBBB-INS").status_code == 200


def test_a_key_with_another_body_is_409(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    first = caller.refund(booking.id)
    assert caller.refund(booking.id, amount="22.41").status_code == 409
    assert caller.refund(booking.id, metadata={}).status_code == 409
    assert caller.refund(booking.id).json() == first.json()
    assert insurer.control.summary(booking.id)["refunds"] == 1


def test_the_same_body_in_another_order_is_a_repeat(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    first = caller.refund(booking.id)
    body = {"booking_id": booking.id, **dict(reversed(REFUND.items()))}
    second = caller.send_refund(json.dumps(body, indent=2).encode())
    assert (second.status_code, second.json()) == (200, first.json())


def test_another_key_pays_again(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    references = {caller.refund(booking.id, key).json()["reference"] for key in ("k-1", "k-2")}
    assert {effect["reference"] for effect in insurer.control.effects("refund")} == references
    assert insurer.control.summary(booking.id)["refunds"] == 2


@pytest.mark.parametrize("key_mode", ["ignored", "storing_errors"])
def test_it_honours_keys_whatever_the_insurer_does(insurer: SimulatorServer, caller: Caller, key_mode: str) -> None:
    insurer.control.settings(key_mode=key_mode)
    booking = insurer.control.add_booking(faults=[{"on": "refund", "do": "error_before"}])
    answers = [caller.refund(booking.id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 200, 200]
    assert answers[1].json() == answers[2].json()
    assert insurer.control.summary(booking.id)["refunds"] == 1


def test_an_outage_of_the_insurers_is_not_the_partners(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(outage=503)
    assert caller.get(booking.id).status_code == 503
    assert caller.refund(booking.id).status_code == 200


@pytest.mark.parametrize("slow", [[], [{"on": "refund", "do": "slow", "seconds": 0.1, "times": 16}]])
@pytest.mark.usefixtures("slow_payment")
def test_sixteen_repeats_at_once_pay_once(insurer: SimulatorServer, caller: Caller, slow: list[Any]) -> None:
    booking = insurer.control.add_booking(faults=slow)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: caller.refund(booking.id), range(16)))
    assert Counter(answer.status_code for answer in answers) == {200: 16}
    assert len(insurer.control.effects("refund")) == 1
    assert {answer.json()["reference"] for answer in answers} == {insurer.control.effects()[0]["reference"]}


@pytest.mark.usefixtures("slow_payment")
def test_two_bodies_that_race_for_a_key_are_paid_one(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: caller.refund(booking.id, amount=f"{n % 2 + 1}.00"), range(16)))
    assert Counter(answer.status_code for answer in answers) == {200: 8, 409: 8}
    assert len(insurer.control.effects("refund")) == 1


@pytest.mark.parametrize(
    ("fault", "status", "is_paid"),
    [
        ({"do": "throttle", "retry_after": 2}, 429, False),
        ({"do": "locked"}, 423, False),
        ({"do": "redirect"}, 301, False),
        ({"do": "not_json"}, 200, False),
        ({"do": "refuse"}, 422, False),
        ({"do": "refuse", "status": 403}, 403, False),
        ({"do": "error_before", "status": 500}, 500, False),
        ({"do": "slow", "seconds": 0.05}, 200, True),
        ({"do": "act_then_error"}, 502, True),
        ({"do": "garbled"}, 200, True),
        ({"do": "empty"}, 200, True),
    ],
)
def test_a_fault_hits_once_and_pays_or_not(
    insurer: SimulatorServer, caller: Caller, fault: dict[str, Any], status: int, is_paid: bool
) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "refund", **fault}])
    assert caller.refund(booking.id).status_code == status
    assert insurer.control.summary(booking.id)["refunds"] == int(is_paid)
    assert [one["fault"] for one in insurer.control.requests(operation="refund")] == [fault["do"]]

    repeat = caller.refund(booking.id)

    assert repeat.status_code == 200
    (effect,) = insurer.control.effects("refund", booking.id)
    assert repeat.json() == {"reference": effect["reference"]}


@pytest.mark.parametrize(("do", "paid"), [("act_then_drop", 1), ("drop_before", 0)])
def test_an_answer_may_be_lost_and_is_got_back_with_the_key(
    insurer: SimulatorServer, caller: Caller, do: str, paid: int
) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "refund", "do": do}])
    with pytest.raises(httpx.TransportError):
        caller.refund(booking.id)
    assert len(insurer.control.effects("refund")) == paid
    assert caller.refund(booking.id).status_code == 200
    assert len(insurer.control.effects("refund")) == 1


def test_a_reset_forgets_the_keys(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.add_booking(id="AAAAA-BBBBB-INS")
    before = caller.refund("AAAAA-BBBBB-INS").json()
    insurer.control.reset()
    insurer.control.add_booking(id="AAAAA-BBBBB-INS")
    assert caller.refund("AAAAA-BBBBB-INS").json() != before


def _send(caller: Caller, changes: dict[str, Any]) -> httpx.Response:
    return caller.send_refund(json.dumps({**REFUND, **changes}).encode())
