"""A verified webhook → its claim → what XClaim says of it → what came of the delivery.

An event is a hint: what counts is what XClaim says when asked. Only milestones are taken from the event itself, since
a reading may show no more than a category.
"""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select

from shared import cancellations, claims, log_context, transitions, webhook_events
from shared.db import AWAY, Transaction, now_plus
from shared.insurer.answers import Answer
from shared.insurer.errors import HeldBack, InsurerError, NotFound, Refused, Throttled
from shared.lifecycle import Status, TaskName
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from shared.xclaim import claims as xclaim
from shared.xclaim import wire
from workers import claim_news, look_at_booking
from workers.app import app
from workers.attempt import renewing
from workers.partners import SwitchedOff
from workers.retries import backoff
from workers.runtime import partner_of, runtime

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
        _ask_again(delivery, error)
    except Exception as error:
        _put_off(delivery, f"failed with {type(error).__name__}; tried again")
        raise


def _handle(delivery: WebhookDelivery, raw: bytes) -> None:
    if delivery.booking_id is not None:
        look_at_booking.look(delivery)
        return
    if not raw:  # removed by retention, and replayed since
        with runtime().database.transaction() as tx:
            webhook_events.mark_handled(tx, delivery, "kept: its body was removed", outcome="kept")
        return
    event = wire.parse_event(raw)
    with runtime().database.transaction() as tx:
        partners = runtime().settings.signing_with(delivery.key_id)
        claim = claims.find_for_event(
            tx.session, partners=partners, token=delivery.token, event=event, key_id=delivery.key_id
        )
        if claim is None:
            _put_off_in(tx, delivery, "no claim of ours matches yet", at_last="kept: no claim of ours matches")
            return
        log_context.bind(cancellation_id=str(claim.cancellation_id))
        is_another = claims.contradicts(event, claim)
        # What a verified event says counts at once, even while XClaim cannot be asked.
        is_ours = not is_another and (delivery.token is not None or claims.names(event, claim))
        if is_ours and claim_news.take_event(tx, claim, event).has_effect:
            webhook_events.note_applied(tx, delivery)
        asked_at = tx.session.scalars(select(now_plus(0))).one()
    try:
        if is_another:
            _look_at_another(delivery, claim, event)
        else:
            _ask_and_take(delivery, claim, event, is_ours=is_ours, asked_at=asked_at)
    except InsurerError as error:
        _ask_again(delivery, error, claim_row_id=claim.id)


def _ask_and_take(
    delivery: WebhookDelivery, claim: Claim, event: xclaim.ClaimEvent, *, is_ours: bool, asked_at: datetime
) -> None:
    """Take what XClaim says of the claim now; what the event says where XClaim does not show it."""
    answer = _ask(claim, claim.reference or event.reference, claim.claim_id or event.claim_id)
    with runtime().database.transaction() as tx:
        if answer is not None:
            verdict, outcome = _take_answer(tx, claim, event, answer, is_taken=is_ours, asked_at=asked_at)
        elif is_ours:
            taken = claim_news.take_event(tx, claim, event, sets_status=True)
            verdict = f"{taken.claim.status} as the event says"
            outcome = "applied" if taken.has_effect else "unchanged"
        else:
            verdict, outcome = "ignored: XClaim does not show the claim, and the event does not name ours", "ignored"
        webhook_events.mark_handled(tx, delivery, verdict, outcome=outcome, claim_row_id=claim.id)
        tx.log("webhook_handled", delivery_id=str(delivery.id), claim=claim.reference, outcome=outcome, verdict=verdict)


def _look_at_another(delivery: WebhookDelivery, claim: Claim, event: xclaim.ClaimEvent) -> None:
    """Tell a person when the address we gave for one claim gets the events of another for the same policy.

    Only a request of ours names that address: it arrived twice, the second time after it was proven not to have.
    """
    answer = _ask(claim, event.reference, event.claim_id) if delivery.token is not None else None
    with runtime().database.transaction() as tx:
        verdict, outcome = "ignored: it names another claim or booking than its address", "ignored"
        if answer is not None and claims.is_second(tx.session, answer.value, claim):
            other = answer.value.reference or answer.value.id
            verdict = f"XClaim has a second claim for this policy, {other}"
            is_told = _stop_for_second(tx, claim, str(other), dict(answer.evidence))
            outcome = "applied" if is_told else "unchanged"
        webhook_events.mark_handled(tx, delivery, verdict, outcome=outcome, claim_row_id=claim.id)


