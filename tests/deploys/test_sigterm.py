"""SIGTERM to every process at once, as a platform sends it: nothing is lost, no step is left half reported."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.deploys.situations import CALL, CANCEL, CLAIM
from tests.deploys.stack import Stack, everyone, left_over, running_stack, terminate
from tests.processes import Processes
from tests.simulator import SimBooking

pytestmark = pytest.mark.processes

SLOW = 2.5
"""Seconds an answer takes: long enough to be on its way when SIGTERM comes, short enough to come in time."""
IN_FLIGHT = {"preview": CANCEL, "confirm": CANCEL, "refund": {"refund": CALL}, "create_claim": CLAIM}
IN_FLIGHT_DONE = [{"confirms": 1}, {"confirms": 1}, {"confirms": 1, "refunds": 1}, {"claims": 1}]
HALF_REPORTED = """
    SELECT 'cancellation', id, status, next_step FROM cancellations WHERE lease_until IS NOT NULL OR abandoned > 0
    UNION ALL SELECT 'call', cancellation_id, outcome, step FROM calls WHERE outcome IN ('sent', 'unknown')
    UNION ALL SELECT 'webhook', id, verdict, '' FROM webhook_deliveries WHERE lease_until IS NOT NULL
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path) as made:
        yield made


class Callers:
    """Partners that ask for one cancellation after the other, and go on until the door is closed."""

    def __init__(self, stack: Stack, bookings: list[SimBooking]) -> None:
        self.asked: dict[str, str] = {}
        self.accepted: dict[str, str] = {}
        self._stack = stack
        self._bookings = bookings

    def ask(self) -> None:
        """Ask for one after the other; stop at the first that finds nobody."""
        while self._bookings:
            booking, key = self._bookings.pop(), str(uuid4())
            self.asked[key] = booking.id
            try:
                answer = self._stack.post(key, booking_id=booking.id, **CANCEL)
            except httpx.TransportError:
                return
            assert answer.status_code == 202, answer.text
            self.accepted[key] = answer.json()["id"]

    def ask_again(self) -> None:
        """Send once more whatever was not answered, under the key it had."""
        for key in self.asked.keys() - self.accepted.keys():
            answer = self._stack.post(key, booking_id=self.asked[key], **CANCEL)
            assert answer.status_code in {200, 202}, answer.text
            self.accepted[key] = answer.json()["id"]


def test_nothing_is_lost_when_all_processes_are_stopped_under_load(stack: Stack) -> None:
    control = stack.simulator.control
    claimed = control.add_booking(claim_story=[])
    slow = [control.add_booking(claim_story=[], faults=[_slow(operation)]) for operation in IN_FLIGHT]
    callers = Callers(stack, [control.add_booking() for _ in range(60)])

    with stack.start() as processes:
        processes.wait_ready(f"{stack.url}/readyz")
        _stop_under_load(stack, processes, claimed, slow, callers)
    assert stack.query(HALF_REPORTED) == []
    assert [(one["outcome"], one["attempt"]) for one in control.effects("webhook", claimed.id)] == [("taken", 1)]

    with stack.start() as processes:  # one start for both that follow: starting costs more than they do
        processes.wait_ready(f"{stack.url}/readyz")
        callers.ask_again()
        _wait(stack, lambda: _statuses(stack) == {"completed"})
        _wait(stack, lambda: stack.query("SELECT id FROM webhook_deliveries WHERE handled_at IS NULL") == [])
        assert stack.query(HALF_REPORTED) == []
        assert _done(stack, claimed, *slow) == [{"claims": 1}, *IN_FLIGHT_DONE]
        assert stack.query("SELECT count(*) FROM cancellations") == [(len(callers.asked) + 1 + len(slow),)]
        assert {tuple(effect["quotes"]): 1 for effect in control.effects("confirm")} == Counter(
            tuple(effect["quotes"]) for effect in control.effects("confirm")
        )
        _stop_without_servers(stack, processes)


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_all_processes_end_when_they_are_stopped_while_they_start(stack: Stack, seconds: float) -> None:
    with stack.start() as processes:
        time.sleep(seconds)
        family = everyone(processes)
        terminate(family, times=2)

        assert left_over(family) == []


def _stop_under_load(
    stack: Stack, processes: Processes, claimed: SimBooking, slow: list[SimBooking], callers: Callers
) -> None:
    """Send SIGTERM to all while a call of each kind is on its way, requests come in, and a webhook is being stored."""
    control = stack.simulator.control
    _accept(stack, claimed, CLAIM)
    _wait(stack, lambda: _statuses(stack) == {"completed"})
    for booking, asked in zip(slow, IN_FLIGHT.values(), strict=True):
        _accept(stack, booking, asked)
    _wait(stack, lambda: IN_FLIGHT.keys() <= {one["operation"] for one in control.requests() if one["fault"] == "slow"})
    (claim,) = control.claims(claimed.id)
    with ThreadPoolExecutor(8) as pool:
        with psycopg.connect(stack.database_url) as other:
            other.execute("LOCK TABLE webhook_deliveries IN EXCLUSIVE MODE")
            asking = [pool.submit(callers.ask) for _ in range(3)]
            telling = pool.submit(control.send_event, claim["reference"], category="Payment Complete")
            _wait(stack, lambda: stack.query("SELECT pid FROM pg_locks WHERE NOT granted") != [])
            _wait(stack, lambda: len(callers.accepted) > 3)
            family = everyone(processes)
            terminate(family, times=2)
        assert left_over(family) == []
        for one in (*asking, telling):
            one.result()


def _stop_without_servers(stack: Stack, processes: Processes) -> None:
    """Send SIGTERM to all while a step and a request cannot be ended: neither Redis nor the database is there."""
    control = stack.simulator.control
    booking = control.add_booking(faults=[_slow("confirm")])
    _accept(stack, booking, CANCEL)
    _wait(stack, lambda: control.requests(booking=booking.id, operation="confirm") != [])
    stack.shut_down_redis()
    stack.shut_out_of_database()
    family = everyone(processes)
    terminate(family)

    assert left_over(family) == []


def _slow(operation: str) -> dict[str, Any]:
    return {"on": operation, "do": "slow", "seconds": SLOW}


def _accept(stack: Stack, booking: SimBooking, asked: dict[str, Any]) -> None:
    answer = stack.post(str(uuid4()), booking_id=booking.id, **asked)
    assert answer.status_code == 202, answer.text


def _statuses(stack: Stack) -> set[str]:
    return {status for (status,) in stack.query("SELECT DISTINCT status FROM cancellations")}


def _done(stack: Stack, *bookings: SimBooking) -> list[dict[str, int]]:
    kinds = ("confirms", "cancels", "claims", "refunds")
    told = [stack.simulator.control.summary(booking.id) for booking in bookings]
    return [{kind: summary[kind] for kind in kinds if summary[kind]} for summary in told]


def _wait(stack: Stack, is_so: Callable[[], bool]) -> None:
    stack.simulator.control.wait_until(is_so, timeout=60)
