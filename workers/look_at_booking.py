"""XCover's hint → what the booking shows → the cancellations that it is news for.

The hint itself is never believed: it is not signed. What may follow from a reading is that a try comes sooner, that
a person looks before money moves twice, or a line in the timeline; nothing is confirmed or finished here.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy.orm import Session

from shared import booking_hints, calls, cancellations, transitions, webhook_events
from shared.db import Transaction
from shared.insurer.answers import Answer
from shared.insurer.errors import NotFound
from shared.lifecycle import Status, Step
from shared.models import Cancellation
from shared.webhook_models import WebhookDelivery
from shared.xcover.bookings import Booking
from workers.runtime import partner_of, runtime

BOOKING_CHANGED = "booking_changed"
"""The line in the timeline that keeps the same change from being told twice."""
IN_HAND_WAIT = 30.0
"""Seconds: longer than a call to the insurer may take (20 s), so that one under way has ended by itself."""
ACTOR = "xcover"
_DEEDS = (Step.CONFIRM, Step.CANCEL)


def look(delivery: WebhookDelivery) -> None:
    """Read the hint's booking if that is news for anyone and nobody has within a minute, and act on what it shows.

    Raises InsurerError when the booking cannot be read; the delivery is then the caller's to put off.
    """
    partners, booking_id = runtime().settings.partner_codes, delivery.booking_id or ""
    with runtime().database.transaction() as tx:
        rows = booking_hints.concerned(tx.session, partners=partners, booking_id=booking_id)
        if not rows:
            _end(tx, delivery, "nothing of this booking is under way", outcome="ignored")
            return
        if all(_is_cancelling(row) for row in rows):  # what the hint tells of is most likely what it is about to do
            webhook_events.postpone(tx, delivery, "a worker is cancelling it; looked at later", seconds=IN_HAND_WAIT)
            return
        wait = booking_hints.seconds_until_readable(tx, partner=rows[0].partner, booking_id=booking_id)
        if wait > 0:
            webhook_events.postpone(tx, delivery, "the booking was read just before; read again later", seconds=wait)
            return
    try:
        answer = partner_of(rows[0]).xcover.get_booking(rows[0].booking_id)
    except NotFound:
        answer = None
    with runtime().database.transaction() as tx:
        if answer is None:
            _end(tx, delivery, "XCover does not show the booking", outcome="ignored")
            return
        told = [said for row in rows if (said := _tell(tx, row, answer)) is not None]
        _end(tx, delivery, "; ".join(told) or "no news for us", outcome="applied" if told else "unchanged")


def _end(tx: Transaction, delivery: WebhookDelivery, verdict: str, *, outcome: str) -> None:
    webhook_events.mark_handled(tx, delivery, verdict, outcome=outcome)
    tx.log("booking_hint_handled", delivery_id=str(delivery.id), verdict=verdict, outcome=outcome)


def _is_cancelling(row: Cancellation) -> bool:
    return row.next_step in _DEEDS and row.lease_until is not None


def _tell(tx: Transaction, seen: Cancellation, answer: Answer[Booking]) -> str | None:
    """Let a cancellation know what its booking shows; return what that did, None when nothing."""
    row = transitions.lock(tx, seen.id)
    if row is None or not booking_hints.is_open_to_news(row):
        return None
    gone = _cancelled_policies(row, answer.value)
    if not gone or _is_cancelling(row):
        return None
    if row.next_step in _DEEDS and calls.is_unsettled(calls.latest(tx.session, row.id, Step(row.next_step))):
        cancellations.hurry(tx, row, "XCover sent a webhook, and its booking shows a cancellation")
        return f"cancellation {row.id} is hurried"
    if row.next_step == Step.REFUND and (row.status == Status.AWAITING_REFUND or row.lease_until is None):
        _stop_before_refund(tx, row, gone, dict(answer.evidence))
        return f"cancellation {row.id} needs a person"
    return _note(tx, row, gone)


def _cancelled_policies(row: Cancellation, booking: Booking) -> list[str]:
    """Return those of its policies that the booking shows as cancelled."""
    ours = {quote["id"] for quote in row.quotes} | {row.claim_quote_id}
    gone = [policy for policy in booking.policies if policy.cancelled_at is not None or policy.status == "CANCELLED"]
    return [policy.id for policy in gone if policy.id in ours]


def _stop_before_refund(tx: Transaction, row: Cancellation, gone: Collection[str], evidence: dict[str, Any]) -> None:
    """Keep the customer from being refunded twice: whoever cancelled the policy may have paid."""
    named = ", ".join(gone)
    if _has_confirmed(tx.session, row):
        slug = "outcome-unsettled"
        detail = f"The booking shows {named} as cancelled, although our confirm had been proven not done."
    else:
        slug = "cancelled-by-someone-else"
        detail = f"The booking shows {named} as cancelled, and no confirm of ours was ever sent. Do not refund it yet."
    evidence = {"answer": evidence, "cancelled": list(gone)}
    cancellations.park(tx, row, slug, detail, actor=ACTOR, takes_over=True, evidence=evidence)


def _has_confirmed(session: Session, row: Cancellation) -> bool:
    call = calls.latest(session, row.id, Step.CONFIRM)
    return call is not None and (call.round > 1 or call.outcome != "not_sent" or call.is_doubtful)


def _note(tx: Transaction, row: Cancellation, gone: Collection[str]) -> str | None:
    """Tell in the timeline, once, what the step that is next will find."""
    about = ", ".join(sorted(gone))
    if transitions.is_noted(tx.session, row.id, BOOKING_CHANGED, about):
        return None
    reason = f"the booking shows {about} as cancelled"
    transitions.note(tx, row, BOOKING_CHANGED, actor=ACTOR, reason=reason, details={"about": about})
    return f"cancellation {row.id} has a line about it"
