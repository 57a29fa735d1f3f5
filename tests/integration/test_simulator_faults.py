"""The faults of the simulator: each hits when asked to, once, and the ledger tells whether it acted."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.simulator.caller import Caller
from tests.simulator.server import SimulatorServer


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


@pytest.mark.parametrize(
    ("fault", "status", "acted"),
    [
        ({"do": "refuse"}, 422, False),
        ({"do": "refuse", "status": 403, "body": {"type": "auth_error"}}, 403, False),
        ({"do": "throttle", "retry_after": 2}, 429, False),
        ({"do": "locked"}, 423, False),
        ({"do": "error_before", "status": 500}, 500, False),
        ({"do": "redirect"}, 301, False),
        ({"do": "not_json"}, 200, False),
        ({"do": "slow", "seconds": 0.05}, 200, True),
        ({"do": "act_then_error"}, 502, True),
        ({"do": "garbled"}, 200, True),
    ],
)
def test_a_fault_hits_once_and_acts_or_not(
    insurer: SimulatorServer, caller: Caller, fault: dict[str, Any], status: int, acted: bool
) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "confirm", **fault}])
    offer = caller.preview(booking.id).json()["cancellation_id"]

    answer = caller.confirm(booking.id, offer)

    assert answer.status_code == status
    assert insurer.control.summary(booking.id)["confirms"] == int(acted)
    assert insurer.control.requests(booking=booking.id)[-1]["fault"] == fault["do"]
    assert caller.confirm(booking.id, offer).status_code == (422 if acted else 200)
    if fault["do"] in {"not_json", "garbled"}:
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            answer.json()


@pytest.mark.parametrize(("do", "confirms"), [("act_then_drop", 1), ("drop_before", 0)])
def test_an_answer_can_be_lost_on_the_way(insurer: SimulatorServer, caller: Caller, do: str, confirms: int) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "confirm", "do": do}])
    offer = caller.preview(booking.id).json()["cancellation_id"]
    with pytest.raises(httpx.TransportError):
        caller.confirm(booking.id, offer)
    assert insurer.control.summary(booking.id)["confirms"] == confirms
    request = insurer.control.requests(operation="confirm")[0]
    assert (request["status"], request["answer_lost"]) == (None, True)


def test_a_preview_can_come_without_its_id_or_with_errors(insurer: SimulatorServer, caller: Caller) -> None:
    faults = [
        {"on": "preview", "do": "without_cancellation_id"},
        {"on": "preview", "do": "with_errors"},
    ]
    booking = insurer.control.add_booking(faults=faults)
    first, second, third = (caller.preview(booking.id).json() for _ in range(3))
    assert first["cancellation_id"] is None
    assert "errors" in second
    assert third["cancellation_id"]
    assert "errors" not in third


def test_a_fault_nobody_knows_is_refused_by_name(insurer: SimulatorServer) -> None:
    with pytest.raises(ValueError, match="no fault 'explode'"):
        insurer.control.add_booking(faults=[{"on": "confirm", "do": "explode"}])


def test_an_outage_answers_everything_and_does_nothing(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(outage=503)
    assert caller.cancel(booking.id, {}).status_code == 503
    assert caller.claim(booking.id, booking.quote_id).status_code == 503
    insurer.control.settings(outage=None)
    assert insurer.control.effects() == []
    assert caller.get(booking.id).status_code == 200


def test_a_fault_may_hit_more_than_once(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "get_booking", "do": "throttle", "times": 2}])
    assert [caller.get(booking.id).status_code for _ in range(3)] == [429, 429, 200]


def test_a_failure_hits_a_replay_too(insurer: SimulatorServer, caller: Caller) -> None:
    faults = [{"on": "cancel", "do": "act_then_drop"}, {"on": "cancel", "do": "error_before"}]
    booking = insurer.control.add_booking(faults=faults)
    with pytest.raises(httpx.TransportError):
        caller.cancel(booking.id, {}, "k-1")
    assert [caller.cancel(booking.id, {}, "k-1").status_code for _ in range(2)] == [503, 409]
    assert insurer.control.summary(booking.id)["cancels"] == 1
