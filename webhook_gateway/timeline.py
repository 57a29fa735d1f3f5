"""A cancellation's story: its transitions, its calls to the insurer and its claim's webhooks, in order of time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from shared.models import Call, Claim, Transition
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.xclaim.wire import NotAClaimEvent, parse_event
from webhook_gateway.resources import CallShown, Timeline, TransitionShown, WebhookShown, time, time_or_none

_Entry = tuple[datetime, UUID, TransitionShown | CallShown | WebhookShown]


def of(session: Session, cancellation_id: UUID) -> Timeline:
    """Return everything that is known to have happened, oldest first."""
    entries = [
        *_transitions(session, cancellation_id),
        *_calls(session, cancellation_id),
        *_webhooks(session, cancellation_id),
    ]
    # Ids are ordered by time too: they order what one transaction wrote at one moment.
    return Timeline(items=[entry for _, _, entry in sorted(entries, key=lambda entry: entry[:2])])


def _transitions(session: Session, cancellation_id: UUID) -> Iterator[_Entry]:
    for row in session.scalars(select(Transition).where(Transition.cancellation_id == cancellation_id)):
        entry = TransitionShown(
            at=time(row.at),
            event=row.event,
            from_status=row.from_status,
            to_status=row.to_status,
            from_step=row.from_step,
            to_step=row.to_step,
            actor=row.actor,
            reason=row.reason,
            details=row.details,
        )
        yield row.at, row.id, entry


def _calls(session: Session, cancellation_id: UUID) -> Iterator[_Entry]:
    for row in session.scalars(select(Call).where(Call.cancellation_id == cancellation_id)):
        at = row.first_sent_at
        if at is None:  # no request was meant to leave
            continue
        entry = CallShown(
            at=time(at),
            step=row.step,
            round=row.round,
            key=row.key,
            attempts=row.attempts,
            outcome=row.outcome,
            is_doubtful=row.is_doubtful,
            first_sent_at=time_or_none(row.first_sent_at),
            last_sent_at=time_or_none(row.last_sent_at),
            request=row.request,
            answer_status=row.answer_status,
            answer=row.answer,
        )
        yield at, row.id, entry


def _webhooks(session: Session, cancellation_id: UUID) -> Iterator[_Entry]:
    claims: Sequence[Claim] = session.scalars(select(Claim).where(Claim.cancellation_id == cancellation_id)).all()
    if not claims:
        return
    # A delivery on a claim's own address is this claim's before anyone has handled it; then it names the claim itself.
    is_waiting = WebhookDelivery.next_attempt_at.is_not(None)
    ours = or_(
        WebhookDelivery.claim_id.in_([claim.id for claim in claims]),
        and_(is_waiting, WebhookDelivery.token.in_([claim.webhook_token for claim in claims])),
    )
    found = (
        select(WebhookDelivery, WebhookBody).join(WebhookBody, WebhookBody.id == WebhookDelivery.body_id).where(ours)
    )
    for delivery, body in session.execute(found):
        yield delivery.received_at, delivery.id, _webhook(delivery, body)


def _webhook(delivery: WebhookDelivery, body: WebhookBody) -> WebhookShown:
    try:
        event = parse_event(body.raw)
    except NotAClaimEvent:  # it was one when it was stored; an older release may have read it otherwise
        event = None
    return WebhookShown(
        at=time(delivery.received_at),
        event=event.event if event else None,
        category=event.category if event else None,
        status_name=event.status_name if event else None,
        digest=body.digest,
        handled_at=time_or_none(delivery.handled_at),
        verdict=delivery.verdict,
    )
