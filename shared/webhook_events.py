"""Verified webhooks: recorded before they are answered, handled afterwards, each delivery on its own."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Update, func, or_, select, update

from shared.cancellations import LEASE_SECONDS
from shared.columns import new_id
from shared.db import Transaction, insert_or_ignore, now_plus
from shared.lifecycle import TaskName
from shared.transitions import MESSAGE_PATIENCE
from shared.webhook_models import WebhookBody, WebhookDelivery


def record(
    tx: Transaction,
    raw: bytes,
    *,
    source: str,
    token: str | None,
    key_id: str,
    headers: Mapping[str, Any],
    booking_id: str | None = None,
) -> tuple[UUID, bool]:
    """Store a verified body and this delivery of it; return (delivery id, body is new)."""
    digest = hashlib.sha256(raw).hexdigest()
    body = {"id": new_id(), "source": source, "digest": digest, "raw": raw, "received_at": now_plus(0)}
    created = insert_or_ignore(tx.session, WebhookBody, body, conflict=("digest",))
    body_id = body["id"] if created else tx.session.scalar(select(WebhookBody.id).where(WebhookBody.digest == digest))
    delivery = WebhookDelivery(
        id=new_id(),
        body_id=body_id,
        token=token,
        key_id=key_id,
        booking_id=booking_id,
        headers=dict(headers),
        ring_after=now_plus(MESSAGE_PATIENCE),
    )
    tx.session.add(delivery)
    tx.enqueue(TaskName.HANDLE_WEBHOOK, delivery.id)
    return delivery.id, created


def begin_handling(tx: Transaction, delivery_id: UUID) -> tuple[WebhookDelivery, bytes] | None:
    """Take a due delivery and return it with its raw body; None when it is handled, not due or in other hands."""
    due = (
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == delivery_id,
            WebhookDelivery.next_attempt_at <= now_plus(0),
            or_(WebhookDelivery.lease_until.is_(None), WebhookDelivery.lease_until < now_plus(0)),
        )
        .values(lease_until=now_plus(LEASE_SECONDS), tries=WebhookDelivery.tries + 1, rings=0, ring_after=None)
        .returning(WebhookDelivery)
    )
    delivery = tx.session.scalars(due, execution_options={"populate_existing": True}).first()
    if delivery is None:
        return None
    raw = tx.session.scalar(select(WebhookBody.raw).where(WebhookBody.id == delivery.body_id))
    return delivery, raw or b""


def renew_handling(tx: Transaction, delivery: WebhookDelivery) -> bool:
    """Keep a delivery while XClaim is asked; return False when it is no longer ours."""
    renewed = _ours(delivery).where(WebhookDelivery.lease_until.is_not(None))
    renewed = renewed.values(lease_until=now_plus(LEASE_SECONDS))
    return tx.session.scalar(renewed.returning(WebhookDelivery.id)) is not None


def note_applied(tx: Transaction, delivery: WebhookDelivery) -> None:
    """Write that a delivery has changed something, before it is handled to the end: a later try finds nothing new."""
    tx.session.execute(_ours(delivery).values(outcome="applied"))


def mark_handled(
    tx: Transaction, delivery: WebhookDelivery, verdict: str, *, outcome: str, claim_row_id: UUID | None = None
) -> None:
    """Write that nothing more is to be done about a delivery, and what came of it in words and in one word.

    `outcome` is one of `webhook_models.OUTCOMES`: `applied` when something changed, `unchanged` when all was known,
    `ignored` when it is about no claim of ours, `kept` when it was given up for the time being.
    """
    values: dict[str, Any] = {"handled_at": now_plus(0), "next_attempt_at": None, "lease_until": None}
    # What an earlier try changed counts, unless the last one has given up.
    values["outcome"] = outcome if outcome == "kept" else func.coalesce(WebhookDelivery.outcome, outcome)
    values |= {"verdict": verdict} | ({} if claim_row_id is None else {"claim_id": claim_row_id})
    tx.session.execute(_ours(delivery).values(**values))


def postpone(
    tx: Transaction,
    delivery: WebhookDelivery,
    verdict: str,
    *,
    seconds: float,
    claim_row_id: UUID | None = None,
    counts: bool = True,
) -> None:
    """Handle it again later; a wait that is nobody's fault does not count as a try."""
    values: dict[str, Any] = {"next_attempt_at": now_plus(seconds), "lease_until": None, "ring_after": None}
    values |= {} if counts else {"tries": WebhookDelivery.tries - 1}
    values |= {"verdict": verdict} | ({} if claim_row_id is None else {"claim_id": claim_row_id})
    tx.session.execute(_ours(delivery).values(**values))


def _ours(delivery: WebhookDelivery) -> Update:
    """Write only what nobody else has begun or ended since: the tries tell them apart, counted anew in each replay."""
    return update(WebhookDelivery).where(
        WebhookDelivery.id == delivery.id,
        WebhookDelivery.tries == delivery.tries,
        WebhookDelivery.replays == delivery.replays,
        WebhookDelivery.handled_at.is_(None),
    )
