"""The tables of what upstream systems are told by callback: the messages, and how the endpoints fare."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.columns import Base, new_id
from shared.db import now_plus

IS_NEXT = text("next_attempt_at IS NOT NULL")


class Callback(Base):
    """One message, written with the change that it tells. It is pending until it is delivered or given up."""

    __tablename__ = "callbacks"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    """Sent as `webhook-id`: the same at every try."""
    cancellation_id: Mapped[UUID] = mapped_column(ForeignKey("cancellations.id"))
    sequence: Mapped[int]
    """Its place among those of its cancellation, from 1: they are sent in this order."""
    type: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    tries: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    """When it is sent next; null when it is not pending, and while one before it is."""
    lease_until: Mapped[datetime | None]
    rings: Mapped[int] = mapped_column(default=0)
    ring_after: Mapped[datetime | None]
    """The sweeper leaves the row alone until then: its message may merely be waiting."""
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        UniqueConstraint("cancellation_id", "sequence"),
        CheckConstraint("delivered_at IS NULL OR given_up_at IS NULL", name="one_ending"),
        CheckConstraint("next_attempt_at IS NULL OR (delivered_at IS NULL AND given_up_at IS NULL)",
                        name="next_is_pending"),
        Index(None, "next_attempt_at", postgresql_where=IS_NEXT, sqlite_where=IS_NEXT),
        Index("uq_callbacks_next", "cancellation_id", unique=True, postgresql_where=IS_NEXT, sqlite_where=IS_NEXT),
    )  # fmt: skip


class CallbackEndpoint(Base):
    """How an address that a caller is told at has fared; there is no row before the first try."""

    __tablename__ = "callback_endpoints"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    caller: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(300))
    """Scheme, host and port."""
    failing_since: Mapped[datetime | None]
    """When the first try failed after which none has succeeded."""
    probed_until: Mapped[datetime | None]
    """While it fails, one message at a time is tried: nobody else begins a try before this."""
    disabled_at: Mapped[datetime | None]
    """Nothing is sent there any more, until somebody replays."""
    last_success_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("caller", "origin"),)
