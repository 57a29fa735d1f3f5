"""The tables of cancellations and claims. What must always hold is a constraint here, not a check in code.

`shared.webhook_models` has those of what comes in.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from shared.batch_models import Batch
from shared.columns import Base, new_id, one_of
from shared.db import now_plus

STATUSES = (
    "in_progress", "awaiting_refund", "awaiting_premium_refund",
    "completed", "rejected", "aborted", "needs_review", "closed",
)  # fmt: skip
STEPS = ("look_up", "preview", "refund", "confirm", "claim", "cancel", "await_premium_refund")
IN_BATCH = text("batch_id IS NOT NULL")
AWAITS_TURN = text("turn_class IS NOT NULL")
WITH_PROBLEM = text("problem IS NOT NULL")
COUNTED = text("event <> 'step_done' OR to_status = 'completed'")
UNSETTLED = text("outcome IN ('sent', 'unknown')")
ENDED_WITH_DATA = text("erased_at IS NULL AND next_attempt_at IS NULL")
CALL_OUTCOMES = ("sent", "not_sent", "unknown", "refused", "not_done", "done")


class Cancellation(Base):
    """One cancellation: what was asked, how far it is, and who works on it."""

    __tablename__ = "cancellations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    partner: Mapped[str] = mapped_column(String(64))
    caller: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request as sent, before defaults."""
    booking_id: Mapped[str] = mapped_column(String(64))
    journey: Mapped[str] = mapped_column(String(32))
    request: Mapped[dict[str, Any]]
    """The validated request; changed only where an operator amends its claim."""
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")

    status: Mapped[str] = mapped_column(String(32))
    steps: Mapped[list[Any]]
    """The journey's order, frozen by the look-up."""
    done_steps: Mapped[list[Any]]
    next_step: Mapped[str | None] = mapped_column(String(32))
    quotes: Mapped[list[Any]]
    """Policies to cancel, `{id, reason_for_cancellation, refund}`: what was asked until the look-up has resolved it,
    and what each refunds once it is previewed."""
    claim_quote_id: Mapped[str | None] = mapped_column(String(64))
    irreversible_at: Mapped[datetime | None]
    """The point of no return: the committed intent of a refund call, a claim, a confirm or an immediate cancel, or an
    accepted refund report."""

    round: Mapped[int] = mapped_column(default=1)
    """Which preview this is; each has its own key and its own answer."""
    sends_reasons: Mapped[bool] = mapped_column(default=True)
    preview_cancellation_id: Mapped[str | None] = mapped_column(String(64))
    preview_total: Mapped[Decimal | None]
    preview_currency: Mapped[str | None] = mapped_column(String(3))
    preview_confirm_before: Mapped[datetime | None]
    """As the insurer said it, by its own clock."""
    preview_expires_at: Mapped[datetime | None]
    """The same moment by our database's clock."""
    previewed_from: Mapped[datetime | None]
    previewed_until: Mapped[datetime | None]
    """Between these times, by the insurer's clock, it made the preview. Its confirm carries that time."""

    refund_mode: Mapped[str] = mapped_column(String(8))
    waiting_since: Mapped[datetime | None]
    """Since when something outside is waited for, over all rounds."""
    refund_amount: Mapped[Decimal | None]
    refund_currency: Mapped[str | None] = mapped_column(String(3))
    refund_reference: Mapped[str | None] = mapped_column(String(255))
    refund_reported_at: Mapped[datetime | None]

    lease: Mapped[int] = mapped_column(default=0)
    """Fencing token: grows with each taking and is never given twice."""
    lease_until: Mapped[datetime | None]
    begun_at: Mapped[datetime | None]
    """When the latest try began, by the database's clock: the try's own idea of now."""
    tries: Mapped[int] = mapped_column(default=0)
    abandoned: Mapped[int] = mapped_column(default=0)
    """Leases that ran out without a word: crashes, counted by our own id."""
    next_attempt_at: Mapped[datetime | None]
    """When the service acts next by itself; null when it will not."""
    rings: Mapped[int] = mapped_column(default=0)
    ring_after: Mapped[datetime | None]
    """The sweeper leaves the row alone until then: its message may merely be waiting."""
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey(Batch.id))
    turn_class: Mapped[int | None] = mapped_column(SmallInteger)
    """Set while it waits for a turn at the insurer (`shared.turns`): such rows are rung for one after the other."""
    turn: Mapped[int | None] = mapped_column(BigInteger)
    """Its place among those of its class."""
    callback_url: Mapped[str | None] = mapped_column(String(2048))
    """Where its caller is told of each change; frozen at acceptance."""

    traceparent: Mapped[str | None] = mapped_column(String(64))
    """The trace that its request belongs to (W3C Trace Context): one for all its steps, whoever runs them."""

    problem: Mapped[dict[str, Any] | None]
    erased_at: Mapped[datetime | None]
    """When its personal data was removed."""
    erasure_asked_at: Mapped[datetime | None]
    """Since when it is to be removed, once it has ended."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    updated_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("caller", "idempotency_key"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(one_of("next_step", STEPS), name="next_step"),
        CheckConstraint(
            "(status IN ('in_progress', 'awaiting_refund', 'awaiting_premium_refund')) = (next_attempt_at IS NOT NULL)",
            name="unfinished_has_next_attempt",
        ),
        Index(None, "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL"),
              sqlite_where=text("next_attempt_at IS NOT NULL")),
        Index(None, "status", "id"),
        Index(None, "booking_id", "id"),
        Index(None, "caller", "id"),
        Index("ix_cancellations_batch", "batch_id", "id", postgresql_where=IN_BATCH, sqlite_where=IN_BATCH),
        Index("ix_cancellations_not_erased", "updated_at", postgresql_where=ENDED_WITH_DATA,
              sqlite_where=ENDED_WITH_DATA),
        Index("ix_cancellations_with_problem", "id", postgresql_where=WITH_PROBLEM, sqlite_where=WITH_PROBLEM),
        Index("ix_cancellations_turns", "partner", "turn_class", "turn", postgresql_where=AWAITS_TURN,
              sqlite_where=AWAITS_TURN),
    )  # fmt: skip


class Reservation(Base):
    """A policy in hand: at most one cancellation holds it at a time."""

    __tablename__ = "reservations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    partner: Mapped[str] = mapped_column(String(64))
    booking_id: Mapped[str] = mapped_column(String(64))
    quote_id: Mapped[str] = mapped_column(String(64))
    cancellation_id: Mapped[UUID] = mapped_column(ForeignKey("cancellations.id"), index=True)
    held_since: Mapped[datetime] = mapped_column(default=now_plus(0))
    released_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "quote_id"),
        Index("uq_reservations_held", "partner", "booking_id", "quote_id", unique=True,
              postgresql_where=text("released_at IS NULL"), sqlite_where=text("released_at IS NULL")),
    )  # fmt: skip


class Call(Base):
    """An effect asked of the insurer, written before the request leaves."""

    __tablename__ = "calls"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    cancellation_id: Mapped[UUID] = mapped_column(ForeignKey("cancellations.id"))
    step: Mapped[str] = mapped_column(String(32))
    round: Mapped[int]
    key: Mapped[str] = mapped_column(String(64), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request body: the same key never goes out with another."""
    request: Mapped[dict[str, Any]]
    """The body as evidence, without secrets and personal data."""
    attempts: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str] = mapped_column(String(16))
    is_doubtful: Mapped[bool] = mapped_column(default=False)
    """Some attempt may have reached the insurer unanswered; never cleared but by reading back."""
    must_read_back: Mapped[bool] = mapped_column(default=False)
    first_sent_at: Mapped[datetime | None]
    last_sent_at: Mapped[datetime | None]
    absent_since: Mapped[datetime | None]
    """First complete reading that did not show the effect."""
    answer_status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None]

    __table_args__ = (
        UniqueConstraint("cancellation_id", "step", "round"),
        Index("ix_calls_unsettled", "last_sent_at", postgresql_where=UNSETTLED, sqlite_where=UNSETTLED),
        CheckConstraint(one_of("outcome", CALL_OUTCOMES), name="outcome"),
        CheckConstraint(one_of("step", STEPS), name="step"),
    )


