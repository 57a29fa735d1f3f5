"""What follows an insurer's error: a table over every error, every step, and whether it was only a question."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cancellations import MAX_TRIES
from shared.insurer.errors import (
    HeldBack,
    InFlight,
    InsurerError,
    KeyConflict,
    Misdirected,
    NotAllowed,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Refused,
    Throttled,
    Unavailable,
)
from shared.lifecycle import Step
from shared.refund_endpoint import RefundRefused
from shared.xcover.errors import CancelledInstead, NotAPreview
from workers.retries import LONGEST_LOCK, LONGEST_WAIT, NewRound, Park, Postpone, ReadBack, Reject, backoff, decide

AGAIN = Postpone(seconds=0.75)  # the first wait of 1 s, less a quarter by a jitter of one half
LOCKED = Postpone(seconds=1.0)
TURN = Postpone(seconds=1.5)
ASK = ReadBack()
ANEW = NewRound()
NO_ACCESS = Park("credentials-refused")
REFUSED, UNKNOWN_BOOKING = Reject("insurer-refused"), Reject("booking-not-found")
CLAIM_REFUSED = Park("insurer-refused")
UNSETTLED = Park("outcome-unsettled")

PARTNER_REFUSED = Park("refund-refused")

# look_up, preview, refund, confirm, claim, cancel; waiting for the Premium Refund does nothing but ask
DEEDS: dict[type[InsurerError], tuple[object, ...]] = {
    NotSent: (AGAIN,) * 6,
    HeldBack: (TURN,) * 6,
    Throttled: (TURN,) * 6,
    InFlight: (LOCKED, LOCKED, LOCKED, LOCKED, ASK, LOCKED),
    # XClaim documents no keys: a claim is never blindly repeated.
    OutcomeUnknown: (AGAIN, AGAIN, AGAIN, AGAIN, ASK, AGAIN),
    NotAPreview: (AGAIN, AGAIN, AGAIN, AGAIN, ASK, AGAIN),  # only a preview raises these two
    CancelledInstead: (UNSETTLED,) * 6,
    Unavailable: (AGAIN,) * 6,
    Refused: (REFUSED, REFUSED, PARTNER_REFUSED, ASK, CLAIM_REFUSED, ASK),
    RefundRefused: (REFUSED, REFUSED, PARTNER_REFUSED, ASK, CLAIM_REFUSED, ASK),  # only a refund call raises it
    NotFound: (UNKNOWN_BOOKING, UNKNOWN_BOOKING, PARTNER_REFUSED, ASK, CLAIM_REFUSED, ASK),
    KeyConflict: (REFUSED, ANEW, PARTNER_REFUSED, ASK, ASK, ASK),
    NotAllowed: (NO_ACCESS,) * 6,
    Misdirected: (NO_ACCESS,) * 6,
}
# the same, and await_premium_refund
READS: dict[type[InsurerError], tuple[object, ...]] = {
    NotSent: (AGAIN,) * 7,
    HeldBack: (TURN,) * 7,
    Throttled: (TURN,) * 7,
    InFlight: (LOCKED,) * 7,
    OutcomeUnknown: (AGAIN,) * 7,
    Unavailable: (AGAIN,) * 7,
    # A refused reading settles nothing about the deed it was to settle.
    Refused: (REFUSED, REFUSED, REFUSED, *(UNSETTLED,) * 4),
    NotFound: (UNKNOWN_BOOKING, UNKNOWN_BOOKING, UNKNOWN_BOOKING, UNSETTLED, AGAIN, UNSETTLED, AGAIN),
    KeyConflict: (REFUSED, ANEW, REFUSED, *(UNSETTLED,) * 4),
    NotAllowed: (NO_ACCESS,) * 7,
    Misdirected: (NO_ACCESS,) * 7,
}
STEPS = (
    *(Step.LOOK_UP, Step.PREVIEW, Step.REFUND, Step.CONFIRM),
    *(Step.CLAIM, Step.CANCEL, Step.AWAIT_PREMIUM_REFUND),
)
REASON_REFUSED = (("quotes.0.reason_for_cancellation", "Unexpected field"),)


def kinds(of: type[InsurerError] = InsurerError) -> Iterator[type[InsurerError]]:
    """Yield every error class below this one."""
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def rows(table: dict[type[InsurerError], tuple[object, ...]], *, is_read: bool) -> list[tuple[object, ...]]:
    """Return (error, step, is_read, decision) for each cell of a table."""
    return [
        (kind, step, is_read, decision)
        for kind, decisions in table.items()
        for step, decision in zip(STEPS[: len(decisions)], decisions, strict=True)
    ]


@pytest.mark.parametrize("kind", [*kinds()])
def test_every_error_is_in_the_table(kind: type[InsurerError]) -> None:
    assert kind in DEEDS


def test_the_table_has_every_step() -> None:
    assert set(STEPS) == set(Step)


@pytest.mark.parametrize(
    ("kind", "step", "is_read", "decision"), rows(DEEDS, is_read=False) + rows(READS, is_read=True)
)
def test_an_error_is_followed_by(kind: type[InsurerError], step: Step, is_read: bool, decision: object) -> None:
    assert decide(kind("try"), step=step, tries=1, jitter=0.5, is_read=is_read) == decision


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("is_read", [False, True])
def test_an_error_without_a_name_of_its_own_is_shown_to_a_person(step: Step, is_read: bool) -> None:
    assert decide(InsurerError("try"), step=step, tries=1, is_read=is_read) == Park("internal-error")


@pytest.mark.parametrize("kind", list(DEEDS))
@pytest.mark.parametrize("tries", [1, 2, MAX_TRIES])
def test_nothing_irreversible_is_guessed_after_a_sent_claim(kind: type[InsurerError], tries: int) -> None:
    decision = decide(kind("create the claim"), step=Step.CLAIM, tries=tries)

    may_have_been_done = issubclass(kind, OutcomeUnknown)
    assert not (may_have_been_done and isinstance(decision, Postpone | Reject | NewRound))


@pytest.mark.parametrize(
    ("step", "sent_reasons", "problems", "decision"),
    [
        (Step.PREVIEW, True, REASON_REFUSED, NewRound(with_reasons=False)),
        (Step.PREVIEW, True, (("malformed", "Unexpected field"),), NewRound(with_reasons=False)),
        (Step.PREVIEW, False, REASON_REFUSED, REFUSED),
        (Step.PREVIEW, True, (("quotes.0.id", "Unexpected field"),), REFUSED),
        (Step.PREVIEW, True, (("quotes.0.reason_for_cancellation", "Too long"),), REFUSED),
        (Step.PREVIEW, True, (), REFUSED),
        (Step.CONFIRM, True, REASON_REFUSED, ASK),
        (Step.LOOK_UP, True, REASON_REFUSED, REFUSED),
    ],
)
def test_a_preview_refused_for_its_reasons_is_made_again_without_them(
    step: Step, sent_reasons: bool, problems: tuple[tuple[str, str], ...], decision: object
) -> None:
    error = Refused("preview", status=422, problems=problems)

    assert decide(error, step=step, tries=1, sent_reasons=sent_reasons) == decision


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (9, 256.0), (10, 300.0), (11, 300.0), (100, 300.0)]
)
def test_waits_double_up_to_the_longest(tries: int, seconds: float) -> None:
    assert backoff(tries, 0.0) == seconds


@pytest.mark.parametrize("tries", [1, 5, 100])
def test_jitter_takes_away_at_most_half(tries: int) -> None:
    assert backoff(tries, 1.0) == backoff(tries, 0.0) / 2


@given(st.integers(min_value=1, max_value=10**9), st.floats(min_value=0.0, max_value=1.0))
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_a_second(tries: int, jitter: float) -> None:
    assert 0.5 <= backoff(tries, jitter) <= LONGEST_WAIT


@given(st.integers(min_value=1, max_value=10**6), st.floats(min_value=0.0, max_value=1.0))
def test_waits_never_shrink_with_the_tries(tries: int, jitter: float) -> None:
    assert backoff(tries, jitter) <= backoff(tries + 1, jitter)


@pytest.mark.parametrize("kind", list(DEEDS))
@pytest.mark.parametrize("tries", [MAX_TRIES, 10**6])
def test_however_many_tries_there_were_there_is_a_decision(kind: type[InsurerError], tries: int) -> None:
    decision = decide(kind("try"), step=Step.CONFIRM, tries=tries)

    assert not isinstance(decision, Postpone) or 0 < decision.seconds <= LONGEST_WAIT


@pytest.mark.parametrize(("tries", "seconds"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, LONGEST_LOCK), (50, LONGEST_LOCK)])
def test_our_own_key_is_waited_for_briefly(tries: int, seconds: float) -> None:
    assert decide(InFlight("confirm"), step=Step.CONFIRM, tries=tries) == Postpone(seconds=seconds)


@pytest.mark.parametrize(("retry_after", "at_least"), [(0.0, 1.0), (0.2, 1.0), (7.0, 7.0), (3600.0, 3600.0)])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tries", [1, 50])
def test_a_turn_is_waited_for_as_long_as_the_insurer_says_and_costs_no_try(
    retry_after: float | None, at_least: float, jitter: float, tries: int
) -> None:
    decision = decide(Throttled("read", retry_after=retry_after), step=Step.LOOK_UP, tries=tries, jitter=jitter)

    assert isinstance(decision, Postpone)
    assert at_least <= decision.seconds <= at_least + 1
    assert decision.counts is False


def test_told_nothing_a_throttled_step_asks_less_and_less_often() -> None:
    waits = [decide(Throttled("read"), step=Step.LOOK_UP, tries=tries, jitter=0.0) for tries in (1, 2, 3, 20)]

    assert waits == [
        Postpone(seconds=1.0),
        Postpone(seconds=2.0),
        Postpone(seconds=4.0),
        Postpone(seconds=LONGEST_WAIT),
    ]


@pytest.mark.parametrize("kind", [kind for kind in DEEDS if kind is not Throttled])
@pytest.mark.parametrize("step", Step)
def test_any_other_wait_counts_as_a_try(kind: type[InsurerError], step: Step) -> None:
    decision = decide(kind("try"), step=step, tries=1)

    assert not isinstance(decision, Postpone) or decision.counts


@pytest.mark.parametrize(
    ("kind", "step", "is_read", "decision"),
    [
        (Unavailable, Step.LOOK_UP, True, Park("answer-unreadable")),
        (NotAPreview, Step.PREVIEW, False, Park("answer-unreadable")),
        (OutcomeUnknown, Step.CONFIRM, False, ReadBack()),
        (Unavailable, Step.CONFIRM, True, Park("answer-unreadable")),
        (Unavailable, Step.CLAIM, True, Park("answer-unreadable")),
    ],
)
def test_an_answer_that_never_can_be_read_is_not_asked_for_for_hours(
    kind: type[InsurerError], step: Step, is_read: bool, decision: object
) -> None:
    assert isinstance(decide(kind("try", status=200), step=step, tries=8, is_read=is_read), Postpone)
    assert decide(kind("try", status=200), step=step, tries=9, is_read=is_read) == decision
    assert isinstance(decide(kind("try", status=503), step=step, tries=9, is_read=is_read), Postpone)
