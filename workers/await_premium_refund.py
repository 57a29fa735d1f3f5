"""await_premium_refund: the policies are cancelled only when the claim reports its Premium Refund."""

from datetime import timedelta
from uuid import UUID

import structlog

from shared import cancellations, claims, milestones
from shared.cancellations import begin_step, finish_step
from shared.clock import utc_now
from shared.config import WorkerSettings
from shared.db import Transaction
from shared.insurer.answers import Answer
from shared.insurer.errors import InsurerError
from shared.lifecycle import Step, TaskName
from shared.models import Cancellation, Claim
from shared.xclaim import claims as xclaim
from workers import claim_news
from workers.app import app
from workers.attempt import keeping, one_try
from workers.partners import SwitchedOff
from workers.runtime import partner_of, runtime

SOONEST_LOOK = 60.0
"""Seconds between two looks at the claim, in case its webhook is lost; a quarter of the wait so far, within these."""
LATEST_LOOK = timedelta(hours=6).total_seconds()

log = structlog.get_logger()


@app.task(name=TaskName.AWAIT_PREMIUM_REFUND)
@one_try(Step.AWAIT_PREMIUM_REFUND)
def await_premium_refund(cancellation_id: str) -> None:
    """Ask XClaim about the claim; go on, wait, or leave it to a person."""
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.AWAIT_PREMIUM_REFUND)
        if held is None:
            return
        claim = claims.of_cancellation(tx.session, held.id)
        if claim is None:
            raise LookupError(f"cancellation {held.id} waits for a claim that it does not have")
    with keeping(held, Step.AWAIT_PREMIUM_REFUND):
        answer = _ask(claim)
        with runtime().database.transaction() as tx:
            _settle(tx, held, claim, answer, partner_of(held).settings)


def _ask(claim: Claim) -> Answer[xclaim.Claim] | None:
    """Return what XClaim says; None where it says nothing and nothing hangs on it yet."""
    try:
        return claim_news.read(claim)
    except (InsurerError, SwitchedOff) as error:
        if milestones.PREMIUM_REFUND in claim.milestones:
            raise  # only a claim that XClaim, asked, shows to be ours and open may start a cancellation
        why = error.in_brief if isinstance(error, InsurerError) else str(error)
        log.warning("claim_not_shown", claim=claim.reference, error=why, next="asked again later")
        return None


def _settle(
    tx: Transaction,
    held: Cancellation,
    claim: Claim,
    answer: Answer[xclaim.Claim] | None,
    settings: WorkerSettings,
) -> None:
    row = claim
    if answer is not None:
        try:
            news = claims.apply_answer(
                tx, claim.id, answer.value, asked_at=held.begun_at or utc_now(), insurer_time=answer.insurer_time,
                mapping=settings.claim_milestones,
            )  # fmt: skip
            row = news.claim
            claim_news.note_missed(tx, news)
            claim_news.note_milestones(tx, held, news)
        except claims.NotOurClaim as error:
            detail = f"{error}; nothing was taken from it."
            cancellations.park(tx, held, "claim-duplicated", detail, evidence=dict(answer.evidence))
            return
    problem = _problem(row)
    if problem is not None:
        cancellations.park(tx, held, *problem, milestones=dict(row.milestones))
    elif milestones.PREMIUM_REFUND in row.milestones and answer is not None:
        reason = f"claim {row.reference} reports its Premium Refund"
        finish_step(tx, held, Step.AWAIT_PREMIUM_REFUND, reason, waiting_since=None)
    else:
        _wait(tx, held, settings)


def _problem(claim: Claim) -> tuple[str, str] | None:
    """Return why the policies must not be cancelled by themselves: (slug, detail)."""
    reached, name = claim.milestones, claim.reference or claim.claim_id
    if milestones.CLAIM_CLOSED_UNPAID in reached:
        return "claim-closed-unpaid", f"Claim {name} is {claim.status}; the policies have not been cancelled."
    paid, refunded = reached.get(milestones.CLAIM_PAID), reached.get(milestones.PREMIUM_REFUND)
    if paid is not None and (refunded is None or str(paid) < str(refunded)):
        detail = f"Claim {name} was paid before it reported a Premium Refund; the policies have not been cancelled."
        return "claim-paid-first", detail
    return None


def _wait(tx: Transaction, held: Cancellation, settings: WorkerSettings) -> None:
    if held.begun_at is None:
        raise ValueError(f"cancellation {held.id} is being worked on without having been begun")
    longest = settings.premium_refund_max_wait
    waited = held.begun_at - (held.waiting_since or held.begun_at)
    if waited >= longest:
        detail = f"The claim reported no Premium Refund within {longest.days} days; the policies are not cancelled."
        cancellations.park(tx, held, "premium-refund-not-reported", detail)
        return
    look = min(max(waited.total_seconds() / 4, SOONEST_LOOK), LATEST_LOOK, (longest - waited).total_seconds())
    cancellations.await_premium_refund(tx, held, "waits for the claim's Premium Refund", seconds=max(look, 1.0))
