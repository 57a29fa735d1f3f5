"""How the pages say things: times, durations, statuses, JSON. Pure: nothing here asks the database."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from shared import clock
from shared.lifecycle import Status, Step
from shared.models import STATUSES, STEPS
from shared.overview import CAP, Waiting
from webhook_gateway import current
from webhook_gateway.console.door import blueprint
from webhook_gateway.resources import time as rfc3339

STATUS_MEANS: Mapping[str, str] = {
    Status.IN_PROGRESS: "a step is due, running, or waiting for its next try",
    Status.AWAITING_REFUND: "waits for the partner to report the refund",
    Status.AWAITING_PREMIUM_REFUND: "claimed; waits for XClaim's Premium Refund",
    Status.COMPLETED: "every step is done",
    Status.REJECTED: "refused before the point of no return",
    Status.ABORTED: "taken back before the point of no return",
    Status.NEEDS_REVIEW: "a person must decide",
    Status.CLOSED: "ended by hand",
}
STEP_MEANS: Mapping[str, str] = {
    Step.LOOK_UP: "look up",
    Step.PREVIEW: "preview",
    Step.REFUND: "refund",
    Step.CONFIRM: "confirm",
    Step.CLAIM: "claim",
    Step.CANCEL: "cancel",
    Step.AWAIT_PREMIUM_REFUND: "await premium refund",
}
URGENT_FIRST = (Status.NEEDS_REVIEW.value, *(status for status in STATUSES if status != Status.NEEDS_REVIEW))
TONES: Mapping[str, str] = {
    Status.NEEDS_REVIEW: "bad", Status.REJECTED: "dim", Status.ABORTED: "dim", Status.CLOSED: "dim",
    Status.COMPLETED: "good", Status.IN_PROGRESS: "busy", Status.AWAITING_REFUND: "wait",
    Status.AWAITING_PREMIUM_REFUND: "wait",
}  # fmt: skip
SAID: Mapping[str, str] = {
    "retried": "It is taken up again now.",
    "aborted": "It is aborted.",
    "done": "Taken as done, with your evidence.",
    "not_done": "Taken as not done: the step is tried anew.",
    "amend": "The claim is sent again with the new fields.",
    "close": "It is closed.",
    "callbacks": "Its messages are sent again.",
    "replayed": "It is handled again.",
    "paused": "Paused. Whatever is in hand ends first.",
    "resumed": "Resumed. What waited goes on within seconds.",
    "nothing": "Nothing had to be changed: it was so already.",
    "batch": "Done.",
}
"""What a page says after a press; addresses carry only the key."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@blueprint.context_processor
def words() -> dict[str, Any]:
    """Give the console's templates their words."""
    return {
        "ago": ago, "duration": duration, "moment": moment, "pretty": pretty, "counted": counted,
        "said_of": SAID.get, "step_words": step_words, "tone_of": TONES.get, "status_means": STATUS_MEANS,
        "statuses": STATUSES, "urgent_first": URGENT_FIRST, "steps": STEPS,
        "flower_url": (current.settings().flower_url or "").rstrip("/"),
    }  # fmt: skip


def moment(value: str | datetime | None, *, is_short: bool = False) -> Markup:
    """Return a time element: UTC to the second, and how long ago as a hint; a dash for none."""
    if value is None:
        return Markup("–")  # noqa: RUF001 - typography
    at = datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)
    shown = at.strftime("%H:%M:%S" if is_short else "%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" title="{} UTC, {}">{}</time>').format(
        rfc3339(at), at.strftime("%Y-%m-%d %H:%M:%S"), ago(at), shown
    )


def ago(value: str | datetime | None) -> str:
    """Return how far away a time is: `3 min ago`, `in 2 h`."""
    if value is None:
        return "never"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    seconds = (clock.utc_now() - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `2 d 3 h`, `41 s`."""
    rest, parts = round(seconds), []
    for size, unit in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " ".join(parts[:2]) or "0 s"


def counted(waiting: Waiting) -> str:
    """Return a number, or that it is more than is counted."""
    return f"more than {CAP:,}" if waiting.is_capped else f"{waiting.count:,}"


def step_words(step: str | None) -> str:
    """Return a step's name in words."""
    return STEP_MEANS.get(step or "", step or "–")  # noqa: RUF001 - typography


def pretty(value: Any) -> str:
    """Return JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
