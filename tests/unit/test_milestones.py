"""Which claim updates are milestones for us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.milestones import (
    CLAIM_CLOSED_UNPAID,
    CLAIM_PAID,
    DOCUMENTED_CATEGORIES,
    PREMIUM_REFUND,
    is_deletion,
    reached,
    unknown_word,
)

REFUND, PAID, CLOSED = (PREMIUM_REFUND,), (CLAIM_PAID,), (CLAIM_CLOSED_UNPAID,)


@pytest.mark.parametrize(
    ("word", "milestones"),
    [
        ("Premium Refund", REFUND),
        ("Claim Paid", PAID),
        ("Payment Complete", PAID),
        ("Settled", PAID),
        ("Declined", CLOSED),
        ("Withdrawn", CLOSED),
        ("Duplicate Claim", CLOSED),
        ("Closed", CLOSED),
        ("claim.deleted", CLOSED),
        ("claim.updated", ()),
        ("Submitted", ()),
        ("Under Review", ()),
        ("Awaiting Documents", ()),
        ("Paid", ()),
        ("", ()),
    ],
)
def test_a_word_stands_for_its_milestone_and_any_other_for_none(word: str, milestones: tuple[str, ...]) -> None:
    assert reached([word], already={}) == milestones


@pytest.mark.parametrize(
    "word",
    ["premium refund", "PREMIUM_REFUND", "Premium-Refund", "premium.refund", " Premium  Refund! ", "(Premium) refund"],
)
def test_case_and_punctuation_do_not_matter(word: str) -> None:
    assert reached([word], already={}) == REFUND


@pytest.mark.parametrize(
    "word", ["premiumrefund", "Premium Refund Requested", "No Premium Refund", "Not Closed", "Enclosed", "Claim Unpaid"]
)
def test_a_word_that_only_contains_another_is_not_that_word(word: str) -> None:
    assert reached([word], already={}) == ()


@pytest.mark.parametrize("place", range(4))
def test_event_category_name_and_label_count_alike(place: int) -> None:
    words: list[str | None] = [None, "Open", None, "Open"]
    words[place] = "Settled"

    assert reached(words, already={}) == PAID


def test_several_milestones_come_in_a_fixed_order() -> None:
    expected = (PREMIUM_REFUND, CLAIM_PAID)

    assert reached(["Settled", "Premium Refund"], already={}) == expected
    assert reached(["Premium Refund", "Settled"], already={}) == expected


@pytest.mark.parametrize(
    ("words", "already", "new"),
    [
        (["Premium Refund"], [PREMIUM_REFUND], ()),
        (["Settled", "Premium Refund"], [PREMIUM_REFUND], PAID),
        (["Settled"], [CLAIM_PAID], ()),
        (["Declined"], [CLAIM_CLOSED_UNPAID], ()),
        (["Premium Refund"], [CLAIM_PAID], REFUND),
        # paid wins over closed, whichever came first or at once
        (["Closed"], [CLAIM_PAID], ()),
        (["claim.deleted", "Settled"], [], PAID),
        (["Settled", "Closed"], [CLAIM_PAID], ()),
        (["Settled"], [CLAIM_CLOSED_UNPAID], PAID),
        (["Closed", "Premium Refund"], [], (PREMIUM_REFUND, CLAIM_CLOSED_UNPAID)),
    ],
)
def test_each_milestone_is_reached_once_and_paid_wins_over_closed(
    words: list[str], already: list[str], new: tuple[str, ...]
) -> None:
    assert reached(words, already=dict.fromkeys(already, "2026-01-01T00:00:00Z")) == new


def test_a_mapping_of_ones_own_replaces_the_default() -> None:
    mapping = {CLAIM_PAID: ["Money Sent"]}

    assert reached(["money-sent"], already={}, mapping=mapping) == PAID
    assert reached(["Settled"], already={}, mapping=mapping) == ()


def test_paid_wins_over_closed_under_a_mapping_of_ones_own_too() -> None:
    mapping = {CLAIM_CLOSED_UNPAID: ["Finished"], CLAIM_PAID: ["Money Sent"]}

    assert reached(["Finished", "Money Sent"], already={}, mapping=mapping) == PAID


@pytest.mark.parametrize("word", ["却下", "!!!", "—"])
def test_a_word_in_another_script_stands_only_for_itself(word: str) -> None:
    mapping = {CLAIM_PAID: ["支払済"]}

    assert reached(["支払済"], already={}, mapping=mapping) == PAID
    assert reached([word], already={}, mapping=mapping) == ()


@given(st.lists(st.none() | st.text()))
def test_whatever_is_said_the_answer_is_a_tuple_of_our_milestones(words: list[str | None]) -> None:
    assert set(reached(words, already={})) <= {PREMIUM_REFUND, CLAIM_PAID, CLAIM_CLOSED_UNPAID}


@pytest.mark.parametrize(
    ("category", "name", "label", "unknown"),
    [
        *[(category, None, None, None) for category in DOCUMENTED_CATEGORIES],
        ("UNDER_REVIEW", "fraud_over", None, None),
        ("Premium Refund", None, None, None),
        ("Reopened", "premium_refund", "Premium Refund", "Reopened"),
        (None, "premium_refund", "Vorgang 7", None),
        (None, "fraud_over", "Fraud check over", "fraud_over"),
        (None, None, "Reopened", "Reopened"),
        (None, None, None, None),
        ("", "", "", None),
        ("?!", None, None, "?!"),
    ],
)
def test_a_status_is_unknown_when_neither_the_documentation_nor_a_milestone_names_it(
    category: str | None, name: str | None, label: str | None, unknown: str | None
) -> None:
    assert unknown_word(category, name, label) == unknown


def test_a_status_that_the_deployment_maps_is_known() -> None:
    mapping = {"claim_paid": ["Utbetald"]}

    assert unknown_word("utbetald", None, None, mapping=mapping) is None
    assert unknown_word("Claim Paid", None, None, mapping=mapping) == "Claim Paid"


@pytest.mark.parametrize(("event", "deletes"), [("claim.deleted", True), ("Claim_Deleted", True), ("claim.x", False)])
def test_a_deletion_is_told_by_the_events_name(event: str, deletes: bool) -> None:
    assert is_deletion(event) is deletes
