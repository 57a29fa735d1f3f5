"""What the interface shows of a row: the shapes, and how rows become them.

The shapes are also the schemas of the documentation.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.lifecycle import DRY_RUN, ClaimWhen, Journey, order_of
from shared.models import STATUSES, STEPS, Cancellation, Claim
from shared.money import Money, MoneyError

Time = Annotated[str, Field(json_schema_extra={"format": "date-time", "examples": ["2021-01-08T18:19:04.228699Z"]})]
Amount = Annotated[str, Field(description="Decimal digits in the currency's minor units", examples=["22.40"])]
Currency = Annotated[str, Field(description="ISO 4217", examples=["EUR"])]
PROBLEM_OR_NULL: list[JsonValue] = [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]
"""For the documentation alone: problems are stored, and shown, as they were written."""


class Shown(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Quote(Shown):
    """A policy to cancel."""

    id: str
    reason_for_cancellation: str | None
    refund: Annotated[Amount | None, Field(description="Its part of the previewed refund")] = None


class Preview(Shown):
    """What the insurer says the cancellation will refund, and until when it may be confirmed."""

    cancellation_id: str | None
    total_refund: Amount
    currency: Currency
    confirm_before: Time | None


class Refund(Shown):
    """Who pays the customer back, and what was reported."""

    mode: Annotated[
        str,
        Field(
            description="wait: the caller reports it; call: the caller's endpoint is asked to pay; skip: nobody is",
            json_schema_extra={"enum": ["wait", "call", "skip"]},
        ),
    ]
    amount: Amount | None
    currency: Currency | None
    reference: str | None
    reported_at: Time | None


class ClaimState(Shown):
    """The claim as XClaim last showed it."""

    id: str | None = None
    reference: str | None = None
    status: Annotated[str | None, Field(description="XClaim's own category text")] = None
    milestones: Annotated[
        list[str], Field(description="premium_refund, claim_paid, claim_closed_unpaid: those reached")
    ] = []


class DryRun(Shown):
    """What the same request would do without `dry_run`, so far as that is known."""

    journey: str
    steps: Annotated[list[str], Field(description="Its order; certain once the booking is looked up")]
    claimed_quote_id: Annotated[str | None, Field(description="The policy that would be claimed")]


class CancellationResource(Shown):
    """One cancellation: what was asked for, how far it is, and why it stands where it stands."""

    id: str
    idempotency_key: str
    booking_id: str
    partner: Annotated[str, Field(description="Code of the partner whose booking it is")]
    journey: Annotated[str, Field(description="As asked for, or dry_run")]
    dry_run: Annotated[DryRun | None, Field(description="Only where nothing is cancelled: what would be done")]
    batch_id: str | None
    callback_url: Annotated[str | None, Field(description="Where its caller is told of each change")]
    status: Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]
    steps: Annotated[list[str], Field(description="The journey, in its order; frozen once the booking is looked up")]
    done_steps: list[str]
    next_step: Annotated[str | None, Field(json_schema_extra={"enum": [*STEPS, None]})]
    quotes: list[Quote]
    preview: Preview | None
    refund: Refund
    claim: ClaimState
    attempts: Annotated[int, Field(description="Tries of the present step")]
    next_attempt_at: Annotated[Time | None, Field(description="When a step that is due or waits is tried next")]
    problem: Annotated[
        dict[str, Any] | None,
        Field(
            description="Why it was rejected or needs a person (RFC 9457)", json_schema_extra={"anyOf": PROBLEM_OR_NULL}
        ),
    ]
    metadata: dict[str, Any]
    created_at: Time
    updated_at: Time
    completed_at: Time | None


class CancellationList(Shown):
    """A page of cancellations, newest first."""

    items: list[CancellationResource]
    next_cursor: Annotated[str | None, Field(description="Opaque; null on the last page")]


class Explanation(Shown):
    """Why a cancellation stands where it stands, for people: the words may change."""

    id: str
    status: Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]
    why: Annotated[str, Field(description="What it waits for, until when, and what happens then")]


class TransitionShown(Shown):
    """A change of status or step, a wait, or a note."""

    kind: Literal["transition"] = "transition"
    at: Time
    event: str
    from_status: str | None
    to_status: str
    from_step: str | None
    to_step: str | None
    actor: str
    reason: str
    details: dict[str, Any]


class CallShown(Shown):
    """An effect asked of the insurer: one key, however often it was sent."""

    kind: Literal["call"] = "call"
    at: Time
    step: str
    round: int
    key: str
    attempts: int
    outcome: str
    is_doubtful: Annotated[bool, Field(description="Some attempt may have been acted on although no answer came")]
    first_sent_at: Time | None
    last_sent_at: Time | None
    request: Annotated[dict[str, Any], Field(description="Evidence, without secrets and personal data")]
    answer_status: int | None
    answer: dict[str, Any] | None


class WebhookShown(Shown):
    """A verified webhook of this cancellation's claim; each delivery is one."""

    kind: Literal["webhook"] = "webhook"
    at: Time
    event: str | None
    category: str | None
    status_name: str | None
    digest: Annotated[str, Field(description="SHA-256 of the body: the same for repeats")]
    handled_at: Time | None
    verdict: str | None


