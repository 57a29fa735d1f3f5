"""Story: policies in every status XCover names, and in one nobody knows. `can_be_cancelled` decides, not the text.

Each telling has one booking per status, so that what became of them reads as a table.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.simulator import SimBooking
from tests.world import World

SKIP = {"mode": "skip"}
LIVING = [
    "RECEIVED",
    "CONFIRMED",
    "DELETED",
    "PENDING_PAYMENT",
    "FAILED",
    "RENEWED",
    "OPTED_OUT",
    "NOBODY_HAS_HEARD_OF_IT",
]
NOT_ALLOWED = pytest.mark.parametrize("allowed", [False, None], ids=["not allowed", "not said"])
ANY_ANSWER = pytest.mark.parametrize("allowed", [True, False, None], ids=["allowed", "not allowed", "not said"])

Outcome = tuple[str, str | None]
"""A cancellation's status, and what problem it has."""


def _cancel(booking: SimBooking) -> dict[str, Any]:
    return {"quotes": [{"id": booking.quote_ids[0]}]}


def _cancel_and_claim_another(booking: SimBooking) -> dict[str, Any]:
    return {"quotes": [{"id": booking.quote_ids[0]}], "claim": {"quote_id": booking.quote_ids[1]}}


def _cancel_and_claim_itself(booking: SimBooking) -> dict[str, Any]:
    return {"quotes": [{"id": booking.quote_ids[0]}], "claim": {"quote_id": booking.quote_ids[0]}}


def _claim(booking: SimBooking) -> dict[str, Any]:
    return {"journey": "claim", "claim": {"quote_id": booking.quote_ids[0]}}


CANCELLING = pytest.mark.parametrize("ask", [_cancel, _cancel_and_claim_another, _cancel_and_claim_itself])


def _ask_for_each(world: World, ask: Callable[[SimBooking], dict[str, Any]], **policy: Any) -> dict[str, UUID]:
    """Ask the same for a booking per status; its second policy is in order."""
    rows = {}
    for status in LIVING:
        booking = world.booking(policies=[{"price": 10, "status": status, **policy}, {"price": 50}])
        rows[status] = world.accept(booking, refund=SKIP, **ask(booking))
    world.settle()
    return rows


def _outcome(world: World, row_id: UUID) -> Outcome:
    row = world.row(row_id)
    return row.status, row.problem["type"].rpartition("/")[2] if row.problem else None


def _outcomes(world: World, rows: dict[str, UUID]) -> dict[str, Outcome]:
    return {status: _outcome(world, row_id) for status, row_id in rows.items()}


@pytest.mark.parametrize("ask", [_cancel, _cancel_and_claim_another])
def test_what_xcover_allows_to_be_cancelled_is_cancelled_whatever_its_status_is_called(
    world: World, ask: Callable[[SimBooking], dict[str, Any]]
) -> None:
    rows = _ask_for_each(world, ask, can_be_cancelled=True)

    assert _outcomes(world, rows) == dict.fromkeys(LIVING, ("completed", None))


@NOT_ALLOWED
@CANCELLING
def test_what_xcover_does_not_allow_to_be_cancelled_is_rejected_whatever_its_status_is_called(
    world: World, ask: Callable[[SimBooking], dict[str, Any]], allowed: bool | None
) -> None:
    rows = _ask_for_each(world, ask, can_be_cancelled=allowed)

    assert _outcomes(world, rows) == dict.fromkeys(LIVING, ("rejected", "policy-cannot-be-cancelled"))
    assert world.held_policies() == []


@NOT_ALLOWED
def test_the_rejection_names_the_policy_and_its_status(world: World, allowed: bool | None) -> None:
    rows = _ask_for_each(world, _cancel, can_be_cancelled=allowed)

    for status, row_id in rows.items():
        row = world.row(row_id)
        problem, quote_id = row.problem or {}, world.control.booking(row.booking_id).quote_ids[0]
        assert (problem["quote_id"], problem["policy_status"]) == (quote_id, status)
        assert quote_id in problem["detail"]
        assert status in problem["detail"]


@ANY_ANSWER
@pytest.mark.parametrize("ask", [_cancel, _cancel_and_claim_another, _cancel_and_claim_itself, _claim])
def test_a_cancelled_policy_is_already_cancelled_whatever_else_is_said_of_it(
    world: World, ask: Callable[[SimBooking], dict[str, Any]], allowed: bool | None
) -> None:
    booking = world.booking(policies=[{"status": "CANCELLED", "can_be_cancelled": allowed}, {"price": 50}])
    row_id = world.accept(booking, refund=SKIP, **ask(booking))

    world.settle()

    assert _outcome(world, row_id) == ("rejected", "policy-already-cancelled")
    assert booking.quote_ids[0] in (world.row(row_id).problem or {})["detail"]


@ANY_ANSWER
def test_a_cancelled_policy_is_not_claimed_beside_one_that_is_cancelled(world: World, allowed: bool | None) -> None:
    booking = world.booking(policies=[{"price": 10}, {"status": "CANCELLED", "can_be_cancelled": allowed}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    world.settle()

    assert _outcome(world, row_id) == ("rejected", "policy-already-cancelled")
    assert world.control.summary(booking.id)["previews"] == 0


@ANY_ANSWER
def test_a_claim_alone_does_not_ask_whether_the_policy_can_be_cancelled(world: World, allowed: bool | None) -> None:
    rows = _ask_for_each(world, _claim, can_be_cancelled=allowed)

    # Which statuses may be claimed is XClaim's to say: the simulated one wants them confirmed.
    refused = dict.fromkeys(LIVING, ("rejected", "claim-not-eligible"))
    assert _outcomes(world, rows) == {**refused, "CONFIRMED": ("completed", None)}


def test_a_booking_is_only_read_before_its_cancellation_is_rejected(world: World) -> None:
    _ask_for_each(world, _cancel, can_be_cancelled=False)

    assert {request["operation"] for request in world.control.requests()} == {"get_booking"}
