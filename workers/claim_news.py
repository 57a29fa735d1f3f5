"""News of a claim, whoever brought it: its row, its milestones, then the journey that waits for it.

A webhook and a question of ours share what is here. Deliveries are `handle_webhook`'s business, when to ask is
`poll_claim`'s.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from shared import callbacks, cancellations, claims, log_context, milestones, transitions
from shared.claims import News
from shared.db import Transaction
from shared.insurer.answers import Answer
from shared.insurer.errors import Refused
from shared.lifecycle import Status, Step
from shared.models import Cancellation, Claim
from shared.xclaim import claims as xclaim
from workers.runtime import partner_of

MISSED = "webhook_missed"
"""The line in the timeline for what XClaim showed when asked, before any webhook told of it."""
UNKNOWN_CATEGORY = "claim_category_unknown"
DELETED = "claim_deleted"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What came of an answer or an event."""

    claim: Claim
    has_effect: bool
    """Something of the claim changed, or its journey was woken or stopped."""


def read(claim: Claim) -> Answer[xclaim.Claim]:
    """Read the claim by its id, which tells the status by name; by its reference XClaim tells the category alone.

    Asks the insurer. Raises InsurerError, and ClaimsSwitchedOff.
    """
    if claim.claim_id is not None:
        try:
            return partner_of(claim).xclaim.get_claim(reference=None, claim_id=claim.claim_id)
        except Refused:
            if claim.reference is None:
                raise
    return partner_of(claim).xclaim.get_claim(reference=claim.reference, claim_id=claim.claim_id)


def take_event(tx: Transaction, claim: Claim, event: xclaim.ClaimEvent, *, sets_status: bool = False) -> Taken:
    """Apply what a verified event says of its own claim; `sets_status` where XClaim could not be asked."""
    mapping = partner_of(claim).settings.claim_milestones
    news = claims.apply_event(tx, claim.id, event, sets_status=sets_status, mapping=mapping)
    row = _holder(tx, claim)
    if milestones.is_deletion(event.event):
        reason = f"XClaim has deleted claim {_name(claim)}; it is not made again"
        _alarm_once(tx, row, claim, DELETED, reason, word=event.event)
    _alarm_if_unknown(tx, row, claim, (event.category, event.status_name, event.status_label))
    return Taken(claim=news.claim, has_effect=_tell_journey(tx, row, news, event) or bool(news))


def take_answer(
    tx: Transaction,
    claim: Claim,
    answer: Answer[xclaim.Claim],
    *,
    asked_at: datetime,
    event: xclaim.ClaimEvent | None,
) -> Taken:
    """Apply what XClaim said when asked at `asked_at`, by the database's clock; `event` is what made us ask.

    Without an event, what is new was missed by webhook. Raises claims.NotOurClaim.
    """
    said, mapping = answer.value, partner_of(claim).settings.claim_milestones
    news = claims.apply_answer(
        tx, claim.id, said, asked_at=asked_at, insurer_time=answer.insurer_time, mapping=mapping
    )  # fmt: skip
    row = _holder(tx, claim)
    if event is None:
        note_missed(tx, news)
    _alarm_if_unknown(tx, row, claim, (said.category, said.status_name, said.status_label))
    return Taken(claim=news.claim, has_effect=_tell_journey(tx, row, news, event) or bool(news))


def note_missed(tx: Transaction, news: News) -> None:
    """Count a status or a milestone that was found by asking, and say so in the timeline; else do nothing."""
    claim, change = news.claim, news.changes.get("status")
    if not news.reached and (change is None or change[0] is None):  # the first status of all is nobody's to tell
        return
    claim.missed += 1
    row = _holder(tx, claim)
    told = [f"{change[0]} → {change[1]}"] if change is not None else []
    reason = f"claim {_name(claim)}, asked without a webhook: {', '.join([*told, *news.reached])}"
    details = {"status": list(change or ()), "milestones": list(news.reached)}
    transitions.note(tx, row, MISSED, actor="xclaim", reason=reason, details=details)
    tx.log(MISSED, level=logging.WARNING, **log_context.ids_of(row), claim=_name(claim), **details)


def note_milestones(tx: Transaction, row: Cancellation, news: News, event: xclaim.ClaimEvent | None = None) -> None:
    """Write the milestones that were newly reached in the timeline; nothing where there are none."""
    if not news.reached:
        return
    told_by = None if event is None else event.event
    details = {"milestones": list(news.reached), "event": told_by, "status": news.claim.status}
    transitions.note(tx, row, "claim_milestone", actor="xclaim", reason=_reached(news), details=details)
    for milestone in news.reached:
        kind = f"claim.{milestone}"
        callbacks.record(tx, row, kind, status=row.status, next_step=row.next_step, milestone=milestone)


def _reached(news: News) -> str:
    return f"claim {news.claim.reference}: {', '.join(news.reached)}"


def _tell_journey(tx: Transaction, row: Cancellation, news: News, event: xclaim.ClaimEvent | None) -> bool:
    """Wake the cancellation that waits for this claim, or stop it when the claim was closed before the confirm.

    Return whether it did.
    """
    claim, reached = news.claim, news.reached
    note_milestones(tx, row, news, event)
    if not claims.is_current(tx.session, claim):
        return False  # an operator has had the policy claimed anew: this one decides nothing any more
    is_named = bool(claim.claim_id or claim.reference)
    is_looked_at = row.status == Status.IN_PROGRESS and row.next_step == Step.CLAIM and row.lease_until is None
    if is_looked_at and is_named and (event is not None or news):
        reason = "XClaim showed something new" if event is None else f"XClaim sent {event.event}"
        cancellations.hurry(tx, row, reason)
    elif row.status == Status.AWAITING_PREMIUM_REFUND and reached:
        cancellations.hurry(tx, row, _reached(news))
    elif (
        milestones.CLAIM_CLOSED_UNPAID in reached
        and row.status == Status.AWAITING_REFUND
        and Step.CLAIM in row.done_steps
    ):
        detail = f"Claim {claim.reference} is {claim.status}; the policy has not been cancelled."
        cancellations.park(tx, row, "claim-closed-unpaid", detail, actor="xclaim", takes_over=True)
    else:
        return False
    return True


def _alarm_if_unknown(
    tx: Transaction, row: Cancellation, claim: Claim, words: tuple[str | None, str | None, str | None]
) -> None:
    word = milestones.unknown_word(*words, mapping=partner_of(claim).settings.claim_milestones)
    if word is not None:
        reason = f"claim {_name(claim)} is {word}, which XClaim's documentation does not list and no milestone names"
        _alarm_once(tx, row, claim, UNKNOWN_CATEGORY, reason, word=word)


def _alarm_once(tx: Transaction, row: Cancellation, claim: Claim, alarm: str, reason: str, *, word: str) -> None:
    """Log what a person should look at and write it in the timeline, once for each claim and word."""
    about = f"{claim.id} {word}"
    if not transitions.is_noted(tx.session, row.id, alarm, about):
        transitions.note(tx, row, alarm, actor="xclaim", reason=reason, details={"about": about})
        tx.log(alarm, level=logging.WARNING, **log_context.ids_of(row), claim=_name(claim), word=word)


def _holder(tx: Transaction, claim: Claim) -> Cancellation:
    """Return the claim's cancellation, locked: after the claim, as every transaction locks the two."""
    row = transitions.lock(tx, claim.cancellation_id)
    if row is None:
        raise LookupError(f"claim {claim.id} belongs to no cancellation; the foreign key should forbid it")
    return row


def _name(claim: Claim) -> str | None:
    return claim.reference or claim.claim_id
