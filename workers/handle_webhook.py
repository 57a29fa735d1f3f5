"""A verified webhook → its claim → milestones → the journey that waits for it.

An event is a hint: what counts is what XClaim says when asked. Only milestones are taken from the event itself, since
a reading may show no more than a category.
"""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select

from shared import cancellations, claims, milestones, transitions, webhook_events
from shared.db import AWAY, Transaction, now_plus
from shared.insurer.answers import Answer
from shared.insurer.errors import InsurerError, NotFound, Refused
from shared.lifecycle import Status, Step, TaskName
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from shared.xclaim import claims as xclaim
from shared.xclaim import wire
from workers.app import app
from workers.attempt import renewing
from workers.retries import backoff
from workers.runtime import ClaimsSwitchedOff, runtime

LAST_TRY = 12
"""With growing waits about half an hour: then an event that could not be handled is kept with what came of it."""
SECOND_CLAIM = "second_claim"
"""The line in the timeline that keeps a person from being told of the same claim twice."""

log = structlog.get_logger()


@app.task(name=TaskName.HANDLE_WEBHOOK)
def handle(delivery_id: str) -> None:
    """Bring the claim that an event is about up to date; harmless when run twice."""
    with runtime().database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, UUID(delivery_id))
    if taken is None:
        return
    delivery, raw = taken
    try:
        with renewing(partial(webhook_events.renew_handling, delivery=delivery), of=delivery.id):
            _handle(delivery, raw)
    except AWAY:
        raise  # nothing can be written now; the sweeper rings when the delivery's lease has run out
    except InsurerError as error:
        _put_off(delivery, f"{error}; asked again")
    except Exception as error:
        _put_off(delivery, f"failed with {type(error).__name__}; tried again")
        raise


def _handle(delivery: WebhookDelivery, raw: bytes) -> None:
    event = wire.parse_event(raw)
    with runtime().database.transaction() as tx:
        partner = runtime().settings.xcover_partner_code
        claim = claims.find_for_event(tx.session, partner=partner, token=delivery.token, event=event)
        if claim is None:
            _put_off_in(tx, delivery, "no claim of ours matches yet", at_last="kept: no claim of ours matches")
            return
        is_another = claims.contradicts(event, claim)
        # What a verified event says counts at once, even while XClaim cannot be asked.
        is_ours = not is_another and (delivery.token is not None or claims.names(event, claim))
        if is_ours:
            _take_event(tx, claim, event)
        asked_at = tx.session.scalars(select(now_plus(0))).one()
    if is_another:
        _look_at_another(delivery, claim, event)
        return
    answer = _ask(claim.reference or event.reference, claim.claim_id or event.claim_id)
    with runtime().database.transaction() as tx:
        if answer is not None:
            verdict = _take_answer(tx, claim, event, answer, asked_at=asked_at)
        elif is_ours:
            verdict = f"{_take_event(tx, claim, event, sets_status=True).status} as the event says"
        else:
            verdict = "ignored: XClaim does not show the claim, and the event does not name ours"
        webhook_events.mark_handled(tx, delivery, verdict, claim_row_id=claim.id)
        tx.log("webhook_handled", delivery_id=str(delivery.id), claim=claim.reference, verdict=verdict)


def _look_at_another(delivery: WebhookDelivery, claim: Claim, event: xclaim.ClaimEvent) -> None:
    """Tell a person when the address we gave for one claim gets the events of another for the same policy.

    Only a request of ours names that address: it arrived twice, the second time after it was proven not to have.
    """
    answer = _ask(event.reference, event.claim_id) if delivery.token is not None else None
    with runtime().database.transaction() as tx:
        verdict = "ignored: it names another claim or booking than its address"
        if answer is not None and claims.is_second(tx.session, answer.value, claim):
            other = answer.value.reference or answer.value.id
            verdict = f"XClaim has a second claim for this policy, {other}"
            _stop_for_second(tx, claim, str(other), dict(answer.evidence))
        webhook_events.mark_handled(tx, delivery, verdict, claim_row_id=claim.id)


