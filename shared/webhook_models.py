"""The tables of what comes in by webhook. A cancellation's own are in `shared.models`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.columns import Base, new_id, one_of
from shared.db import now_plus

OUTCOMES = ("applied", "unchanged", "ignored", "kept")


class WebhookBody(Base):
    """A distinct verified webhook body; repeats add a delivery, not a body."""

    __tablename__ = "webhook_bodies"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    source: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    erased_at: Mapped[datetime | None]
    """When `raw` was emptied; its digest goes on telling repeats apart."""

    __table_args__ = (
        Index("ix_webhook_bodies_not_erased", "received_at", postgresql_where=text("erased_at IS NULL"),
              sqlite_where=text("erased_at IS NULL")),
    )  # fmt: skip


class WebhookDelivery(Base):
    """One arrival of a verified body; the unit that is handled."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    body_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_bodies.id"), index=True)
    token: Mapped[str | None] = mapped_column(String(64))
    """The path's token; null on the bare path."""
    key_number: Mapped[int | None]
    """No longer written, and dropped once no release that writes it can still run: its numbers shift in a rotation."""
    key_id: Mapped[str | None] = mapped_column(String(16))
    """Which configured key verified it."""
    booking_id: Mapped[str | None] = mapped_column(String(64))
    """XCover's hints: the booking to look at."""
    headers: Mapped[dict[str, Any]]
    received_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    claim_id: Mapped[UUID | None] = mapped_column(ForeignKey("claims.id"), index=True)
    lease_until: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=now_plus(0))
    """When it is handled next; null once it is."""
    rings: Mapped[int] = mapped_column(default=0)
    ring_after: Mapped[datetime | None]
    handled_at: Mapped[datetime | None]
    verdict: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(String(16))
    """The verdict in a word. Null until it is handled or has changed something, and in what 0001 handled."""
    replays: Mapped[int] = mapped_column(default=0, server_default="0")
    replayed_at: Mapped[datetime | None]
    replayed_by: Mapped[str | None] = mapped_column(String(80))

    __table_args__ = (
        CheckConstraint(one_of("outcome", OUTCOMES), name="outcome"),
        CheckConstraint("(handled_at IS NULL) = (next_attempt_at IS NOT NULL)", name="unhandled_has_next_attempt"),
        Index(None, "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL"),
              sqlite_where=text("next_attempt_at IS NOT NULL")),
        Index("ix_webhook_deliveries_hints", "booking_id",
              postgresql_where=text("booking_id IS NOT NULL AND next_attempt_at IS NOT NULL"),
              sqlite_where=text("booking_id IS NOT NULL AND next_attempt_at IS NOT NULL")),
    )  # fmt: skip


class WebhookTally(Base):
    """How many webhooks came in an hour, and what became of them: the only trace of those that were not verified."""

    __tablename__ = "webhook_tallies"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(16), primary_key=True)
    verdict: Mapped[str] = mapped_column(String(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    """Which configured key verified them; empty where none did."""
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]
    sample: Mapped[dict[str, Any] | None]
    """One of them, without secrets and without its body."""


class BookingReading(Base):
    """When a webhook last made us read a booking: XCover does not sign bodies, so anybody's hint costs at most this."""

    __tablename__ = "booking_readings"

    partner: Mapped[str] = mapped_column(String(64), primary_key=True)
    booking_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    asked_at: Mapped[datetime] = mapped_column(default=now_plus(0))
