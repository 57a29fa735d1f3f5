"""The table of batches: cancellations handed over together, and paused, resumed and called off together."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared.columns import Base, new_id, one_of
from shared.db import now_plus

BATCH_STATUSES = ("open", "paused", "called_off")


class Batch(Base):
    """One batch. What became of its cancellations is in their own rows."""

    __tablename__ = "batches"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    partner: Mapped[str] = mapped_column(String(64))
    caller: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request that opened it."""
    name: Mapped[str] = mapped_column(String(255))
    """What people call it: a file's name, an event's."""
    expected: Mapped[int | None]
    """How many cancellations its sender means to hand over."""
    status: Mapped[str] = mapped_column(String(16), default="open")
    created_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    updated_at: Mapped[datetime] = mapped_column(default=now_plus(0))

    __table_args__ = (
        UniqueConstraint("caller", "idempotency_key"),
        CheckConstraint(one_of("status", BATCH_STATUSES), name="status"),
        Index(None, "caller", "id"),
    )
