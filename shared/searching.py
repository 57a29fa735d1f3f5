"""Finding cancellations by what somebody has at hand: an id, a booking, a key, a policy, a claim. Exact, by index."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from shared.models import Cancellation, Claim, Reservation

MOST = 200
"""Cancellations found in one way at most, the newest: a booking has few."""


def matching(session: Session, text: str, *, caller: str | None) -> set[UUID]:
    """Return the ids of cancellations that this text names; only one caller's unless `caller` is None.

    The text may be a cancellation's id, a booking's (in capitals or small letters), an idempotency key, the id of a
    policy in hand now or before, or a claim's reference or id.
    """
    return {row_id for found in _ways(session, text, caller) for row_id in session.scalars(found.limit(MOST))}


def _ways(session: Session, text: str, caller: str | None) -> Iterator[Select[Any]]:
    spellings = {text, text.upper(), text.lower()}
    by_age = select(Cancellation.id).order_by(Cancellation.id.desc())
    row_id = _as_uuid(text)
    if row_id is not None:
        yield select(Cancellation.id).where(Cancellation.id == row_id)
    yield by_age.where(Cancellation.booking_id.in_(spellings))
    yield select(Cancellation.id).where(has_key(session, text, caller=caller))
    yield select(Reservation.cancellation_id).where(Reservation.quote_id.in_(spellings))
    yield select(Claim.cancellation_id).where(Claim.reference.in_(spellings))
    partners = _distinct(session, Claim.partner)
    yield select(Claim.cancellation_id).where(Claim.partner.in_(partners), Claim.claim_id.in_(spellings))


def has_key(session: Session, key: str, *, caller: str | None) -> Any:
    """Return the condition of an idempotency key; one that the unique index serves, whoever's key it is."""
    callers = _distinct(session, Cancellation.caller) if caller is None else [caller]
    return Cancellation.caller.in_(callers) & (Cancellation.idempotency_key == key)


def _distinct(session: Session, column: Any) -> Sequence[str]:
    """Return the few values of an indexed column by jumping from one to the next, however many rows there are."""
    found = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.value).scalar_subquery()
    found = found.union_all(select(following).where(found.c.value.is_not(None)))
    return session.scalars(select(found.c.value).where(found.c.value.is_not(None))).all()


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
