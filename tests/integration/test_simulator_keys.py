"""What the simulated insurer remembers of an idempotency key, in each of its modes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.simulator.caller import Caller
from tests.simulator.server import SimulatorServer

TWO_DAYS = 48 * 3600


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


def test_a_repeated_key_gets_the_stored_answer_as_409(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    first = caller.preview(booking.id, "k-1")
    second = caller.preview(booking.id, "k-1")
    assert (first.status_code, second.status_code) == (200, 409)
    assert first.json() == second.json()
    assert insurer.control.summary(booking.id)["previews"] == 1
    assert [request["key"] for request in insurer.control.requests(operation="preview")] == ["k-1", "k-1"]


def test_a_lost_answer_is_got_back_with_the_key(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "cancel", "do": "act_then_drop"}])
    with pytest.raises(httpx.TransportError):
        caller.cancel(booking.id, {}, "k-1")
    answer = caller.cancel(booking.id, {}, "k-1")
    assert (answer.status_code, answer.json()["total_refund"]) == (409, 22.4)
    assert insurer.control.effects("cancel")[0]["key"] == "k-1"


def test_a_key_with_another_body_is_422(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    caller.preview(booking.id, "k-1")
    assert caller.cancel(booking.id, {"preview": False}, "k-1").status_code == 422
    assert insurer.control.summary(booking.id)["cancels"] == 0


def test_a_key_in_use_is_423(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "preview", "do": "slow", "seconds": 30}])
    with ThreadPoolExecutor(1) as pool, Caller(insurer) as another:
        slow = pool.submit(another.preview, booking.id, "k-1")
        insurer.control.wait_until(lambda: [one for one in insurer.control.requests() if one["fault"]])
        assert caller.preview(booking.id, "k-1").status_code == 423
        insurer.state.stopping.set()  # ends the waiting
        assert slow.result().status_code == 200


def test_a_key_is_forgotten_after_48_hours(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    caller.preview(booking.id, "k-1")
    insurer.control.shift_clock(TWO_DAYS + 1)
    assert caller.preview(booking.id, "k-1").status_code == 200


def test_a_failure_does_not_use_up_an_honoured_key(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(faults=[{"on": "preview", "do": "error_before"}])
    assert caller.preview(booking.id, "k-1").status_code == 503
    assert caller.preview(booking.id, "k-1").status_code == 200


def test_ignored_keys_mean_nothing(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(key_mode="ignored")
    booking = insurer.control.add_booking()
    assert caller.preview(booking.id, "k-1").status_code == 200
    assert caller.preview(booking.id, "k-1").status_code == 200
    assert caller.cancel(booking.id, {}, "k-1").status_code == 200
    assert caller.cancel(booking.id, {}, "k-1").status_code == 422


@pytest.mark.parametrize("do", ["error_before", "refuse", "act_then_error"])
def test_a_failure_is_stored_where_errors_are(insurer: SimulatorServer, caller: Caller, do: str) -> None:
    insurer.control.settings(key_mode="storing_errors")
    booking = insurer.control.add_booking(faults=[{"on": "cancel", "do": do}])
    first = caller.cancel(booking.id, {}, "k-1")
    second = caller.cancel(booking.id, {}, "k-1")
    assert first.status_code in {422, 502, 503}
    assert (second.status_code, second.json()) == (409, first.json())
    assert insurer.control.summary(booking.id).get("cancels", 0) == int(do == "act_then_error")


def test_the_insurers_own_refusal_is_stored_where_errors_are(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(key_mode="storing_errors")
    booking = insurer.control.add_booking(policies=[{"can_be_cancelled": False}])
    assert caller.cancel(booking.id, {}, "k-1").status_code == 422
    insurer.control.patch_booking(booking.id, policies=[{"can_be_cancelled": True}])
    assert caller.cancel(booking.id, {}, "k-1").status_code == 409


def test_a_claims_key_counts_only_when_switched_on(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(duplicates="accept")
    ignored = insurer.control.add_booking()
    for _ in range(2):
        assert caller.claim(ignored.id, ignored.quote_id, key="k-1").status_code == 201
    insurer.control.settings(xclaim_keys="honoured")
    honoured = insurer.control.add_booking()
    first, second = (caller.claim(honoured.id, honoured.quote_id, key="k-2") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 409)
    assert second.json() == first.json()
    assert insurer.control.summary(ignored.id)["claims"] == 2
    assert insurer.control.summary(honoured.id)["claims"] == 1


def test_a_share_of_the_keys_can_be_forgotten_early(insurer: SimulatorServer, caller: Caller) -> None:
    bookings = [insurer.control.add_booking() for _ in range(4)]
    for number, booking in enumerate(bookings):
        caller.preview(booking.id, f"k-{number}")

    forgotten = insurer.control.forget_keys(share=0.5, seed=1)

    repeated = [caller.preview(booking.id, f"k-{number}").status_code for number, booking in enumerate(bookings)]
    assert forgotten == 2
    assert sorted(repeated) == [200, 200, 409, 409]
