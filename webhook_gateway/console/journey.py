"""One cancellation's journey as a picture: where each step stands. Pure: numbers for the template to draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.lifecycle import UNFINISHED, Status
from shared.pictures import IRREVERSIBLE
from webhook_gateway.console.words import step_words
from webhook_gateway.resources import CancellationResource, TransitionShown

APART = 118
"""Units between two steps of the picture."""
MARGIN = 62


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One step, or the end: what is written there, and where it is drawn."""

    words: str
    state: str
    """done, here, stuck, later, never or end."""
    below: str
    at: int
    """Units from the beginning: to the right in the wide picture, downwards in the narrow one."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The whole journey."""

    stops: Sequence[Stop]
    length: int
    no_way_back_at: int | None
    """Where the line is drawn behind which nothing can be taken back."""
    in_words: str


def picture(shown: CancellationResource, transitions: Sequence[TransitionShown]) -> Picture:
    """Draw a cancellation; before its look-up has frozen the journey there is only that one step."""
    steps = shown.steps or [step for step in (shown.next_step,) if step]
    when = _done_at(transitions)
    stops = [_step(shown, step, place, when) for place, step in enumerate(steps)]
    stops.append(_end(shown, len(stops)))
    first = next((place for place, step in enumerate(steps) if step in IRREVERSIBLE), None)
    if first is not None and steps[first] == "refund" and shown.refund.mode == "skip":
        first = next((place for place, step in enumerate(steps) if step in IRREVERSIBLE - {"refund"}), None)
    return Picture(
        stops=stops,
        length=2 * MARGIN + APART * (len(stops) - 1),
        no_way_back_at=None if first is None else stops[first].at - APART // 2,
        in_words="; ".join(
            f"{stop.words}: {_SPOKEN[stop.state]}{f', {stop.below}' if stop.below else ''}" for stop in stops
        ),
    )


_SPOKEN = {
    "done": "done", "here": "it stands here", "stuck": "it is stuck here", "later": "still to come",
    "never": "not reached", "end": "reached",
}  # fmt: skip


def _step(shown: CancellationResource, step: str, place: int, when: Mapping[str, str]) -> Stop:
    at = MARGIN + APART * place
    if step in shown.done_steps:
        return Stop(words=step_words(step), state="done", below=when.get(step, ""), at=at)
    if step == shown.next_step:
        state = "stuck" if shown.status == Status.NEEDS_REVIEW else "here"
        tries = f"{shown.attempts} {'try' if shown.attempts == 1 else 'tries'}" if shown.attempts else ""
        return Stop(words=step_words(step), state=state, below=tries, at=at)
    is_open = shown.status in UNFINISHED or shown.status == Status.NEEDS_REVIEW
    return Stop(words=step_words(step), state="later" if is_open else "never", below="", at=at)


def _end(shown: CancellationResource, place: int) -> Stop:
    is_open = shown.status in UNFINISHED or (shown.status == Status.NEEDS_REVIEW and shown.next_step is not None)
    words = "completed" if is_open else shown.status.replace("_", " ")
    at = shown.completed_at or ("" if is_open else shown.updated_at)
    state = "later" if is_open else "stuck" if shown.status == Status.NEEDS_REVIEW else "end"
    return Stop(words=words, state=state, below=_clock(at) if at and not is_open else "", at=MARGIN + APART * place)


def _done_at(transitions: Sequence[TransitionShown]) -> dict[str, str]:
    """Return when each step was last left for the next one."""
    return {
        line.from_step: _clock(line.at)
        for line in transitions
        if line.from_step is not None and line.from_step != line.to_step and line.to_status not in {"aborted", "closed"}
    }


def _clock(at: str) -> str:
    return f"{at[5:10]} {at[11:16]}"
