"""Faults by chance: the same seed and the same requests of a booking meet the same ones, whatever else goes on."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.simulator.caller import Caller
from tests.simulator.receiver import Receiver
from tests.simulator.server import SimulatorServer

IDS = [f"AAAA{n}-BBBB{n}-INS" for n in range(6)]
ALWAYS = {"seed": 1, "rate": 1}
SOMETIMES = {"seed": 7, "rate": 0.5, "limit": 100}
WEBHOOK_KEY = "a key of this claim"


@pytest.fixture
def insurer() -> Iterator[SimulatorServer]:
    with SimulatorServer(webhook_spacing=0.02) as server:
        yield server


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


def test_without_them_nothing_goes_wrong(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    assert insurer.control.settings()["random_faults"] is None
    assert [caller.get(booking.id).status_code for _ in range(10)] == [200] * 10
    assert _faults(insurer, booking.id) == [None] * 10


def test_the_same_seed_meets_the_same_faults(insurer: SimulatorServer, caller: Caller) -> None:
    first = _run(insurer, caller, SOMETIMES)
    assert _run(insurer, caller, SOMETIMES) == first
    assert _run(insurer, caller, {**SOMETIMES, "seed": 8}) != first
    assert len({tuple(faults) for faults in first.values()}) == len(IDS)  # each booking has its own


def test_bookings_in_other_threads_change_nothing(insurer: SimulatorServer, caller: Caller) -> None:
    one_by_one = _run(insurer, caller, SOMETIMES)
    _start(insurer, SOMETIMES)
    with ThreadPoolExecutor(len(IDS)) as pool:
        list(pool.map(lambda booking_id: _journey(caller, booking_id), IDS))
    assert {booking_id: _faults(insurer, booking_id) for booking_id in IDS} == one_by_one


def test_operations_draw_apart(insurer: SimulatorServer, caller: Caller) -> None:
    _start(insurer, {**SOMETIMES, "on": ["get_booking"]})
    _journey(caller, IDS[0])
    alone = _faults(insurer, IDS[0], "get_booking")
    _start(insurer, SOMETIMES)
    for _ in range(8):
        _quietly(caller.eligibility, IDS[0], "another")
        _quietly(caller.get, IDS[0])
    assert _faults(insurer, IDS[0], "get_booking") == alone
    assert _faults(insurer, IDS[0], "eligibility") != alone


def test_the_rate_is_about_kept(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(id=IDS[0])
    insurer.control.settings(random_faults={"seed": 3, "rate": 0.3, "limit": 1000, "do": ["error_before"]})
    statuses = Counter(caller.get(booking.id).status_code for _ in range(300))
    assert statuses.keys() == {200, 503}
    assert 60 < statuses[503] < 120


def test_a_rate_of_nothing_is_none(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(random_faults={"seed": 3, "rate": 0})
    assert [caller.get(booking.id).status_code for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(("limit", "hit"), [({}, 3), ({"limit": 1}, 1), ({"limit": 0}, 0)])
def test_no_operation_of_a_booking_is_hit_for_ever(
    insurer: SimulatorServer, caller: Caller, limit: dict[str, int], hit: int
) -> None:
    _start(insurer, {**ALWAYS, "do": ["error_before"], **limit})
    for booking_id in IDS[:2]:
        assert [caller.get(booking_id).status_code for _ in range(5)] == [503] * hit + [200] * (5 - hit)
        assert [caller.refund(booking_id, booking_id).status_code for _ in range(4)] == [503] * hit + [200] * (4 - hit)


def test_a_bookings_own_faults_come_first(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(random_faults={**ALWAYS, "do": ["error_before"], "limit": 1})
    booking = insurer.control.add_booking(faults=[{"on": "get_booking", "do": "throttle", "times": 2}])
    assert [caller.get(booking.id).status_code for _ in range(4)] == [429, 429, 503, 200]
    assert _faults(insurer, booking.id) == ["throttle", "throttle", "error_before", None]


def test_they_can_be_thrown_on_and_off_while_running(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    assert caller.get(booking.id).status_code == 200
    insurer.control.settings(random_faults={**ALWAYS, "do": ["locked"]})
    assert caller.get(booking.id).status_code == 423
    insurer.control.settings(random_faults=None)
    assert caller.get(booking.id).status_code == 200
    insurer.control.settings(random_faults={**ALWAYS, "do": ["locked"]})
    insurer.control.reset()
    assert insurer.control.settings()["random_faults"] is None


def test_only_what_is_named_is_hit(insurer: SimulatorServer, caller: Caller) -> None:
    _start(insurer, {**ALWAYS, "on": ["preview"], "do": ["garbled", "twice"]})
    assert caller.get(IDS[0]).status_code == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        caller.preview(IDS[0]).json()
    assert insurer.control.summary(IDS[0])["previews"] == 1
    assert _faults(insurer, IDS[0]) == [None, "garbled"]


def test_what_fits_no_operation_hits_none(insurer: SimulatorServer, caller: Caller) -> None:
    _start(insurer, {**ALWAYS, "do": ["twice"]})
    assert caller.get(IDS[0]).status_code == 200


@pytest.mark.parametrize("operation", ["get_booking", "refund"])
def test_by_default_it_is_what_a_correct_service_survives(
    insurer: SimulatorServer, caller: Caller, operation: str
) -> None:
    _start(insurer, {**ALWAYS, "limit": 200})
    for _ in range(60):
        _quietly(caller.get if operation == "get_booking" else caller.refund, IDS[0])
    survived = {"drop_before", "error_before", "slow", "act_then_drop", "act_then_error", "garbled"}
    postponed = {"throttle", "locked"}  # a partner's 4xx is no for good
    assert set(_faults(insurer, IDS[0], operation)) == survived | (postponed if operation == "get_booking" else set())


def test_a_partner_may_be_made_to_say_no_by_chance(insurer: SimulatorServer, caller: Caller) -> None:
    _start(insurer, {**ALWAYS, "on": ["refund"], "do": ["throttle"], "limit": 1})
    assert [caller.refund(IDS[0]).status_code for _ in range(2)] == [429, 200]


def test_repeats_with_a_key_end_well_under_them(insurer: SimulatorServer, caller: Caller) -> None:
    _start(insurer, ALWAYS)
    for booking_id in IDS:
        for _ in range(4):
            last = _quietly(caller.refund, booking_id, booking_id)
        assert last is not None
        (effect,) = insurer.control.effects("refund", booking_id)
        assert last.json() == {"reference": effect["reference"]}


@pytest.mark.parametrize(
    ("do", "arrived"), [("twice", ["A", "A", "B", "B"]), ("dropped", []), ("out_of_order", ["B", "A"])]
)
def test_webhooks_are_hit_too(insurer: SimulatorServer, caller: Caller, do: str, arrived: list[str]) -> None:
    insurer.control.settings(random_faults={**ALWAYS, "on": ["webhook"], "do": [do]})
    with Receiver() as receiver:
        _tell(insurer, caller, receiver, IDS[0], 2)
        if arrived:
            insurer.control.wait_until(lambda: len(receiver.arrived) == len(arrived))
    told = [json.loads(one.body)["payload"]["status"]["category"] for one in receiver.arrived]
    assert told == arrived


def test_a_webhook_that_is_late_by_chance_is_overtaken(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(random_faults={**ALWAYS, "on": ["webhook"], "do": ["late"], "limit": 1})
    with Receiver() as receiver:
        _tell(insurer, caller, receiver, IDS[0], 2)
        insurer.control.wait_until(lambda: len(receiver.arrived) == 2)
    told = [json.loads(one.body)["payload"]["status"]["category"] for one in receiver.arrived]
    assert told == ["B", "A"]


def test_the_same_seed_disturbs_the_same_webhooks(insurer: SimulatorServer, caller: Caller) -> None:
    found = []
    for _ in range(2):
        insurer.control.reset()
        insurer.control.settings(
            random_faults={"seed": 5, "rate": 0.5, "on": ["webhook"], "do": ["dropped", "twice"], "limit": 9}
        )
        with Receiver() as receiver:
            _tell(insurer, caller, receiver, IDS[0], 8)
        found.append([(effect["name"], effect["outcome"]) for effect in insurer.control.effects("webhook")])
    assert found[0] == found[1]
    assert {outcome for _, outcome in found[0]} == {"taken", "dropped"}
    assert len(set(found[0])) < len(found[0])  # some came twice


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"rate": 2}, "less than or equal to 1"),
        ({"rate": -0.1}, "greater than or equal to 0"),
        ({"do": ["explode"]}, "no fault 'explode'"),
        ({"do": ["before_answer"]}, "no fault 'before_answer'"),
        ({"on": ["token"]}, "get_booking"),
        ({"limit": -1}, "greater than or equal to 0"),
        ({"chance": 1}, "Extra inputs"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(insurer: SimulatorServer, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        insurer.control.settings(random_faults={**ALWAYS, **wrong})
    assert insurer.control.settings()["random_faults"] is None


def _start(insurer: SimulatorServer, wanted: dict[str, Any]) -> None:
    insurer.control.reset()
    for booking_id in IDS:
        insurer.control.add_booking(id=booking_id, claim_story=[])
    insurer.control.settings(random_faults=wanted)


def _run(insurer: SimulatorServer, caller: Caller, wanted: dict[str, Any]) -> dict[str, list[str | None]]:
    _start(insurer, wanted)
    for booking_id in IDS:
        _journey(caller, booking_id)
    return {booking_id: _faults(insurer, booking_id) for booking_id in IDS}


def _journey(caller: Caller, booking_id: str) -> None:
    for _ in range(8):
        _quietly(caller.get, booking_id)
    for _ in range(4):
        _quietly(caller.preview, booking_id)
        _quietly(caller.refund, booking_id, booking_id)


def _quietly(call: Any, *given: Any) -> httpx.Response | None:
    try:
        answer: httpx.Response = call(*given)
    except httpx.TransportError:
        return None
    return answer


def _faults(insurer: SimulatorServer, booking_id: str, operation: str | None = None) -> list[str | None]:
    return [entry["fault"] for entry in insurer.control.requests(booking=booking_id, operation=operation)]


def _tell(insurer: SimulatorServer, caller: Caller, receiver: Receiver, booking_id: str, times: int) -> None:
    """Claim, and let so many things happen to the claim."""
    booking = insurer.control.add_booking(id=booking_id, claim_story=[])
    hooks = [{"url": receiver.url, "key": WEBHOOK_KEY}]
    claim = caller.claim(booking.id, booking.quote_id, webhooks=hooks).json()["data"]["id"]
    for number in range(times):
        insurer.control.send_event(claim, category=chr(ord("A") + number), name=str(number))


def test_a_slow_answer_takes_as_long_as_it_is_told_to(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(random_faults={**ALWAYS, "do": ["slow"], "slow": 30})
    with ThreadPoolExecutor(1) as pool, Caller(insurer) as another:
        slow = pool.submit(another.get, booking.id)
        insurer.control.wait_until(lambda: _faults(insurer, booking.id) == ["slow"])
        assert not slow.done()
        insurer.state.stopping.set()  # ends the waiting
        assert slow.result().status_code == 200


def test_what_chance_did_is_counted(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(random_faults={**ALWAYS, "do": ["throttle"], "limit": 2})
    assert [caller.get(booking.id).status_code for _ in range(3)] == [429, 429, 200]
    assert insurer.control.random_faults() == [{"on": "get_booking", "do": "throttle", "times": 2}]
