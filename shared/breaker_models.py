"""The table of breakers: which endpoints of an insurer do not answer."""

from datetime import datetime

from sqlalchemy import CheckConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.columns import Base
from shared.db import now_plus


class BreakerState(Base):
    """What is known of one service for one partner since it last failed; open while `opened_at` is set."""

    __tablename__ = "breakers"

    partner: Mapped[str] = mapped_column(String(64), primary_key=True)
    service: Mapped[str] = mapped_column(String(16), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    """Requests in a row that went unanswered, as far as any process knows."""
    failed_at: Mapped[datetime] = mapped_column(default=now_plus(0))
    last_error: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[datetime | None]
    probe_after: Mapped[datetime | None]
    """When one request may be sent to see whether it answers again."""

    __table_args__ = (
        CheckConstraint("(opened_at IS NULL) = (probe_after IS NULL)", name="open_has_next_probe"),
    )  # fmt: skip