Event = Annotated[TransitionShown | CallShown | WebhookShown, Field(discriminator="kind")]


class Timeline(Shown):
    """Everything that happened to a cancellation, oldest first."""

    items: list[Event]


def shown(row: Cancellation, claim: Claim | None) -> CancellationResource:
    """Return a cancellation as the interface shows it."""
    return CancellationResource(
        id=str(row.id),
        idempotency_key=row.idempotency_key,
        booking_id=row.booking_id,
        partner=row.partner,
        journey=row.journey,
        dry_run=_dry_run(row),
        batch_id=None if row.batch_id is None else str(row.batch_id),
        callback_url=row.callback_url,
        status=row.status,
        steps=list(row.steps),
        done_steps=list(row.done_steps),
        next_step=row.next_step,
        quotes=[_quote(entry, row.preview_currency) for entry in row.quotes],
        preview=_preview(row),
        refund=_refund(row),
        claim=_claim(claim),
        attempts=row.tries,
        # While it waits for someone else the row holds when it will look after itself: that is nobody's next try.
        next_attempt_at=time_or_none(row.next_attempt_at) if row.status == "in_progress" else None,
        problem=row.problem,
        metadata=row.metadata_,
        created_at=time(row.created_at),
        updated_at=time(row.updated_at),
        completed_at=time_or_none(row.completed_at),
    )


def time(value: datetime) -> str:
    """Return a moment by RFC 3339, in UTC, always with microseconds."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_or_none(value: datetime | None) -> str | None:
    """Return a moment by RFC 3339, or None."""
    return None if value is None else time(value)


def _dry_run(row: Cancellation) -> DryRun | None:
    if row.journey != DRY_RUN:
        return None
    journey, claim = Journey(row.request["journey"]), row.request.get("claim") or {}
    steps = order_of(
        journey, when=ClaimWhen(claim["when"]) if claim.get("when") else None, claimed_quote=row.claim_quote_id,
        cancelled_quotes=[entry["id"] for entry in row.quotes],
    )  # fmt: skip
    return DryRun(journey=journey.value, steps=[step.value for step in steps], claimed_quote_id=row.claim_quote_id)


def _quote(entry: dict[str, Any], currency: str | None) -> Quote:
    refund = entry.get("refund")
    return Quote(
        id=entry["id"],
        reason_for_cancellation=entry.get("reason_for_cancellation"),
        refund=None if refund is None or currency is None else _amount(Decimal(refund), currency),
    )


def _preview(row: Cancellation) -> Preview | None:
    if row.preview_total is None or row.preview_currency is None:
        return None
    return Preview(
        cancellation_id=row.preview_cancellation_id,
        total_refund=_amount(row.preview_total, row.preview_currency),
        currency=row.preview_currency,
        confirm_before=time_or_none(row.preview_confirm_before),
    )


def _refund(row: Cancellation) -> Refund:
    is_reported = row.refund_amount is not None and row.refund_currency is not None
    return Refund(
        mode=row.refund_mode,
        amount=_amount(row.refund_amount or Decimal(0), row.refund_currency or "") if is_reported else None,
        currency=row.refund_currency,
        reference=row.refund_reference,
        reported_at=time_or_none(row.refund_reported_at),
    )


def _claim(claim: Claim | None) -> ClaimState:
    if claim is None:
        return ClaimState()
    in_order = sorted(claim.milestones, key=lambda name: (str(claim.milestones[name]), name))
    return ClaimState(id=claim.claim_id, reference=claim.reference, status=claim.status, milestones=in_order)


def _amount(amount: Decimal, currency: str) -> str:
    try:
        return Money(amount=amount, currency=currency).text
    except MoneyError:  # what a person has to look at must be shown as the insurer said it
        return format(amount, "f")
