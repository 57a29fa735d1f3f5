"""claim: submit it once, then wait until XClaim shows it as processed.

XClaim documents no idempotency keys, so a request whose answer is lost is never repeated blindly: the claims of the
booking are read until the claim is found, or proven absent.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import calls, cancellations, claims, milestones
from shared.cancellations import begin_step, finish_step
from shared.clock import utc_now
from shared.db import Transaction
from shared.lifecycle import Step, TaskName
from shared.models import Call, Cancellation, Claim
from shared.xclaim import claims as xclaim
from shared.xclaim import wire
from shared.xclaim.signature import derive_key
from workers import settling
from workers.app import app
from workers.attempt import keeping
from workers.runtime import runtime

SLOWEST_POLL = 60.0
"""Seconds between looks at a claim that is still being processed; the webhook rings earlier."""


@app.task(name=TaskName.CLAIM)
def submit(cancellation_id: str) -> None:
    """Submit the claim, settle it, or look whether it has been processed."""
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.CLAIM)
        if held is None:
            return
        claim = claims.open_claim(tx, held, claim_type_id=held.request["claim"]["claim_type_id"])
        if claim is None:
            detail = "Another cancellation has an open claim of this type for this policy."
            cancellations.park(tx, held, "claim-duplicated", detail)
            return
        call = calls.latest(tx.session, held.id, Step.CLAIM)
        is_named = bool(claim.claim_id or claim.reference)  # by an answer, a reading or a webhook
        reads_back = not is_named and calls.is_unsettled(call)
        if call is None or not (is_named or reads_back):
            call = _intend(tx, held, call)
    if is_named:
        with keeping(held, Step.CLAIM):
            _fetch(held, claim)
    elif reads_back:
        with keeping(held, Step.CLAIM):
            _read_back(held, claim, call)
    else:
        with keeping(held, Step.CLAIM, call):
            _create(held, claim, call)


def _intend(tx: Transaction, held: Cancellation, call: Call | None) -> Call:
    """Write the intent to claim; the evidence leaves out the fields, which can hold personal data."""
    asked = {"booking_id": held.booking_id, "quote_id": held.claim_quote_id, **held.request["claim"]}
    evidence = {name: value for name, value in asked.items() if name != "section_fields"}
    number = (
        call.round if call is not None and calls.is_open(call) else calls.next_round(tx.session, held.id, Step.CLAIM)
    )
    cancellations.pass_point_of_no_return(tx, held)
    return calls.intend(tx, held, Step.CLAIM, round_number=number, body=asked, evidence=evidence)


def _create(held: Cancellation, claim: Claim, call: Call) -> None:
    terms, settings = held.request["claim"], runtime().settings
    key = derive_key(settings.xclaim_webhook_keys[0].get_secret_value(), claim.webhook_token)
    body = wire.claim_request(
        claim_type_id=claim.claim_type_id,
        booking_id=claim.booking_id,
        quote_id=claim.quote_id,
        language=terms["language"],
        section_fields=terms["section_fields"],
        webhook_url=f"{str(settings.public_url).rstrip('/')}/webhooks/xclaim/{claim.webhook_token}",
        webhook_key=key,
    )
    asked_at = utc_now()
    answer = runtime().xclaim.create_claim(body, idempotency_key=call.key)
    with runtime().database.transaction() as tx:
        calls.record(tx, call, "done", status=answer.status, answer=answer.evidence)
        _take(tx, held, claim, answer.value, asked_at=asked_at, evidence=answer.evidence)


def _fetch(held: Cancellation, claim: Claim) -> None:
    asked_at = utc_now()
    answer = runtime().xclaim.get_claim(reference=claim.reference, claim_id=claim.claim_id)
    with runtime().database.transaction() as tx:
        _mark_found(tx, held)
        _take(tx, held, claim, answer.value, asked_at=asked_at, evidence=answer.evidence)


def _take(
    tx: Transaction,
    held: Cancellation,
    claim: Claim,
    said: xclaim.Claim,
    *,
    asked_at: datetime,
    evidence: Mapping[str, Any],
) -> None:
    """Store what XClaim says of our claim, and finish the step once it is processed."""
    details = {"answer": dict(evidence)}
    row, _ = claims.apply_answer(tx, claim.id, said, asked_at=asked_at, mapping=runtime().settings.claim_milestones)
    if said.failure_reason:
        detail = f"XClaim could not process claim {row.reference}: {said.failure_reason}."
        cancellations.park(tx, held, "claim-failed", detail, evidence=details)
    elif not row.is_processed:
        cancellations.postpone(
            tx,
            held,
            "XClaim is processing the claim",
            seconds=_poll_wait(tx, held),
            counts=False,
            details=details,
        )
    elif milestones.CLAIM_CLOSED_UNPAID in row.milestones and Step.CONFIRM not in held.done_steps:
        detail = f"Claim {row.reference} is {row.status}; the policy has not been cancelled."
        cancellations.park(tx, held, "claim-closed-unpaid", detail, evidence=details)
    else:
        finish_step(tx, held, Step.CLAIM, f"claim {row.reference} is {row.status}", details=details)


def _poll_wait(tx: Transaction, held: Cancellation) -> float:
    """Look again after a quarter of the time it has taken so far."""
    call = calls.latest(tx.session, held.id, Step.CLAIM)
    if call is None or call.last_sent_at is None or held.begun_at is None:
        return 1.0
    return min(max((held.begun_at - call.last_sent_at).total_seconds() / 4, 1.0), SLOWEST_POLL)


def _mark_found(tx: Transaction, held: Cancellation) -> None:
    call = calls.latest(tx.session, held.id, Step.CLAIM)
    if call is not None and calls.is_unsettled(call):
        calls.record(tx, call, "done", is_doubtful=False, must_read_back=False)


def _read_back(held: Cancellation, claim: Claim, call: Call) -> None:
    """Settle a claim whose creation went unanswered by what the booking's claims show."""
    asked_at = utc_now()
    read = runtime().xclaim.list_claims(held.booking_id)
    listed = [_with_policy(entry) for entry in read.value.claims]
    ours, others = settling.ours_among(
        listed,
        quote_id=claim.quote_id,
        claim_type_id=claim.claim_type_id,
        intended_at=call.first_sent_at or asked_at,
    )
    evidence = {"answer": dict(read.evidence), "is_complete": read.value.is_complete}
    if not ours and not others and read.value.is_complete and _was_absent_before(call):
        eligible = runtime().xclaim.eligibility(held.booking_id, claim.quote_id).value.is_eligible
    else:
        eligible = None
    with runtime().database.transaction() as tx:
        if len(ours) == 1 and not others:
            calls.record(tx, call, "done", is_doubtful=False, must_read_back=False)
            _take(tx, held, claim, ours[0], asked_at=asked_at, evidence=evidence)
        elif ours or others:
            detail = (
                f"XClaim shows {len(ours) + len(others)} claims for this policy; it cannot be told which is this one's."
            )
            cancellations.park(tx, held, "claim-duplicated", detail, evidence=evidence)
        elif not read.value.is_complete:
            detail = "XClaim's list of claims may be incomplete, so the claim cannot be proven absent."
            cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)
        else:
            _absent(tx, held, call, evidence, eligible=eligible)


