"""Removing personal data from what has ended, and keeping the trail of the money: who asked for what, which policies,
what was refunded, which keys went out and what became of them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from shared import audit, transitions
from shared.db import Transaction, now_plus
from shared.lifecycle import Status
from shared.models import Call, Cancellation, Claim, Transition
from shared.webhook_models import WebhookBody, WebhookDelivery

ENDED = (Status.COMPLETED, Status.REJECTED, Status.ABORTED, Status.CLOSED)
"""Statuses after which nothing of a request is needed any more, but for a person to see what was done."""
FIGURES = frozenset({"http_status", "total_refund", "currency", "reference", "status", "cancellation_id", "pages"})
"""What stays of an insurer's or a partner's answer."""
ERASED = "erased"
_UNSYNCHRONIZED = {"synchronize_session": False}


def erase(tx: Transaction, row: Cancellation, *, actor: str, reason: str) -> None:
    """Erase one that has ended and whose row the transaction has locked; raise ValueError for any other."""
    if row.status not in ENDED:
        raise ValueError(f"cancellation {row.id} is {row.status}: only what has ended can be erased")
    written = update(Cancellation).where(Cancellation.id == row.id)
    values = {
        "request": _without_people(row.request),
        "metadata_": {},
        "quotes": [{**quote, "reason_for_cancellation": None} for quote in row.quotes],
        "problem": _flat(row.problem) if row.problem else None,
        "erased_at": now_plus(0),
    }
    tx.session.execute(written.values({getattr(Cancellation, name): value for name, value in values.items()}))
    _erase_calls(tx, row.id)
    _erase_timeline(tx, row.id)
    _erase_webhooks(tx, row.id)
    transitions.note(tx, row, ERASED, actor=actor, reason=reason, details={})
    if actor.startswith("operator:"):
        audit.record(tx, "erase", actor=actor, cancellation_id=row.id, note=reason)
    tx.log("cancellation_erased", cancellation_id=str(row.id), by=actor)


def ask_for_erasure(tx: Transaction, row: Cancellation, *, actor: str, reason: str) -> None:
    """Have a locked row erased as soon as it has ended; its claim needs what the customer said until then."""
    tx.session.execute(
        update(Cancellation)
        .where(Cancellation.id == row.id)
        .values(erasure_asked_at=func.coalesce(Cancellation.erasure_asked_at, now_plus(0))),
        execution_options=_UNSYNCHRONIZED,
    )
    transitions.note(tx, row, "erasure_asked", actor=actor, reason=reason, details={})
    audit.record(tx, "ask_for_erasure", actor=actor, cancellation_id=row.id, note=reason)


def _erase_calls(tx: Transaction, cancellation_id: UUID) -> None:
    for call in tx.session.scalars(select(Call).where(Call.cancellation_id == cancellation_id)):
        call.request = _without_people(call.request)
        call.answer = {name: value for name, value in call.answer.items() if name in FIGURES} if call.answer else None


def _erase_timeline(tx: Transaction, cancellation_id: UUID) -> None:
    """Keep each line's words, which are ours, and of its evidence what is no document of somebody else's."""
    for line in tx.session.scalars(select(Transition).where(Transition.cancellation_id == cancellation_id)):
        if line.details:
            line.details = _flat(line.details)


def _erase_webhooks(tx: Transaction, cancellation_id: UUID) -> None:
    """Empty the bodies of the handled webhooks about its claims; their digests go on telling repeats apart."""
    claims = select(Claim.id).where(Claim.cancellation_id == cancellation_id)
    bodies = select(WebhookDelivery.body_id).where(
        WebhookDelivery.claim_id.in_(claims), WebhookDelivery.handled_at.is_not(None)
    )
    erase_bodies(tx, list(tx.session.scalars(bodies)))


def erase_bodies(tx: Transaction, body_ids: list[UUID]) -> None:
    """Empty webhook bodies."""
    emptied = update(WebhookBody).where(WebhookBody.id.in_(body_ids), WebhookBody.erased_at.is_(None))
    tx.session.execute(emptied.values(raw=b"", erased_at=now_plus(0)), execution_options=_UNSYNCHRONIZED)


def _without_people(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request without what a customer or an agent wrote in it."""
    kept = dict(asked)
    if isinstance(kept.get("quotes"), list):
        kept["quotes"] = [
            {name: value for name, value in quote.items() if name != "reason_for_cancellation"}
            if isinstance(quote, dict)
            else quote
            for quote in kept["quotes"]
        ]
    if isinstance(kept.get("claim"), dict):
        kept["claim"] = {**kept["claim"], "section_fields": []}
    if "section_fields" in kept:
        kept["section_fields"] = []
    return kept


def _flat(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if not isinstance(value, dict | list)}


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What became of a booking's cancellations, or would: those erased, under way, and erased before."""

    erased: int = 0
    when_ended: int = 0
    before: int = 0


def erase_booking(
    tx: Transaction, booking_id: str, *, partner: str, actor: str, note: str | None, is_dry: bool
) -> Erasure:
    """Erase all of a booking's cancellations that have ended, and have the others erased when they have.

    A booking has few. Rows are locked in the order of their ids, as everybody locks several.
    """
    of_booking = select(Cancellation).where(
        Cancellation.booking_id.in_({booking_id, booking_id.upper(), booking_id.lower()}),
        Cancellation.partner == partner,
    )
    rows = tx.session.scalars(of_booking.order_by(Cancellation.id).with_for_update()).all()
    reason = note or "asked for by the person it is about"
    found = Counter("before" if row.erased_at else "erased" if row.status in ENDED else "when_ended" for row in rows)
    for row in rows:
        if is_dry or row.erased_at is not None:
            continue
        if row.status in ENDED:
            erase(tx, row, actor=actor, reason=reason)
        elif row.erasure_asked_at is None:
            ask_for_erasure(tx, row, actor=actor, reason=reason)
    return Erasure(**found)
