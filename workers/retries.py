"""What to do after an insurer's error: a pure function of the error, the step and the tries. No clock, no database."""

from dataclasses import dataclass

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
from shared.xcover.errors import CancelledInstead
from shared.xcover.wire import complains_of_reasons

LONGEST_WAIT = 300.0
"""Seconds between tries at most: the insurer's own advice for work that nobody watches is 2 to 5 minutes."""
LONGEST_LOCK = 30.0
"""Seconds to wait for our own key, which is in the insurer's hands for one request's time at most."""

UNREADABLE_TRIES = 8
"""An answer that cannot be read once may have been cut off; one that never can is not going to change by itself."""
TRIES_UNTIL_SHOWN = 8
"""A claim that XClaim has just named may not be shown for a while: about two minutes."""


@dataclass(frozen=True, kw_only=True)
class Postpone:
    """Do the same again later, with the same key."""

    seconds: float
    counts: bool = True
    """Waiting for a turn is not a failed try."""


@dataclass(frozen=True)
class ReadBack:
    """Ask what is true before anything else is sent."""


@dataclass(frozen=True, kw_only=True)
class NewRound:
    """Preview again under a new key: previewing changes nothing."""

    with_reasons: bool = True


@dataclass(frozen=True)
class Park:
    """A person must decide."""

    slug: str


@dataclass(frozen=True)
class Reject:
    """It ends here, unless something irreversible was begun."""

    slug: str


DEEDS = frozenset({Step.CONFIRM, Step.CANCEL})
"""Steps that cancel at XCover: what a refusal or an unreadable answer left behind is read from the booking."""

Decision = Postpone | ReadBack | NewRound | Park | Reject


def decide(
    error: InsurerError,
    *,
    step: Step,
    tries: int,
    jitter: float = 0.5,
    is_read: bool = False,
    sent_reasons: bool = False,
) -> Decision:
    """Choose what follows an error in a step's `tries`-th try.

    `jitter` from 0 to 1 spreads the waits. `is_read` tells that nothing was asked to be done.
    """
    match error:
        case HeldBack() | Throttled():
            return _wait_for_turn(error, tries, jitter)
        case CancelledInstead():
            return Park("outcome-unsettled")
        case OutcomeUnknown() | InFlight() if step is Step.CLAIM and not is_read:
            return ReadBack()  # XClaim documents no keys: repeating blindly could claim twice
        case InFlight():
            return Postpone(seconds=min(2.0 ** min(tries - 1, 16), LONGEST_LOCK))
        case NotSent() | Unavailable() | OutcomeUnknown():
            return _after_silence(error, step, tries, jitter, is_read=is_read)
        case NotAllowed() | Misdirected():
            return Park("credentials-refused")
        case NotFound() if step in {Step.CLAIM, Step.AWAIT_PREMIUM_REFUND} and is_read and tries < TRIES_UNTIL_SHOWN:
            return Postpone(seconds=backoff(tries, jitter))
        case Refused():
            return _after_refusal(error, step, is_read=is_read, sent_reasons=sent_reasons)
    return Park("internal-error")


def _after_silence(
    error: NotSent | Unavailable | OutcomeUnknown, step: Step, tries: int, jitter: float, *, is_read: bool
) -> Decision:
    if _stays_unreadable(error, tries):
        return ReadBack() if step in DEEDS and not is_read else Park("answer-unreadable")
    return Postpone(seconds=backoff(tries, jitter))


def _stays_unreadable(error: InsurerError, tries: int) -> bool:
    return error.status is not None and 200 <= error.status < 300 and tries > UNREADABLE_TRIES


def _wait_for_turn(error: HeldBack | Throttled, tries: int, jitter: float) -> Postpone:
    """Wait as long as we were told, which is no failure; told nothing, ask less and less often."""
    if error.retry_after is not None:
        return Postpone(seconds=max(error.retry_after, 1.0) + jitter, counts=False)
    return Postpone(seconds=min(backoff(tries, 0.0) + jitter, LONGEST_WAIT))


def backoff(tries: int, jitter: float) -> float:
    """Return 1, 2, 4 … up to LONGEST_WAIT seconds, less up to half of it by jitter."""
    return min(2.0 ** min(tries - 1, 16), LONGEST_WAIT) * (1 - jitter / 2)


def _after_refusal(error: Refused, step: Step, *, is_read: bool, sent_reasons: bool) -> Decision:
    if is_read and step in {*DEEDS, Step.CLAIM, Step.AWAIT_PREMIUM_REFUND}:
        return Park("outcome-unsettled")
    if step in DEEDS:
        return ReadBack()
    if step is Step.REFUND and not is_read:
        return Park("refund-refused")
    if step is Step.CLAIM:
        return ReadBack() if isinstance(error, KeyConflict) else Park("insurer-refused")
    if step is Step.PREVIEW and isinstance(error, KeyConflict):
        return NewRound()
    if step is Step.PREVIEW and sent_reasons and complains_of_reasons(error.problems):
        return NewRound(with_reasons=False)
    return Reject("booking-not-found" if isinstance(error, NotFound) else "insurer-refused")