def _absent(
    tx: Transaction, held: Cancellation, call: Call, evidence: dict[str, Any], *, eligible: bool | None
) -> None:
    """Send again only after two complete readings without it, ten minutes apart, and a policy that is not used."""
    apart = runtime().settings.read_back_after.total_seconds()
    calls.note_absent(tx, call)
    wait = max(
        calls.seconds_until_older(tx.session, call, seconds=apart, since=moment)
        for moment in ("absent_since", "last_sent_at")
    )
    if wait > 0:
        cancellations.postpone(
            tx, held, "no such claim yet; read again later", seconds=wait, counts=False, details=evidence
        )
    elif eligible:
        calls.settle_not_done(tx, call)
        cancellations.postpone(tx, held, "proven not submitted; submitted anew", seconds=0, details=evidence)
    elif eligible is None:
        cancellations.postpone(
            tx, held, "no such claim; asking whether the policy is used", seconds=0, details=evidence
        )
    else:
        detail = "No claim is listed, yet XClaim's eligibility check says that the policy cannot be claimed."
        cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)


def _was_absent_before(call: Call) -> bool:
    return call.absent_since is not None


def _with_policy(entry: xclaim.Claim) -> xclaim.Claim:
    """Fetch a listed claim that does not name its policy: the list does not always."""
    if entry.quote_id is not None:
        return entry
    fetched = runtime().xclaim.get_claim(reference=entry.reference, claim_id=entry.id).value
    return replace(entry, quote_id=fetched.quote_id)
