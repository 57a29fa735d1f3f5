"""What a reading says about an outcome nobody answered for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.xclaim.claims import Claim
from shared.xcover.wire import Booking, Policy
from workers.settling import CLOCK_ALLOWANCE, Deed, judge_cancelled, ours_among

FROM = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
UNTIL = FROM + timedelta(seconds=10)
INSIDE = FROM + timedelta(seconds=5)
TICK = timedelta(microseconds=1)
ALIVE = ("CONFIRMED", None)
OURS = ("CANCELLED", INSIDE)
THEIRS = ("CANCELLED", UNTIL + timedelta(days=1))
UNDATED = ("CANCELLED", None)


def judged(*shown: tuple[str, datetime | None], asked: str | None = None) -> Deed:
    """Judge a booking that shows policies a, b, c … in these states; all of them are asked for by default."""
    names = "abcdefgh"[: len(shown)]
    policies = tuple(
        Policy(
            id=name, status=status, can_be_cancelled=None, cancelled_at=at, policy_type=None, starts_at=None,
            ends_at=None,
        )
        for name, (status, at) in zip(names, shown, strict=True)
    )  # fmt: skip
    booking = Booking(id="AAAAA-BBBBB-INS", status="CONFIRMED", currency="EUR", policies=policies)
    return judge_cancelled(booking, list(names if asked is None else asked), stamped_from=FROM, stamped_until=UNTIL)


@pytest.mark.parametrize(
    ("shown", "deed"),
    [
        ([OURS], Deed.DONE),
        ([OURS, OURS], Deed.DONE),
        ([ALIVE], Deed.NOT_DONE),
        ([ALIVE, ALIVE], Deed.NOT_DONE),
        ([THEIRS], Deed.SOMEONE_ELSES),
        ([UNDATED], Deed.SOMEONE_ELSES),
        ([OURS, ALIVE], Deed.PARTLY),
        ([ALIVE, OURS], Deed.PARTLY),
        ([OURS, THEIRS], Deed.SOMEONE_ELSES),
        ([THEIRS, OURS], Deed.SOMEONE_ELSES),
        ([ALIVE, THEIRS], Deed.SOMEONE_ELSES),
        ([ALIVE, UNDATED], Deed.SOMEONE_ELSES),
        ([OURS, ALIVE, THEIRS], Deed.SOMEONE_ELSES),
    ],
)
def test_every_policy_is_judged(shown: list[tuple[str, datetime | None]], deed: Deed) -> None:
    assert judged(*shown) is deed


@pytest.mark.parametrize(
    ("at", "deed"),
    [
        (FROM - TICK, Deed.SOMEONE_ELSES),
        (FROM, Deed.DONE),
        (INSIDE, Deed.DONE),
        (UNTIL, Deed.DONE),
        (UNTIL + TICK, Deed.SOMEONE_ELSES),
    ],
)
@pytest.mark.parametrize("status", ["CANCELLED", "CONFIRMED", "SOMETHING_NEW"])
def test_the_time_of_our_preview_and_not_the_status_proves_our_deed(at: datetime, deed: Deed, status: str) -> None:
    assert judged((status, at)) is deed


@pytest.mark.parametrize("first", [OURS, ALIVE])
def test_a_policy_that_is_not_shown_proves_nothing(first: tuple[str, datetime | None]) -> None:
    assert judged(first, asked="ax") is Deed.PARTLY


def test_a_policy_cancelled_by_someone_else_is_told_even_when_another_is_not_shown() -> None:
    assert judged(THEIRS, asked="a") is Deed.SOMEONE_ELSES


def test_a_booking_that_shows_nothing_proves_nothing() -> None:
    assert judged(asked="a") is Deed.PARTLY


@pytest.mark.parametrize("other", [OURS, THEIRS, ALIVE])
def test_policies_not_asked_for_do_not_matter(other: tuple[str, datetime | None]) -> None:
    assert judged(OURS, other, asked="a") is Deed.DONE
    assert judged(ALIVE, other, asked="a") is Deed.NOT_DONE


def claim(**changes: Any) -> Claim:
    """Return a claim that is ours, unless the changes say otherwise."""
    values: dict[str, Any] = {
        "id": "c-1", "reference": None, "booking_id": "AAAAA-BBBBB-INS", "quote_id": "q-1", "claim_type_id": "cfar",
        "category": None, "status_name": None, "status_label": None, "is_processed": True, "is_closed": None,
        "failure_reason": None, "reported_at": FROM,
    }  # fmt: skip
    return Claim(**{**values, **changes})


def sorted_out(*claims: Claim) -> tuple[list[Claim], list[Claim]]:
    """Sort claims into ours and others', for one policy, type and intent."""
    return ours_among(claims, quote_id="q-1", claim_type_id="cfar", intended_at=FROM)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "ours"),
        ({"reported_at": FROM + timedelta(days=30)}, "ours"),
        ({"reported_at": FROM - CLOCK_ALLOWANCE}, "ours"),
        ({"reported_at": FROM - CLOCK_ALLOWANCE - TICK}, "another's"),
        ({"reported_at": None}, "another's"),
        ({"claim_type_id": None}, "ours"),
        ({"claim_type_id": "other"}, "another's"),
        ({"claim_type_id": "CFAR"}, "ours"),
        ({"quote_id": "q-2"}, "unrelated"),
        ({"quote_id": None}, "another's"),
        ({"is_closed": True}, "ours"),
        ({"is_processed": False, "id": None, "reference": "R-1"}, "ours"),
    ],
)
def test_a_claim_can_be_ours_when_policy_type_and_time_fit(changes: dict[str, Any], verdict: str) -> None:
    given = claim(**changes)

    expected = {"ours": ([given], []), "another's": ([], [given]), "unrelated": ([], [])}
    assert sorted_out(given) == expected[verdict]


def test_several_claims_are_sorted_each_by_itself() -> None:
    ours, also_ours = claim(id="c-1"), claim(id="c-2", claim_type_id=None)
    early, undated = claim(id="c-3", reported_at=FROM - timedelta(days=1)), claim(id="c-4", reported_at=None)
    unrelated = claim(id="c-5", quote_id="q-9")

    assert sorted_out(unrelated, ours, early, undated, also_ours) == ([ours, also_ours], [early, undated])


def test_no_claims_are_nobodys() -> None:
    assert sorted_out() == ([], [])
