"""Journeys, statuses and what may follow what. Pure: no framework, no input or output.

A journey is a tuple of steps. The next step is always the first that is not done, which is what lets a preview be
taken again without repeating a claim. This module drives the normal flow, resumption after a crash and the README's
picture.
"""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """One thing to do for a cancellation; each is one Celery task."""

    LOOK_UP = "look_up"
    PREVIEW = "preview"
    REFUND = "refund"
    CONFIRM = "confirm"
    CLAIM = "claim"
    CANCEL = "cancel"
    AWAIT_PREMIUM_REFUND = "await_premium_refund"


class Journey(StrEnum):
    """What the caller asked for."""

    CANCEL = "cancel"
    CANCEL_AND_CLAIM = "cancel_and_claim"
    CLAIM = "claim"
    CANCEL_NOW = "cancel_now"
    """XCover's immediate cancellation: nothing is previewed, and only asking for it by name gets it."""
    CLAIM_THEN_CANCEL = "claim_then_cancel"


class Status(StrEnum):
    """Where a cancellation stands."""

    IN_PROGRESS = "in_progress"
    """A step is due, running, or waiting for its next try."""
    AWAITING_REFUND = "awaiting_refund"
    """Previewed; waits for the partner to report the refund, and wakes by itself to renew the preview."""
    AWAITING_PREMIUM_REFUND = "awaiting_premium_refund"
    """Claimed; waits for XClaim's Premium Refund, and wakes by itself to ask about the claim."""
    COMPLETED = "completed"
    REJECTED = "rejected"
    """The insurer or our own rules said no before the point of no return."""
    ABORTED = "aborted"
    """The caller took it back before the point of no return."""
    NEEDS_REVIEW = "needs_review"
    """A person must decide. Left by `retry` and `resolve`."""
    CLOSED = "closed"
    """An operator ended it by hand, with a note."""


class ClaimWhen(StrEnum):
    """When the claim is submitted, relative to the confirm."""

    AUTO = "auto"
    AFTER_CONFIRM = "after_confirm"
    BEFORE_CONFIRM = "before_confirm"


class TaskName(StrEnum):
    """Every message this service sends or takes; never derived from module paths, so code can move."""

    LOOK_UP = "cancellation.look_up"
    PREVIEW = "cancellation.preview"
    REFUND = "cancellation.refund"
    CONFIRM = "cancellation.confirm"
    CANCEL = "cancellation.cancel"
    CLAIM = "claim.submit"
    AWAIT_PREMIUM_REFUND = "claim.await_premium_refund"
    POLL_CLAIM = "claim.poll"
    HANDLE_WEBHOOK = "webhook.handle"
    FAN_OUT_WEBHOOKS = "webhook.fan_out"
    DELIVER_CALLBACK = "callback.deliver"
    REQUEST = "cancellations.request"
    REPORT_REFUND = "cancellations.report_refund"
    ABORT = "cancellations.abort"
    SWEEP = "sweep.ring"
    CHECK_INVARIANTS = "sweep.check"
    KEEP_HOUSE = "sweep.keep_house"
    CHECK_INSURER = "insurer.check"
    PROBE = "worker.probe"


class IllegalTransition(Exception):
    """A change of status that the table does not allow: a bug, never a caller's mistake."""


TASK_OF: dict[Step, TaskName] = {
    Step.LOOK_UP: TaskName.LOOK_UP,
    Step.PREVIEW: TaskName.PREVIEW,
    Step.REFUND: TaskName.REFUND,
    Step.CONFIRM: TaskName.CONFIRM,
    Step.CLAIM: TaskName.CLAIM,
    Step.CANCEL: TaskName.CANCEL,
    Step.AWAIT_PREMIUM_REFUND: TaskName.AWAIT_PREMIUM_REFUND,
}

STEPS: dict[Journey, tuple[Step, ...]] = {
    Journey.CANCEL: (Step.LOOK_UP, Step.PREVIEW, Step.REFUND, Step.CONFIRM),
    Journey.CANCEL_AND_CLAIM: (Step.LOOK_UP, Step.PREVIEW, Step.REFUND, Step.CONFIRM, Step.CLAIM),
    Journey.CLAIM: (Step.LOOK_UP, Step.CLAIM),
    Journey.CANCEL_NOW: (Step.LOOK_UP, Step.CANCEL),
    Journey.CLAIM_THEN_CANCEL: (
        *(Step.LOOK_UP, Step.CLAIM, Step.AWAIT_PREMIUM_REFUND),
        *(Step.PREVIEW, Step.REFUND, Step.CONFIRM),
    ),
}

