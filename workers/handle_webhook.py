"""A verified webhook → its claim → milestones → the journey that waits for it.

An event is a hint: what counts is what XClaim says when asked. Only milestones are taken from the event itself, since
a reading may show no more than a category.
"""

from datetime import datetime
from uuid import UUID

import structlog

from shared import cancellations, claims, milestones, webhook_events
from shared.clock import utc_now
from shared.db import Transaction
from shared.insurer.errors import InsurerError, NotFound, Refused
from shared.lifecycle import Step, TaskName
from shared.models import Claim, WebhookDelivery
from shared.xclaim import claims as xclaim
from shared.xclaim import wire
from workers.app import app
from workers.retries import backoff
from workers.runtime import runtime

PARKED_TRIES = 12
"""An event whose claim we do not know is looked at again with growing waits, about half an hour in all, then kept."""

log = structlog.get_logger()


@app.task(name=TaskName.HANDLE_WEBHOOK)
def handle(delivery_id: str) -> None:
    """Bring the claim that an event is about up to date; harmless when run twice."""
    with runtime().database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, UUID(delivery_id))
        if taken is None:
            return
        delivery, raw = taken
        event = wire.parse_event(raw)
        partner = runtime().settings.xcover_partner_code
        claim = claims.find_for_event(tx.session, partner=partner, token=delivery.token, event=event)
        if claim is None:
            _park_unknown(tx, delivery)
            return
        if claim.claim_id and event.claim_id and claim.claim_id != event.claim_id:
            webhook_events.mark_handled(
                tx, delivery, "ignored: it names another claim than its address", claim_row_id=claim.id
            )
            return
    asked_at = utc_now()
    try:
        said = _ask(claim, event)
    except InsurerError as error:
        with runtime().database.transaction() as tx:
            wait = backoff(delivery.tries, jitter=0.5)
            webhook_events.postpone(tx, delivery, f"{error}; asked again", seconds=wait)
        return
    with runtime().database.transaction() as tx:
        verdict = _apply(tx, claim, event, said, asked_at=asked_at)
        webhook_events.mark_handled(tx, delivery, verdict, claim_row_id=claim.id)
    log.info("webhook_handled", delivery_id=delivery_id, claim=claim.reference, verdict=verdict)


def _ask(claim: Claim, event: xclaim.ClaimEvent) -> xclaim.Claim | None:
    """Return what XClaim says now, or None where it will not show the claim."""
    reference, claim_id = claim.reference or event.reference, claim.claim_id or event.claim_id
    if not reference and not claim_id:
        return None
    try:
        return runtime().xclaim.get_claim(reference=reference, claim_id=claim_id).value
    except NotFound:
        return None
    except Refused as error:
        log.warning(
            "claim_not_shown",
            claim=reference or claim_id,
            error=str(error),
            next="the event itself is applied",
        )
        return None


def _apply(
    tx: Transaction, claim: Claim, event: xclaim.ClaimEvent, said: xclaim.Claim | None, *, asked_at: datetime
) -> str:
    mapping = runtime().settings.claim_milestones
    fetched: tuple[str, ...] = ()
    if said is not None:
        try:
            _, fetched = claims.apply_answer(tx, claim.id, said, asked_at=asked_at, mapping=mapping)
        except claims.NotOurClaim as error:
            return f"ignored: {error}"
    row, latched = claims.apply_event(tx, claim.id, event, sets_status=said is None, mapping=mapping)
    reached = [*fetched, *latched]
    _tell_journey(tx, row, event, reached)
    source = "as XClaim says" if said is not None else "as the event says"
    return f"{row.status} {source}" + (f"; reached {', '.join(reached)}" if reached else "")


def _tell_journey(tx: Transaction, claim: Claim, event: xclaim.ClaimEvent, reached: list[str]) -> None:
    """Wake the cancellation that waits for this claim, or stop it when the claim was closed before the confirm."""
    row = cancellations.lock(tx, claim.cancellation_id)
    if row is None:
        raise LookupError(f"claim {claim.id} belongs to no cancellation; the foreign key should forbid it")
    if reached:
        cancellations.note(
            tx, row, "claim_milestone", actor="xclaim", reason=f"claim {claim.reference}: {', '.join(reached)}",
            details={"milestones": reached, "event": event.event, "status": claim.status},
        )  # fmt: skip
    if row.status == "in_progress" and row.next_step == Step.CLAIM and row.lease_until is None:
        cancellations.hurry(tx, row, f"XClaim sent {event.event}")
    elif milestones.CLAIM_CLOSED_UNPAID in reached and row.status == "awaiting_refund" and Step.CLAIM in row.done_steps:
        detail = f"Claim {claim.reference} is {claim.status}; the policy has not been cancelled."
        cancellations.park(tx, row, "claim-closed-unpaid", detail, actor="xclaim", takes_over=True)


def _park_unknown(tx: Transaction, delivery: WebhookDelivery) -> None:
    if delivery.tries >= PARKED_TRIES:
        webhook_events.mark_handled(tx, delivery, "kept: no claim of ours matches")
        return
    webhook_events.postpone(tx, delivery, "no claim of ours matches yet", seconds=backoff(delivery.tries, jitter=0.0))
