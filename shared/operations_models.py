"""The tables of those who run the service: what they did, what they have stopped, who is alive, what was checked."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Float, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.columns import Base, new_id, one_of
from shared.db import now_plus

KINDS = ("worker", "beat")
VERDICTS = ("ok", "refused", "unanswered")


class AuditEntry(Base):
    """One thing that a person did. Never changed and never removed: PostgreSQL refuses both."""

    __tablename__ = "audit_entries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(default=now_plus(0))
    actor: Mapped[str] = mapped_column(String(80))
    """`operator:` and the name of a token."""
    action: Mapped[str] = mapped_column(String(64))
    cancellation_id: Mapped[UUID | None]
    """No foreign key: it outlives what it was about."""
    note: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]]

    __table_args__ = (Index(None, "cancellation_id", "id"),)


class Pause(Base):
    """Steps that nobody begins for the time being; an empty partner or step means all of them."""

    __tablename__ = "pauses"

    partner: Mapped[str] = mapped_column(String(64), primary_key=True, default="")
    step: Mapped[str] = mapped_column(String(32), primary_key=True, default="")
    paused_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    paused_by: Mapped[str] = mapped_column(String(80))
    note: Mapped[str | None] = mapped_column(Text)


class ProcessSeen(Base):
    """When a process was last seen at work."""

    __tablename__ = "processes"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    first_seen_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    seen_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    details: Mapped[dict[str, Any]]

    __table_args__ = (CheckConstraint(one_of("kind", KINDS), name="kind"),)


class InsurerCheck(Base):
    """What came of the last harmless question to a service of a partner's insurer."""

    __tablename__ = "insurer_checks"

    partner: Mapped[str] = mapped_column(String(64), primary_key=True)
    service: Mapped[str] = mapped_column(String(16), primary_key=True)
    checked_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    verdict: Mapped[str] = mapped_column(String(16))
    said: Mapped[str] = mapped_column(Text)
    clock_lead: Mapped[float | None] = mapped_column(Float)
    """Seconds by which the insurer's clock is ahead of the database's."""

    __table_args__ = (CheckConstraint(one_of("verdict", VERDICTS), name="verdict"),)
