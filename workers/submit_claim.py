"""claim: submit it once, then wait until XClaim shows it as processed.

XClaim documents no idempotency keys, so a request whose answer is lost is never repeated blindly: the claims of the
booking are read until the claim is found, or proven absent.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from shared import calls, cancellations, claims, milestones
from shared.cancellations import begin_step, finish_step
from shared.clock import utc_now
from shared.db import Transaction, clock_lead
from shared.insurer.answers import Answer
from shared.lifecycle import Step, TaskName
from shared.models import Call, Cancellation, Claim
from shared.xclaim import claims as xclaim
from shared.xclaim import wire
from shared.xclaim.signature import derive_key, key_id
from workers import claim_news, settling
from workers.app import app
from workers.attempt import keeping, one_try, stop_if_lost
from workers.runtime import partner_of, runtime

MAX_CREATES = 3
"""Requests for one claim, each after proof that the one before left none."""
SLOWEST_POLL = 60.0
"""Seconds between looks at a claim that is still being processed; the webhook rings earlier."""


@app.task(name=TaskName.CLAIM)
@one_try(Step.CLAIM)
def submit(cancellation_id: str) -> None:
    """Submit the claim, settle it, or look whether it has been processed."""
    with runtime().database.transaction() as tx:
        claims.lock_of_cancellation(tx, UUID(cancellation_id))  # before the cancellation's row, as everyone locks
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
        # Answered and yet nameless: the answer was about another claim, so ours must be looked for, never made again.
        was_answered = call is not None and call.outcome == "done"
        reads_back = not is_named and (was_answered or calls.is_unsettled(call))
        if call is None or not (is_named or reads_back):
            call = _intend(tx, held, call)
            claims.note_webhook_key(tx, claim, key_id(_webhook_key(held)))
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
    terms, settings = held.request["claim"], partner_of(held).settings
    body = wire.claim_request(
        claim_type_id=claim.claim_type_id,
        booking_id=claim.booking_id,
        quote_id=claim.quote_id,
        language=terms["language"],
        section_fields=terms["section_fields"],
        webhook_url=f"{str(settings.public_url).rstrip('/')}/webhooks/xclaim/{claim.webhook_token}",
        webhook_key=derive_key(_webhook_key(held), claim.webhook_token),
    )
    stop_if_lost(held)
    answer = partner_of(held).xclaim.create_claim(body, idempotency_key=call.key)
    with runtime().database.transaction() as tx:
        _take(tx, held, claim, answer, is_answer_to_create=True)
        calls.record(tx, call, "done", status=answer.status, answer=answer.evidence)


def _webhook_key(held: Cancellation) -> str:
    return partner_of(held).settings.xclaim_webhook_keys[0].get_secret_value()


def _fetch(held: Cancellation, claim: Claim) -> None:
    answer = partner_of(held).xclaim.get_claim(reference=claim.reference, claim_id=claim.claim_id)
    with runtime().database.transaction() as tx:
        _take(tx, held, claim, answer)
        _mark_found(tx, held)


def _take(
    tx: Transaction,
    held: Cancellation,
    claim: Claim,
    answer: Answer[xclaim.Claim],
    *,
    is_answer_to_create: bool = False,
) -> None:
    """Store what XClaim says of our claim, and finish the step once it is processed."""
    details = {"answer": dict(answer.evidence)}
    try:
        news = claims.apply_answer(
            tx,
            claim.id,
            answer.value,
            asked_at=held.begun_at or utc_now(),
            insurer_time=answer.insurer_time,
            is_answer_to_create=is_answer_to_create,
            mapping=partner_of(held).settings.claim_milestones,
        )
    except claims.NotOurClaim as error:
        cancellations.park(tx, held, "claim-duplicated", f"{error}; nothing was taken from it.", evidence=details)
        return
    row = news.claim
    claim_news.note_milestones(tx, held, news)
    if answer.value.failure_reason:
        detail = f"XClaim could not process claim {row.reference}: {answer.value.failure_reason}."
        cancellations.park(tx, held, "claim-failed", detail, evidence=details)
    elif not row.is_processed:
        wait, reason = _poll_wait(tx, held), "XClaim is processing the claim"
        cancellations.postpone(tx, held, reason, seconds=wait, was_answered=True, details=details)
    elif milestones.CLAIM_CLOSED_UNPAID in row.milestones and _cancels_afterwards(held):
        detail = f"Claim {row.reference} is {row.status}; the policy has not been cancelled."
        cancellations.park(tx, held, "claim-closed-unpaid", detail, evidence=details)
    else:
        finish_step(tx, held, Step.CLAIM, f"claim {row.reference} is {row.status}", details=details)


def _cancels_afterwards(held: Cancellation) -> bool:
    return Step.CONFIRM in held.steps and Step.CONFIRM not in held.done_steps


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
    read = partner_of(held).xclaim.list_claims(held.booking_id)
    listed = _not_known_to_us([_with_policy(entry, held) for entry in read.value.claims], claim)
    with runtime().database.reading() as session:
        lead = clock_lead(session, read.insurer_time)
    ours, others = settling.ours_among(
        listed,
        quote_id=claim.quote_id,
        claim_type_id=claim.claim_type_id,
        intended_at=(call.first_sent_at or utc_now()) + lead,
    )
    evidence = {"answer": dict(read.evidence), "is_complete": read.value.is_complete}
    is_absent = not ours and not others and read.value.is_complete
    eligible = None
    if is_absent and call.absent_since is not None:
        eligible = partner_of(held).xclaim.eligibility(held.booking_id, claim.quote_id).value.is_eligible
    with runtime().database.transaction() as tx:
        if len(ours) == 1 and not others:
            found = Answer(value=ours[0], status=read.status, insurer_time=read.insurer_time, evidence=read.evidence)
            _take(tx, held, claim, found)
            calls.record(tx, call, "done", is_doubtful=False, must_read_back=False)
        elif ours or others:
            detail = (
                f"XClaim shows {len(ours) + len(others)} claims that could be this one; it cannot be told which is."
            )
            cancellations.park(tx, held, "claim-duplicated", detail, evidence=evidence)
        elif not is_absent:
            detail = "XClaim's list of claims may be incomplete, so the claim cannot be proven absent."
            cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)
        else:
            _absent(tx, held, call, evidence, eligible=eligible)


def _not_known_to_us(listed: Sequence[xclaim.Claim], claim: Claim) -> list[xclaim.Claim]:
    """Leave out what belongs to earlier claims of ours for the same policy."""
    with runtime().database.reading() as session:
        known = claims.known_to_us(session, listed, but=claim)
    return [entry for entry in listed if entry.id not in known and entry.reference not in known]


def _absent(
    tx: Transaction, held: Cancellation, call: Call, evidence: dict[str, Any], *, eligible: bool | None
) -> None:
    """Send again only after two complete readings without it, ten minutes apart, and a policy that is not used."""
    apart = partner_of(held).settings.read_back_after.total_seconds()
    cancellations.assure_held(tx, held)
    calls.note_absent(tx, call)
    wait = max(
        calls.seconds_until_older(tx.session, call, seconds=apart, since=moment)
        for moment in ("absent_since", "last_sent_at")
    )
    if wait > 0:
        cancellations.postpone(
            tx, held, "no such claim yet; read again later", seconds=wait, counts=False, details=evidence
        )
    elif eligible and call.round >= MAX_CREATES:
        detail = f"{call.round} requests for this claim left no claim behind and no answer that can be read."
        cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)
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


def _with_policy(entry: xclaim.Claim, held: Cancellation) -> xclaim.Claim:
    """Fetch a listed claim that does not name its policy: the list does not always."""
    if entry.quote_id is not None:
        return entry
    fetched = partner_of(held).xclaim.get_claim(reference=entry.reference, claim_id=entry.id).value
    return replace(entry, quote_id=fetched.quote_id)
