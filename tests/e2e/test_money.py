"""Story: what is previewed, shown, reported and confirmed is the same money to the last coin, in every currency."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from shared import caller_actions
from tests.simulator import SimBooking
from tests.world import World
from webhook_gateway import resources

SUMS = [
    ("EUR", ["22.4"], "22.40"),
    ("EUR", ["0.1", "0.2"], "0.30"),
    ("EUR", ["2.02", "22.40", "0.01"], "24.43"),
    ("EUR", ["0.07"] * 3, "0.21"),
    ("USD", ["1.1", "2.2"], "3.30"),
    ("USD", ["99999999.99", "0.01"], "100000000.00"),
    ("JPY", ["100"], "100"),
    ("JPY", ["100.0", "23"], "123"),
    ("KWD", ["1.005"], "1.005"),
    ("KWD", ["1.005", "1.005", "0.001"], "2.011"),
    ("KWD", ["0.1", "0.2"], "0.300"),
]
"""Currency, refund of each policy, their sum as it is shown; floats get most of these wrong."""
CURRENCIES = [("EUR", "0.01"), ("USD", "0.01"), ("JPY", "1"), ("KWD", "0.001")]
"""A currency and its smallest coin."""
FIGURES_DISAGREE = ("needs_review", "figures-disagree")


def _cancel(world: World, currency: str, refunds: list[str], **spec: Any) -> tuple[SimBooking, UUID]:
    """Take a cancellation as far as it goes without a report."""
    policies = [{"price": "50000", "refund": refund} for refund in refunds]
    booking = world.booking(currency=currency, policies=policies, **spec)
    row_id = world.accept(booking)
    world.drain()
    return booking, row_id


def _report(
    world: World, currency: str, refund: str, reported: str, reported_in: str | None = None
) -> caller_actions.Verdict:
    """Report a refund for a cancellation of its own."""
    _, row_id = _cancel(world, currency, [refund])
    return world.report_refund(row_id, reported, reported_in or currency)


def _shown(world: World, row_id: UUID) -> resources.CancellationResource:
    return resources.shown(world.row(row_id), None)


def _outcome(world: World, row_id: UUID) -> tuple[str, str | None]:
    row = world.row(row_id)
    return row.status, row.problem["type"].rpartition("/")[2] if row.problem else None


# --- what is offered ------------------------------------------------------------------------------------------------


def test_the_offered_sum_is_shown_to_the_last_coin(world: World) -> None:
    previews = [_shown(world, _cancel(world, currency, refunds)[1]).preview for currency, refunds, _ in SUMS]

    offered = [(preview.currency, preview.total_refund) for preview in previews if preview]
    assert offered == [(currency, text) for currency, _, text in SUMS]


def test_the_offered_sum_is_kept_to_the_last_coin(world: World) -> None:
    totals = [world.row(_cancel(world, currency, refunds)[1]).preview_total for currency, refunds, _ in SUMS]

    assert totals == [Decimal(text) for _, _, text in SUMS]


def test_nothing_to_refund_passes_by_itself_in_every_currency(world: World) -> None:
    rows = [_cancel(world, currency, ["0", "0.0"])[1] for currency, _ in CURRENCIES]

    assert [world.row(row_id).status for row_id in rows] == ["completed"] * len(rows)


# --- what is reported -----------------------------------------------------------------------------------------------


def test_a_report_of_the_sum_as_it_is_shown_is_accepted_and_the_cancellation_completed(world: World) -> None:
    rows = [_cancel(world, currency, refunds)[1] for currency, refunds, _ in SUMS]

    reports = zip(rows, SUMS, strict=True)
    verdicts = [world.report_refund(row_id, text, currency) for row_id, (currency, _, text) in reports]
    world.drain()

    assert [verdict.status for verdict in verdicts] == [200] * len(SUMS)
    assert [_outcome(world, row_id) for row_id in rows] == [("completed", None)] * len(SUMS)
    assert [_shown(world, row_id).refund.amount for row_id in rows] == [text for _, _, text in SUMS]


def test_a_report_is_compared_as_a_number_and_not_as_text(world: World) -> None:
    spellings = [
        ("EUR", "22.4", "22.4"),
        ("EUR", "22.4", "22.40"),
        ("EUR", "22.4", "22.4000"),
        ("JPY", "100", "100.00"),
        ("KWD", "1.5", "1.50"),
        ("KWD", "1.005", "01.0050"),
    ]

    taken = {case: _report(world, *case).status for case in spellings}

    assert taken == dict.fromkeys(spellings, 200)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            [
                ("EUR", "22.40", "22.39"),
                ("EUR", "22.40", "22.41"),
                ("USD", "0.30", "0.29"),
                ("JPY", "100", "101"),
                ("KWD", "1.005", "1.004"),
                ("KWD", "1.005", "1.006"),
            ],
            id="off by one coin",
        ),
        pytest.param(
            [("EUR", "10", "10.001"), ("JPY", "10", "10.5"), ("KWD", "10", "10.0005")],
            id="finer than the smallest coin",
        ),
        pytest.param(
            [
                ("EUR", "10", "10", "USD"),
                ("USD", "10", "10", "EUR"),
                ("JPY", "10", "10", "KRW"),
                ("KWD", "10", "10", "BHD"),
                ("EUR", "10", "10", "XXX"),
            ],
            id="in another currency",
        ),
    ],
)
def test_a_report_of_anything_else_is_refused(world: World, wrong: list[tuple[str, ...]]) -> None:
    verdicts = {case: _report(world, *case) for case in wrong}
    world.drain()

    refusals = {case: verdict.problem and verdict.problem.slug for case, verdict in verdicts.items()}
    assert refusals == dict.fromkeys(wrong, "refund-mismatch")
    assert {row.status for row in world.rows()} == {"awaiting_refund"}
    assert world.control.effects("confirm") == []


def test_after_a_refused_report_the_right_one_is_accepted(world: World) -> None:
    _, row_id = _cancel(world, "KWD", ["1.005"])
    world.report_refund(row_id, "1.004", "KWD")

    assert world.report_refund(row_id, "1.005", "KWD").status == 200
    world.drain()

    assert world.row(row_id).status == "completed"


# --- figures that disagree ------------------------------------------------------------------------------------------


def test_a_refund_finer_than_the_smallest_coin_needs_review(world: World) -> None:
    refunds = [
        ("JPY", "0.5"),
        ("EUR", "0.001"),
        ("KWD", "0.0005"),
        ("JPY", "0.5", "0.5"),
        ("EUR", "10.005", "10.005"),
    ]

    ended = {case: _outcome(world, _cancel(world, case[0], list(case[1:]))[1]) for case in refunds}

    assert ended == dict.fromkeys(refunds, FIGURES_DISAGREE)
    assert world.control.effects("confirm") == []


@pytest.mark.parametrize("figure", ["total_refund", "refund_amount"])
def test_a_total_one_coin_off_the_sum_needs_review(world: World, figure: str) -> None:
    totals = [(currency, str(15 + sign * Decimal(coin))) for currency, coin in CURRENCIES for sign in (1, -1)]

    ended = {
        (currency, total): _outcome(world, _cancel(world, currency, ["10", "5"], **{figure: total})[1])
        for currency, total in totals
    }

    assert ended == dict.fromkeys(totals, FIGURES_DISAGREE)
    assert world.control.effects("confirm") == []


def test_a_second_figure_that_agrees_is_no_obstacle(world: World) -> None:
    rows = [_cancel(world, currency, ["10", "5"], refund_amount="15.00")[1] for currency, _ in CURRENCIES]

    assert [world.row(row_id).status for row_id in rows] == ["awaiting_refund"] * len(rows)


def test_a_refund_in_a_currency_nobody_can_pay_in_needs_review(world: World) -> None:
    unpayable = ["EURO", "BTC", "XXX", "XAU", "eur"]

    ended = {currency: _outcome(world, _cancel(world, currency, ["10"])[1]) for currency in unpayable}

    assert ended == dict.fromkeys(unpayable, FIGURES_DISAGREE)
    assert world.control.effects("confirm") == []


def test_a_confirm_that_refunds_one_coin_more_than_was_offered_needs_review(world: World) -> None:
    rows = {}
    for currency, coin in CURRENCIES:
        booking, rows[currency] = _cancel(world, currency, ["10"])
        world.control.patch_booking(booking.id, total_refund=str(10 + Decimal(coin)))
        world.report_refund(rows[currency], "10", currency)

    world.drain()

    assert {currency: _outcome(world, row_id) for currency, row_id in rows.items()} == dict.fromkeys(
        rows, FIGURES_DISAGREE
    )
    # The confirm is done: what to do about the money is a person's matter.
    assert {row.next_step for row in world.rows()} == {None}