# A cancelled policy cannot be claimed against, so a policy that is both claimed and cancelled is claimed first.
STEPS_CLAIM_FIRST: tuple[Step, ...] = (Step.LOOK_UP, Step.PREVIEW, Step.CLAIM, Step.REFUND, Step.CONFIRM)

ALLOWED: dict[Status, frozenset[Status]] = {
    Status.IN_PROGRESS: frozenset(Status) - {Status.CLOSED},
    # To itself: a setting that changed can make the same wait longer.
    Status.AWAITING_REFUND: frozenset(
        {Status.AWAITING_REFUND, Status.IN_PROGRESS, Status.ABORTED, Status.NEEDS_REVIEW, Status.CLOSED}
    ),
    Status.AWAITING_PREMIUM_REFUND: frozenset(
        {Status.AWAITING_PREMIUM_REFUND, Status.IN_PROGRESS, Status.NEEDS_REVIEW, Status.CLOSED}
    ),
    Status.NEEDS_REVIEW: frozenset(
        {Status.IN_PROGRESS, Status.COMPLETED, Status.ABORTED, Status.NEEDS_REVIEW, Status.CLOSED}
    ),
    # Money that is reported as paid after the end, or once more, is never dropped: a person looks at it.
    Status.REJECTED: frozenset({Status.NEEDS_REVIEW}),
    Status.ABORTED: frozenset({Status.NEEDS_REVIEW}),
    Status.CLOSED: frozenset({Status.NEEDS_REVIEW}),
    Status.COMPLETED: frozenset({Status.NEEDS_REVIEW}),
}

UNFINISHED = frozenset({Status.IN_PROGRESS, Status.AWAITING_REFUND, Status.AWAITING_PREMIUM_REFUND})
"""Statuses in which the service itself will act again."""

DRY_RUN: Final = "dry_run"
"""The journey of a row that only finds out what another would do: never mistaken for one that did it."""

CLAIMING = frozenset({Journey.CANCEL_AND_CLAIM, Journey.CLAIM, Journey.CLAIM_THEN_CANCEL})
"""Journeys that submit a claim."""


def steps_of(journey: Journey, *, claim_first: bool = False, dry_run: bool = False) -> tuple[Step, ...]:
    """Return the ordered steps of a journey, or of its dry run: nothing that changes anything at the insurer."""
    if dry_run:
        return (Step.LOOK_UP,) if journey is Journey.CLAIM else (Step.LOOK_UP, Step.PREVIEW)
    if claim_first and journey is Journey.CANCEL_AND_CLAIM:
        return STEPS_CLAIM_FIRST
    return STEPS[journey]


def order_of(
    journey: Journey, *, when: ClaimWhen | None, claimed_quote: str | None, cancelled_quotes: Collection[str]
) -> tuple[Step, ...]:
    """Return the ordered steps of a journey whose policies are known."""
    claim_first = claimed_quote is not None and is_claim_first(
        when or ClaimWhen.AUTO, claimed_quote=claimed_quote, cancelled_quotes=cancelled_quotes
    )
    return steps_of(journey, claim_first=claim_first)


def is_claim_first(when: ClaimWhen, *, claimed_quote: str, cancelled_quotes: Collection[str]) -> bool:
    """Tell whether the claim comes before any money moves."""
    if when is ClaimWhen.AUTO:
        return claimed_quote in cancelled_quotes
    return when is ClaimWhen.BEFORE_CONFIRM


def next_step(steps: Sequence[str], done: Collection[str]) -> Step | None:
    """Return the first step that is not done, or None when the journey is complete."""
    return next((Step(step) for step in steps if step not in done), None)


def check_transition(current: Status, new: Status) -> None:
    """Raise IllegalTransition unless the table allows the change."""
    if new not in ALLOWED[current]:
        raise IllegalTransition(f"a cancellation that is {current} cannot become {new}")