def _stop_for_second(tx: Transaction, claim: Claim, other: str, evidence: dict[str, Any]) -> bool:
    """Return whether it was not told before."""
    row = transitions.lock(tx, claim.cancellation_id)
    if row is None or row.status == Status.CLOSED or transitions.is_noted(tx.session, row.id, SECOND_CLAIM, other):
        return False
    detail = f"XClaim has a second claim for this policy, {other}, besides {claim.reference or claim.claim_id}."
    transitions.note(tx, row, SECOND_CLAIM, actor="xclaim", reason=detail, details={"about": other})
    cancellations.park(tx, row, "claim-duplicated", detail, actor="xclaim", takes_over=True, evidence=evidence)
    return True


def _ask(claim: Claim, reference: str | None, claim_id: str | None) -> Answer[xclaim.Claim] | None:
    """Return what XClaim says now to the claim's partner, or None where it will not show what is asked for."""
    if not reference and not claim_id:
        return None
    try:
        return partner_of(claim).xclaim.get_claim(reference=reference, claim_id=claim_id)
    except (NotFound, SwitchedOff):
        return None
    except Refused as error:
        log.warning(
            "claim_not_shown", claim=reference or claim_id, error=error.in_brief, next="the event itself is applied"
        )
        return None


def _take_answer(
    tx: Transaction,
    claim: Claim,
    event: xclaim.ClaimEvent,
    answer: Answer[xclaim.Claim],
    *,
    is_taken: bool,
    asked_at: datetime,
) -> tuple[str, str]:
    """Return the verdict, and the outcome in one word; `is_taken` says that the event itself was applied before."""
    try:
        taken = claim_news.take_answer(tx, claim, answer, asked_at=asked_at, event=event)
    except claims.NotOurClaim as error:
        return f"ignored: {error}", "ignored"
    row, has_effect = taken.claim, taken.has_effect
    if not is_taken and claims.names(event, row):  # the answer has just told that it does
        has_effect = claim_news.take_event(tx, claim, event).has_effect or has_effect
    reached = ", ".join(row.milestones) or "none"
    return f"{row.status} as XClaim says; milestones: {reached}", "applied" if has_effect else "unchanged"


def _ask_again(delivery: WebhookDelivery, error: InsurerError, *, claim_row_id: UUID | None = None) -> None:
    """Ask later; waiting for a turn, or for an insurer that answers nobody, is no failed try."""
    verdict = f"{error}; asked again"
    if not isinstance(error, HeldBack | Throttled) and not _answers_nobody(error):
        _put_off(delivery, verdict, claim_row_id=claim_row_id)
        return
    seconds = max(error.retry_after or 0.0, 1.0)
    with runtime().database.transaction() as tx:
        webhook_events.postpone(tx, delivery, verdict, seconds=seconds, claim_row_id=claim_row_id, counts=False)


def _answers_nobody(error: InsurerError) -> bool:
    return any(runtime().partner(code).answers_nobody(error) for code in runtime().settings.partner_codes)


def _put_off(delivery: WebhookDelivery, verdict: str, *, claim_row_id: UUID | None = None) -> None:
    with runtime().database.transaction() as tx:
        _put_off_in(tx, delivery, verdict, at_last=f"kept: {verdict}", claim_row_id=claim_row_id)


def _put_off_in(
    tx: Transaction, delivery: WebhookDelivery, verdict: str, *, at_last: str, claim_row_id: UUID | None = None
) -> None:
    if delivery.tries >= LAST_TRY:
        webhook_events.mark_handled(tx, delivery, at_last, outcome="kept", claim_row_id=claim_row_id)
        tx.log("webhook_kept", delivery_id=str(delivery.id), verdict=at_last)
        return
    seconds = backoff(delivery.tries, jitter=0.0)
    webhook_events.postpone(tx, delivery, verdict, seconds=seconds, claim_row_id=claim_row_id)
