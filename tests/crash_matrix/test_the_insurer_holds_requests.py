"""What the matrix asks of the simulated insurer: requests that stand still, and keys treated as each booking says."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulator import SimulatorServer
from tests.simulator.caller import Caller


@pytest.mark.parametrize(("fault", "previewed"), [("hold_before", 0), ("hold_after", 1)])
def test_a_held_request_is_carried_out_before_or_after_it_is_released(
    simulator: SimulatorServer, fault: str, previewed: int
) -> None:
    booking = simulator.control.add_booking(faults=[{"on": "preview", "do": fault}])
    holds = simulator.state.holds

    with Caller(simulator) as caller, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(caller.preview, booking.id)
        simulator.control.wait_until(lambda: booking.id in holds.held(), timeout=60)
        while_held = simulator.control.summary(booking.id)["previews"]
        holds.release(booking.id)
        answer = asked.result()

    assert (while_held, answer.status_code) == (previewed, 200)
    assert simulator.control.summary(booking.id)["previews"] == 1
    assert not holds.held()


def test_a_held_deed_may_be_answered_as_failed_and_its_key_remembers_that(simulator: SimulatorServer) -> None:
    fault = {"on": "preview", "do": "hold_after", "status": 502}
    booking = simulator.control.add_booking(key_mode="storing_errors", faults=[fault])
    holds = simulator.state.holds

    with Caller(simulator) as caller, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(caller.preview, booking.id, "key-1")
        simulator.control.wait_until(lambda: booking.id in holds.held(), timeout=60)
        holds.release(booking.id)
        assert asked.result().status_code == 502
        assert caller.preview(booking.id, "key-1").status_code == 409

    assert simulator.control.summary(booking.id)["previews"] == 1


@pytest.mark.parametrize(("mode", "previewed"), [("honoured", 1), ("storing_errors", 1), ("ignored", 2), (None, 1)])
def test_a_booking_may_have_its_own_way_with_keys(simulator: SimulatorServer, mode: str | None, previewed: int) -> None:
    booking = simulator.control.add_booking(key_mode=mode)

    with Caller(simulator) as caller:
        for _ in range(2):
            caller.preview(booking.id, "key-1")

    assert simulator.control.summary(booking.id)["previews"] == previewed


@pytest.mark.parametrize(("mode", "statuses"), [("honoured", [201, 409]), ("ignored", [201, 422]), (None, [201, 422])])
def test_a_bookings_way_with_keys_holds_for_its_claims_too(
    simulator: SimulatorServer, mode: str | None, statuses: list[int]
) -> None:
    booking = simulator.control.add_booking(key_mode=mode)

    with Caller(simulator) as caller:
        asked = [caller.claim(booking.id, booking.quote_id, key="key-1").status_code for _ in range(2)]

    assert asked == statuses
