"""Story: the insurer's next offer names another refund than the one before."""

from typing import Any
from uuid import UUID

import pytest

from tests.simulator import SimBooking
from tests.world import World
from webhook_gateway import resources

CHANGES = pytest.mark.parametrize(
    ("currency", "before", "after"),
    [("USD", "0.30", "0.31"), ("JPY", "100", "99"), ("KWD", "1.005", "1.004")],
)
NEXT_ROUND = 23.5 * 3600
PAST_THE_OFFER = 24 * 3600


def _previewed(world: World, currency: str, refund: str, **spec: Any) -> tuple[SimBooking, UUID]:
    booking = world.booking(currency=currency, policies=[{"refund": refund}], **spec)
    row_id = world.accept(booking)
    world.drain()
    return booking, row_id


def _wait(world: World, seconds: float) -> None:
    world.later(seconds)
    world.sweep()
    world.drain()


def _slug(world: World, row_id: UUID) -> str:
    return str((world.row(row_id).problem or {}).get("type", "")).rpartition("/")[2]


@CHANGES
def test_before_any_report_simply_the_new_amount_is_offered_and_reported(
    world: World, currency: str, before: str, after: str
) -> None:
    booking, row_id = _previewed(world, currency, before)
    world.control.patch_booking(booking.id, policies=[{"refund": after}])
    _wait(world, NEXT_ROUND)
    preview = resources.shown(world.row(row_id), None).preview
    assert preview is not None
    assert preview.total_refund == after

    assert world.report_refund(row_id, after, currency).status == 200
    world.drain()

    assert world.row(row_id).status == "completed"
    (confirm,) = world.effects("confirm", booking)
    assert confirm["cancellation_id"] == preview.cancellation_id


@CHANGES
def test_after_the_report_a_new_amount_needs_review(world: World, currency: str, before: str, after: str) -> None:
    booking, row_id = _previewed(world, currency, before, faults=[{"on": "confirm", "do": "throttle"}])
    world.report_refund(row_id, before, currency)
    world.drain()
    world.control.patch_booking(booking.id, policies=[{"refund": after}])

    _wait(world, PAST_THE_OFFER)
    world.settle()

    assert (world.row(row_id).status, _slug(world, row_id)) == ("needs_review", "refund-amount-changed")
    assert world.effects("confirm", booking) == []


def test_after_the_report_an_unchanged_amount_is_confirmed_in_the_next_round(world: World) -> None:
    _, row_id = _previewed(world, "KWD", "1.005", faults=[{"on": "confirm", "do": "throttle"}])
    world.report_refund(row_id, "1.005", "KWD")
    world.drain()

    _wait(world, PAST_THE_OFFER)
    world.settle()

    assert (world.row(row_id).status, world.row(row_id).round) == ("completed", 2)


@CHANGES
def test_a_report_of_the_amount_before_is_money_that_was_paid(
    world: World, currency: str, before: str, after: str
) -> None:
    booking, row_id = _previewed(world, currency, before)
    world.control.patch_booking(booking.id, policies=[{"refund": after}])
    _wait(world, NEXT_ROUND)

    assert world.report_refund(row_id, before, currency).status == 202
    world.drain()

    assert (world.row(row_id).status, _slug(world, row_id)) == ("needs_review", "refund-of-another-round")
    assert world.effects("confirm", booking) == []


def test_the_same_number_in_another_currency_is_another_amount(world: World) -> None:
    booking, row_id = _previewed(world, "EUR", "10", faults=[{"on": "confirm", "do": "throttle"}])
    world.report_refund(row_id, "10", "EUR")
    world.drain()
    world.control.patch_booking(booking.id, currency="USD")

    _wait(world, PAST_THE_OFFER)
    world.settle()

    assert (world.row(row_id).status, _slug(world, row_id)) == ("needs_review", "refund-amount-changed")
    assert world.effects("confirm", booking) == []