def _stop_for_second(tx: Transaction, claim: Claim, other: str, evidence: dict[str, Any]) -> None:
    row = transitions.lock(tx, claim.cancellation_id)
    if row is None or row.status == Status.CLOSED or transitions.is_noted(tx.session, row.id, SECOND_CLAIM, other):
        return
    detail = f"XClaim has a second claim for this policy, {other}, besides {claim.reference or claim.claim_id}."
    transitions.note(tx, row, SECOND_CLAIM, actor="xclaim", reason=detail, details={"about": other})
    cancellations.park(tx, row, "claim-duplicated", detail, actor="xclaim", takes_over=True, evidence=evidence)


def _ask(reference: str | None, claim_id: str | None) -> Answer[xclaim.Claim] | None:
    """Return what XClaim says now, or None where it will not show the claim."""
    if not reference and not claim_id:
        return None
    try:
        return runtime().xclaim.get_claim(reference=reference, claim_id=claim_id)
    except (NotFound, ClaimsSwitchedOff):
        return None
    except Refused as error:
        log.warning(
            "claim_not_shown", claim=reference or claim_id, error=str(error), next="the event itself is applied"
        )
        return None


def _take_event(tx: Transaction, claim: Claim, event: xclaim.ClaimEvent, *, sets_status: bool = False) -> Claim:
    mapping = runtime().settings.claim_milestones
    row, reached = claims.apply_event(tx, claim.id, event, sets_status=sets_status, mapping=mapping)
    _tell_journey(tx, row, event, reached)
    return row


def _take_answer(
    tx: Transaction, claim: Claim, event: xclaim.ClaimEvent, answer: Answer[xclaim.Claim], *, asked_at: datetime
) -> str:
    mapping = runtime().settings.claim_milestones
    try:
        row, reached = claims.apply_answer(
            tx, claim.id, answer.value, asked_at=asked_at, insurer_time=answer.insurer_time, mapping=mapping
        )
    except claims.NotOurClaim as error:
        return f"ignored: {error}"
    _tell_journey(tx, row, event, reached)
    if claims.names(event, row):
        row = _take_event(tx, claim, event)
    return f"{row.status} as XClaim says; milestones: {', '.join(row.milestones) or 'none'}"


def _tell_journey(tx: Transaction, claim: Claim, event: xclaim.ClaimEvent, reached: tuple[str, ...]) -> None:
    """Wake the cancellation that waits for this claim, or stop it when the claim was closed before the confirm."""
    row = transitions.lock(tx, claim.cancellation_id)
    if row is None:
        raise LookupError(f"claim {claim.id} belongs to no cancellation; the foreign key should forbid it")
    if reached:
        transitions.note(
            tx,
            row,
            "claim_milestone",
            actor="xclaim",
            reason=f"claim {claim.reference}: {', '.join(reached)}",
            details={"milestones": list(reached), "event": event.event, "status": claim.status},
        )
    if not claims.is_current(tx.session, claim):
        return  # an operator has had the policy claimed anew: this one decides nothing any more
    is_named = bool(claim.claim_id or claim.reference)
    if row.status == Status.IN_PROGRESS and row.next_step == Step.CLAIM and row.lease_until is None and is_named:
        cancellations.hurry(tx, row, f"XClaim sent {event.event}")
    elif row.status == Status.AWAITING_PREMIUM_REFUND and reached:
        cancellations.hurry(tx, row, f"claim {claim.reference}: {', '.join(reached)}")
    elif (
        milestones.CLAIM_CLOSED_UNPAID in reached
        and row.status == Status.AWAITING_REFUND
        and Step.CLAIM in row.done_steps
    ):
        detail = f"Claim {claim.reference} is {claim.status}; the policy has not been cancelled."
        cancellations.park(tx, row, "claim-closed-unpaid", detail, actor="xclaim", takes_over=True)


def _put_off(delivery: WebhookDelivery, verdict: str) -> None:
    with runtime().database.transaction() as tx:
        _put_off_in(tx, delivery, verdict, at_last=f"kept: {verdict}")


def _put_off_in(tx: Transaction, delivery: WebhookDelivery, verdict: str, *, at_last: str) -> None:
    if delivery.tries >= LAST_TRY:
        webhook_events.mark_handled(tx, delivery, at_last)
        tx.log("webhook_kept", delivery_id=str(delivery.id), verdict=at_last)
        return
    webhook_events.postpone(tx, delivery, verdict, seconds=backoff(delivery.tries, jitter=0.0))
