"""Finding stored webhooks and showing them: the list's query, its pages, and one webhook with its body."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from shared.models import Claim
from shared.redaction import redact
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.webhook_selection import WAITING, Selection, page, source_of
from shared.xclaim.wire import NotAClaimEvent, parse_event
from webhook_gateway import paging
from webhook_gateway.resources import time, time_or_none
from webhook_gateway.webhook_resources import WebhookItem, WebhookList, WebhookResource

LONGEST_READ = 16 * 1024
"""Bytes. A list reads no longer body for its event's name: a page of the longest would be 50 MB."""
MOST_COUNTED = 10_000
"""Deliveries of one body that are counted."""


class ListQuery(Selection):
    """The list's query parameters; none is required."""

    limit: paging.Limit = 50
    cursor: paging.Cursor = None


def listed(session: Session, query: ListQuery, *, partners: Sequence[str]) -> WebhookList:
    """Return one page, newest first."""
    found = page(session, query, partners=partners, limit=query.limit, before=before(query.cursor))
    return WebhookList(items=items(session, found.ids), next_cursor=cursor(found.before))


def before(sent: str | None) -> UUID | None:
    """Return the webhook that a cursor stands for."""
    return None if sent is None else paging.id_at(sent)


def cursor(last: UUID | None) -> str | None:
    """Return the cursor of a page that ends here."""
    return None if last is None else paging.cursor_at(last)


def items(session: Session, ids: Sequence[UUID]) -> list[WebhookItem]:
    """Return these webhooks in this order."""
    found = {row.id: row for row in session.scalars(select(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))}
    events = _events(session, {row.body_id for row in found.values()})
    claims = _Claims(session, found.values())
    return [
        WebhookItem(**_shown(found[row_id], events.get(found[row_id].body_id), claims.of(found[row_id])))
        for row_id in ids
        if row_id in found
    ]


def one(session: Session, webhook_id: UUID) -> WebhookResource | None:
    """Return one webhook with its body, or None when there is no such webhook."""
    row = session.get(WebhookDelivery, webhook_id)
    if row is None:
        return None
    body = session.get_one(WebhookBody, row.body_id)
    repeats = select(WebhookDelivery.id).where(WebhookDelivery.body_id == body.id).limit(MOST_COUNTED)
    return WebhookResource(
        **_shown(row, _event(body.raw), _Claims(session, [row]).of(row)),
        replayed_at=time_or_none(row.replayed_at),
        replayed_by=row.replayed_by,
        headers=_object(row.headers),
        digest=body.digest,
        deliveries=session.scalar(select(func.count()).select_from(repeats.subquery())),
        body=_readable(body.raw),
    )


class _Claims:
    """The claims of some deliveries: what waits on a claim's own address is that claim's already."""

    def __init__(self, session: Session, deliveries: Iterable[WebhookDelivery]) -> None:
        rows = list(deliveries)
        ids = {row.claim_id for row in rows if row.claim_id is not None}
        tokens = {row.token for row in rows if row.token is not None and row.claim_id is None}
        self._by_id: dict[UUID, Claim] = {}
        self._by_token: dict[str, Claim] = {}
        if not ids and not tokens:
            return
        for claim in session.scalars(select(Claim).where(or_(Claim.id.in_(ids), Claim.webhook_token.in_(tokens)))):
            self._by_id[claim.id] = self._by_token[claim.webhook_token] = claim

    def of(self, delivery: WebhookDelivery) -> Claim | None:
        if delivery.claim_id is not None:
            return self._by_id.get(delivery.claim_id)
        return self._by_token.get(delivery.token or "") if delivery.handled_at is None else None


def _shown(row: WebhookDelivery, event: str | None, claim: Claim | None) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "source": source_of(row),
        "received_at": time(row.received_at),
        "event": event,
        "claim": (claim.reference or claim.claim_id) if claim else None,
        "cancellation_id": str(claim.cancellation_id) if claim else None,
        "booking_id": claim.booking_id if claim else row.booking_id,
        "key_id": row.key_id,
        "outcome": row.outcome if row.handled_at else WAITING,
        "verdict": row.verdict,
        "handled_at": time_or_none(row.handled_at),
        "tries": row.tries,
        "next_attempt_at": time_or_none(row.next_attempt_at),
        "replays": row.replays,
    }


def _events(session: Session, body_ids: Iterable[UUID]) -> dict[UUID, str | None]:
    """Return the name of each body's event; repeats of one body are read once."""
    short = case((func.length(WebhookBody.raw) <= LONGEST_READ, WebhookBody.raw))
    found = session.execute(select(WebhookBody.id, short).where(WebhookBody.id.in_(set(body_ids))))
    return {body_id: _event(raw) for body_id, raw in found if raw is not None}


def _event(raw: bytes) -> str | None:
    try:
        return parse_event(raw).event
    except NotAClaimEvent:  # it was one when it was stored; an older release may have read it otherwise
        return None


def _readable(raw: bytes) -> object:
    try:
        return redact(json.loads(raw))
    except (ValueError, RecursionError):
        return None


def _object(headers: dict[str, Any]) -> dict[str, Any]:
    redacted = redact(headers)
    return redacted if isinstance(redacted, dict) else {}
