"""What may be pressed for one cancellation now, and why not what may not. The rules are those of the deeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared import caller_actions, resolutions
from shared.lifecycle import Status
from shared.models import Cancellation
from shared.problems import Problem
from shared.rulings import Resolution


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One button."""

    name: str
    words: str
    means: str
    why_not: str | None


def of(row: Cancellation) -> Sequence[Offer]:
    """Return every deed there is, in the order in which to think of them."""
    is_parked = row.status == Status.NEEDS_REVIEW
    return (
        Offer(
            name="retry",
            words="Take it up again" if is_parked else "Skip the wait",
            means="The step goes on where it was left, now. Never a new round, never a new key.",
            why_not=_said(caller_actions.why_not_retried(row)),
        ),
        _resolution(row, Resolution.DONE, "The step did happen", "It goes on behind it. Needs evidence."),
        _resolution(row, Resolution.NOT_DONE, "The step did not happen", "It is tried anew, with a new key."),
        _resolution(row, Resolution.AMEND, "Amend the claim", "A refused claim is sent again with other fields."),
        Offer(
            name="abort",
            words="Abort",
            means="Takes it back. Possible until something irreversible is under way.",
            why_not="It is aborted." if row.status == Status.ABORTED else _said(caller_actions.why_not_aborted(row)),
        ),
        _resolution(row, Resolution.CLOSE, "Close", "It ends here, whatever was begun, and nothing more is done."),
    )


def _resolution(row: Cancellation, resolution: Resolution, words: str, means: str) -> Offer:
    why_not = _said(resolutions.why_not(row, resolution))
    if resolution is Resolution.AMEND and why_not is None and row.next_step != "claim":
        why_not = "Only a claim that was refused can be amended."
    return Offer(name=resolution.value, words=words, means=means, why_not=why_not)


def _said(refusal: Problem | None) -> str | None:
    return None if refusal is None else str(refusal.document["detail"])
