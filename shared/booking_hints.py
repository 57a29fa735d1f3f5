"""XCover's hints that something happened to a booking: kept once for each booking, and read at most once a minute.

Nobody signs what a hint says. So nothing of it but the booking's name is used, and a forged one costs at most this.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared import webhook_events
from shared.db import Database, Transaction, now_plus
from shared.lifecycle import UNFINISHED, Step
from shared.models import Cancellation
from shared.webhook_models import BookingReading, WebhookDelivery
from shared.xcover.webhooks import BookingHint

SOURCE = "xcover"
READ_EVERY = 60.0
"""Seconds between two readings of one booking that hints lead to, however many hints come and workers run."""


class Recorded(StrEnum):
    """What became of a hint."""

    STORED = "stored"
    REPEAT = "repeat"
    """One for the same booking waits already: the reading it leads to is later than this hint."""
    UNKNOWN_BOOKING = "unknown_booking"


def record(
    database: Database, hint: BookingHint, *, partners: Sequence[str], key_id: str, headers: Mapping[str, Any]
) -> Recorded:
    """Store a hint about a booking of one of these partners, unless one waits already.

    Raises `shared.db.AWAY` as the database does.
    """
    named = _spelled(hint.booking_id)
    with database.reading() as session:  # most hints of a flood end here, without a write
        partner = _partner_of(session, partners, named)
        if partner is None:
            return Recorded.UNKNOWN_BOOKING
        if _one_waits(session, named):
            return Recorded.REPEAT
    with database.transaction() as tx:
        _take_turns(tx, partner, named)
        if _one_waits(tx.session, named):
            return Recorded.REPEAT
        kept = BookingHint(event=hint.event, booking_id=named).as_bytes()
        webhook_events.record(tx, kept, source=SOURCE, token=None, key_id=key_id, headers=headers, booking_id=named)
    return Recorded.STORED


def concerned(session: Session, *, partners: Sequence[str], booking_id: str) -> Sequence[Cancellation]:
    """Return the cancellations for which a change of the booking is news, oldest first.

    They are under way, have looked the booking up, and have not cancelled anything of it yet. A booking is one
    partner's.
    """
    found = session.scalars(
        select(Cancellation)
        .where(
            Cancellation.booking_id.in_(_spellings(booking_id)),
            Cancellation.partner.in_(partners),
            Cancellation.status.in_(UNFINISHED),
        )
        .order_by(Cancellation.id)
    )
    return [row for row in found if is_open_to_news(row)]


def is_open_to_news(row: Cancellation) -> bool:
    """Tell whether a change of its booking is news for a cancellation."""
    done = set(row.done_steps)
    return row.status in UNFINISHED and Step.LOOK_UP in done and not done & {Step.CONFIRM, Step.CANCEL}


def seconds_until_readable(tx: Transaction, *, partner: str, booking_id: str) -> float:
    """Take the right to read the booking now and return zero, or return how long until somebody may.

    One statement decides between all workers.
    """
    taken = _insert(tx, partner, booking_id, asked_at=now_plus(0)).on_conflict_do_update(
        index_elements=_KEY,
        set_={"asked_at": now_plus(0)},
        where=BookingReading.asked_at <= now_plus(-READ_EVERY),
    )
    if tx.session.scalar(taken.returning(BookingReading.booking_id)) is not None:
        return 0.0
    of_it = BookingReading.partner == partner, BookingReading.booking_id == _spelled(booking_id)
    asked_at, now = tx.session.execute(select(BookingReading.asked_at, now_plus(0)).where(*of_it)).one()
    return max(1.0, READ_EVERY - float((now - asked_at).total_seconds()))


_KEY = ("partner", "booking_id")


def _spelled(booking_id: str) -> str:
    """Return the one spelling under which hints and readings of a booking are kept: XCover takes any case."""
    return booking_id.upper()


def _spellings(booking_id: str) -> tuple[str, str]:
    """Return how a request may have spelled it. Any other mixture gets no news by hints, only by its own steps."""
    return booking_id.upper(), booking_id.lower()


def _partner_of(session: Session, partners: Sequence[str], booking_id: str) -> str | None:
    """Return which of these partners asked for the booking's cancellation, if any did."""
    of_it = Cancellation.booking_id.in_(_spellings(booking_id)), Cancellation.partner.in_(partners)
    return session.scalar(select(Cancellation.partner).where(*of_it).limit(1))


def _one_waits(session: Session, booking_id: str) -> bool:
    """Tell whether a hint waits in no one's hands: one in hand may have read the booking before this hint came."""
    waiting = select(WebhookDelivery.id).where(
        WebhookDelivery.booking_id == booking_id,
        WebhookDelivery.next_attempt_at.is_not(None),
        WebhookDelivery.lease_until.is_(None),
    )
    return session.scalar(waiting.limit(1)) is not None


def _take_turns(tx: Transaction, partner: str, booking_id: str) -> None:
    """Let hints that come at once look one after the other, each at what the one before has stored."""
    free = now_plus(-READ_EVERY)  # a row made here takes nobody's right to read
    nothing = {"booking_id": _spelled(booking_id)}
    turn = _insert(tx, partner, booking_id, asked_at=free)
    tx.session.execute(turn.on_conflict_do_update(index_elements=_KEY, set_=nothing))


def _insert(tx: Transaction, partner: str, booking_id: str, *, asked_at: Any) -> Any:
    insert = sqlite.insert if tx.session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(BookingReading).values(partner=partner, booking_id=_spelled(booking_id), asked_at=asked_at)
