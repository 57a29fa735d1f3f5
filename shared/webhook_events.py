"""Verified webhooks: recorded before they are answered, handled afterwards, each delivery on its own."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Update, or_, select, update

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


def mark_handled(tx: Transaction, delivery: WebhookDelivery, verdict: str, *, claim_row_id: UUID | None = None) -> None:
    """Write that nothing more is to be done about a delivery, and what came of it."""
    values: dict[str, Any] = {"handled_at": now_plus(0), "next_attempt_at": None, "lease_until": None}
    values |= {"verdict": verdict, "claim_id": claim_row_id}
    tx.session.execute(_ours(delivery).values(**values))


def postpone(tx: Transaction, delivery: WebhookDelivery, verdict: str, *, seconds: float) -> None:
    """Handle it again later."""
    values = {
        "next_attempt_at": now_plus(seconds),
        "lease_until": None,
        "verdict": verdict,
        "ring_after": None,
    }
    tx.session.execute(_ours(delivery).values(**values))


def _ours(delivery: WebhookDelivery) -> Update:
    """Write only what nobody else has begun or ended since: the number of tries tells them apart."""
    return update(WebhookDelivery).where(
        WebhookDelivery.id == delivery.id,
        WebhookDelivery.tries == delivery.tries,
        WebhookDelivery.handled_at.is_(None),
    )
