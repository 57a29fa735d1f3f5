"""What people did, one entry for each press: append-only, in the transaction of the deed itself."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db import Transaction
from shared.operations_models import AuditEntry


def record(
    tx: Transaction,
    action: str,
    *,
    actor: str,
    cancellation_id: UUID | None = None,
    note: str | None = None,
    **details: Any,
) -> None:
    """Write down that a person did something; `details` are plain JSON without personal data."""
    entry = AuditEntry(action=action, actor=actor, cancellation_id=cancellation_id, note=note, details=details)
    tx.session.add(entry)


def entries(
    session: Session, *, limit: int, cancellation_id: UUID | None = None, before: UUID | None = None
) -> Sequence[AuditEntry]:
    """Return the newest entries, or those older than `before`; of one cancellation where one is named."""
    found = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if cancellation_id is not None:
        found = found.where(AuditEntry.cancellation_id == cancellation_id)
    if before is not None:
        found = found.where(AuditEntry.id < before)
    return session.scalars(found).all()
