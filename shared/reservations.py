"""One holder per policy: reserving and freeing."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select, text, update

from shared.columns import new_id
from shared.db import Transaction, insert_or_ignore, now_plus
from shared.models import Cancellation, Reservation


def reserve(tx: Transaction, holder: Cancellation, quote_ids: Collection[str]) -> tuple[str, UUID] | None:
    """Reserve every policy for a cancellation, or none: then return the policy in hand and who holds it."""
    for quote_id in sorted(quote_ids):  # one order for everyone, so that two holders cannot wait for each other
        other = take(tx, holder, quote_id)
        if other is not None:
            release_all(tx, holder.id)
            return quote_id, other
    return None


def take(tx: Transaction, holder: Cancellation, quote_id: str) -> UUID | None:
    """Reserve one policy; return who else holds it, or None once `holder` does."""
    values = {
        "id": new_id(),
        "partner": holder.partner,
        "booking_id": holder.booking_id,
        "quote_id": quote_id,
        "cancellation_id": holder.id,
        "held_since": now_plus(0),
    }
    key = ("partner", "booking_id", "quote_id")
    while not insert_or_ignore(tx.session, Reservation, values, conflict=key, where=text("released_at IS NULL")):
        other = _holder(tx, holder, quote_id)
        if other is not None:
            return None if other == holder.id else other
        # Freed between the two statements: it is there to be taken.
    return None


def release_all(tx: Transaction, cancellation_id: UUID) -> None:
    """Free every policy a cancellation holds."""
    _release(tx, Reservation.cancellation_id == cancellation_id)


def release(tx: Transaction, cancellation_id: UUID, quote_id: str) -> None:
    """Free one policy."""
    _release(tx, Reservation.cancellation_id == cancellation_id, Reservation.quote_id == quote_id)


def _release(tx: Transaction, *which: object) -> None:
    held = update(Reservation).where(Reservation.released_at.is_(None), *which)  # type: ignore[arg-type]
    tx.session.execute(held.values(released_at=now_plus(0)), execution_options={"synchronize_session": False})


def _holder(tx: Transaction, wanted_by: Cancellation, quote_id: str) -> UUID | None:
    return tx.session.scalar(
        select(Reservation.cancellation_id).where(
            Reservation.partner == wanted_by.partner,
            Reservation.booking_id == wanted_by.booking_id,
            Reservation.quote_id == quote_id,
            Reservation.released_at.is_(None),
        )
    )
