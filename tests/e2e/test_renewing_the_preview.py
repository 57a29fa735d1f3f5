"""Story: the partner takes its time, and the insurer's offer must not lapse meanwhile."""

from decimal import Decimal

import pytest

from tests.world import World


def _wait(world: World, seconds: float) -> None:
    world.later(seconds)
    world.sweep()
    world.drain()


def test_an_unreported_refund_is_previewed_again_an_hour_before_the_offer_ends(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    first = world.row(row_id).preview_cancellation_id

    _wait(world, 22.5 * 3600)
    assert world.row(row_id).round == 1
    _wait(world, 3600)

    row = world.row(row_id)
    assert (row.status, row.round) == ("awaiting_refund", 2)
    assert row.preview_cancellation_id != first
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()
    (confirm,) = world.effects("confirm", booking)
    assert confirm["cancellation_id"] == row.preview_cancellation_id


def test_a_refund_of_an_earlier_rounds_amount_is_money_that_was_paid(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    world.control.patch_booking(booking.id, policies=[{"refund": 8}])
    _wait(world, 23.5 * 3600)
    assert world.row(row_id).preview_total == Decimal(8)

    verdict = world.report_refund(row_id, "10.00", "EUR")

    row = world.row(row_id)
    assert verdict.status == 202
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("refund-of-another-round")
    assert world.effects("confirm", booking) == []


def test_an_amount_that_changes_after_the_refund_was_reported_needs_review(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR", faults=[{"on": "confirm", "do": "throttle"}])
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()
    world.control.patch_booking(booking.id, policies=[{"refund": 8}])

    _wait(world, 24 * 3600)
    world.settle()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("refund-amount-changed")
    assert world.effects("confirm", booking) == []


def test_a_confirm_that_comes_too_late_is_previewed_again_and_confirmed(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR", faults=[{"on": "confirm", "do": "throttle"}])
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()

    _wait(world, 24 * 3600)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.row(row_id).round == 2
    assert len(world.effects("confirm", booking)) == 1


def test_an_unknown_confirm_is_settled_before_any_new_round(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR", faults=[{"on": "confirm", "do": "act_then_drop"}])
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()

    _wait(world, 25 * 3600)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.row(row_id).round == 1
    assert len(world.effects("confirm", booking)) == 1


def test_an_unknown_confirm_is_read_back_once_the_insurer_has_forgotten_its_key(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "act_then_drop"}])
    row_id = world.accept(booking, refund={"mode": "skip"})
    world.drain()

    _wait(world, 47.5 * 3600)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.control.requests(operation="confirm")) == 1


@pytest.mark.key_mode("honoured", "storing_errors")  # where keys are ignored nothing is replayed
def test_a_replayed_preview_that_is_a_day_old_is_not_used(world: World) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": "act_then_drop"}])
    row_id = world.accept(booking, refund={"mode": "skip"})
    world.drain()

    _wait(world, 24 * 3600)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.row(row_id).round == 2


@pytest.mark.key_mode("ignored")
def test_a_preview_asked_for_again_after_a_day_is_a_new_offer_where_keys_are_ignored(world: World) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": "act_then_drop"}])
    row_id = world.accept(booking, refund={"mode": "skip"})
    world.drain()

    _wait(world, 24 * 3600)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert world.row(row_id).round == 1


def test_a_refund_that_is_never_reported_ends_with_a_person(world: World) -> None:
    world.configure(refund_max_wait="2d")
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()

    for _ in range(5):
        _wait(world, 12 * 3600)

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("refund-not-reported")


def test_short_offers_are_renewed_halfway_and_not_in_a_flood(world: World) -> None:
    world.control.settings(preview_validity=600)
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()
    assert world.row(row_id).status == "awaiting_refund"

    _wait(world, 200)
    assert world.row(row_id).round == 1
    _wait(world, 150)

    assert world.row(row_id).round == 2


def test_a_renewal_repeats_no_claim(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking, claim={})
    world.settle()
    _wait(world, 23.5 * 3600)
    world.settle()
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()

    row = world.row(row_id)
    assert row.done_steps == ["look_up", "claim", "preview", "refund", "confirm"]
    assert len(world.effects("claim", booking)) == 1