class Claim(Base):
    """A claim of ours at XClaim, from the intent on."""

    __tablename__ = "claims"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    partner: Mapped[str] = mapped_column(String(64))
    cancellation_id: Mapped[UUID] = mapped_column(ForeignKey("cancellations.id"), index=True)
    booking_id: Mapped[str] = mapped_column(String(64), index=True)
    quote_id: Mapped[str] = mapped_column(String(64))
    claim_type_id: Mapped[str] = mapped_column(String(64))
    webhook_token: Mapped[str] = mapped_column(String(64), unique=True)
    claim_id: Mapped[str | None] = mapped_column(String(64))
    reference: Mapped[str | None] = mapped_column(String(64), index=True)
    status: Mapped[str | None] = mapped_column(Text)
    """XClaim's own category text."""
    status_name: Mapped[str | None] = mapped_column(Text)
    is_processed: Mapped[bool] = mapped_column(default=False)
    milestones: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Milestone to the time it was first reached, RFC 3339."""
    fetched_at: Mapped[datetime | None]
    """When the reading that is stored here was asked for; an older one never overwrites it."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    closed_at: Mapped[datetime | None]
    webhook_key_id: Mapped[str | None] = mapped_column(String(16))
    """Which configured key the key of its own address was derived from; null before 0002."""
    polls: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often XClaim was asked in vain since its last news: the next question waits longer."""
    next_poll_at: Mapped[datetime | None]
    """When XClaim is asked next without having sent anything; null: it gets its first wait at the next sweep."""
    missed: Mapped[int] = mapped_column(default=0, server_default="0")
    """Changes that were found by asking, before a webhook told of them."""

    __table_args__ = (
        UniqueConstraint("partner", "claim_id"),
        Index(None, "next_poll_at", postgresql_where=text("closed_at IS NULL"), sqlite_where=text("closed_at IS NULL")),
        Index("uq_claims_open", "partner", "booking_id", "quote_id", "claim_type_id", unique=True,
              postgresql_where=text("closed_at IS NULL"), sqlite_where=text("closed_at IS NULL")),
    )  # fmt: skip


class Transition(Base):
    """A change of status or step, or a wait, with who and why. Append-only."""

    __tablename__ = "transitions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    cancellation_id: Mapped[UUID] = mapped_column(ForeignKey("cancellations.id"))
    at: Mapped[datetime] = mapped_column(default=now_plus(0))
    event: Mapped[str] = mapped_column(String(32))
    from_status: Mapped[str | None] = mapped_column(String(32))
    to_status: Mapped[str] = mapped_column(String(32))
    from_step: Mapped[str | None] = mapped_column(String(32))
    to_step: Mapped[str | None] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)

    __table_args__ = (
        Index(None, "cancellation_id", "at"),
        Index("ix_transitions_counted", "at", postgresql_include=["event", "to_status"], postgresql_where=COUNTED,
              sqlite_where=COUNTED),
    )  # fmt: skip
