"""What callers and operators do to a cancellation that is under way: report a refund, abort, retry.

Each locks the row, so it and a running step cannot both win; whoever holds the lease loses it where the action
changes the course. A refusal that must stay in the timeline is returned, not raised: raising would roll it back.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select

from shared import calls, reservations
from shared.db import Transaction, now_plus
from shared.lifecycle import UNFINISHED, Status, Step
from shared.models import Call, Cancellation
from shared.money import Money, MoneyError
from shared.problems import Problem, problem
from shared.transitions import Change, advance, lock, note


@dataclass(frozen=True, kw_only=True)
class RefundReport:
    """The partner says it has refunded its customer."""

    amount: Decimal
    currency: str
    reference: str
    actor: str

    def evidence(self) -> dict[str, Any]:
        """Return the report as stored in the timeline."""
        return {"amount": format(self.amount, "f"), "currency": self.currency, "reference": self.reference}

    def equals(self, amount: Decimal | None, currency: str | None) -> bool:
        """Compare numerically, in minor units; an amount finer than the currency's coins equals nothing."""
        if amount is None or currency is None:
            return False
        try:
            return Money(amount=self.amount, currency=self.currency) == Money(amount=amount, currency=currency)
        except MoneyError:
            return False

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of an action: an HTTP status, and the problem when it was refused."""

    status: int
    problem: Problem | None = None


def report_refund(tx: Transaction, cancellation_id: UUID, report: RefundReport) -> Verdict:
    """Take a refund report: 200 accepted or repeated, 202 stored for a person, 409 or 422 refused and noted."""
    row = _locked(tx, cancellation_id)
    if row.refund_reported_at is not None:
        return _report_again(tx, row, report)
    if row.status in {Status.ABORTED, Status.REJECTED, Status.CLOSED}:
        return _store_for_review(tx, row, report, "refund-after-end", f"after the cancellation was {row.status}")
    if row.status == Status.COMPLETED:
        if _was_previewed_before(tx, row, report) and not report.equals(row.preview_total, row.preview_currency):
            return _store_for_review(tx, row, report, "refund-of-another-round", _EARLIER)
        return _refuse(tx, row, report, "refund-not-awaited", "The cancellation is completed without a refund report.")
    if row.steps and Step.REFUND not in row.steps:
        return _refuse(tx, row, report, "refund-not-awaited", f"The journey {row.journey!r} has no refund to report.")
    if row.preview_total is None or row.preview_currency is None:
        return _refuse(
            tx, row, report, "not-previewed", "There is no preview yet; report the refund that it will show."
        )
    if report.equals(row.preview_total, row.preview_currency):
        return _accept_refund(tx, row, report)
    if _was_previewed_before(tx, row, report):
        return _store_for_review(tx, row, report, "refund-of-another-round", _EARLIER)
    expected = Money(amount=row.preview_total, currency=row.preview_currency)
    return _refuse(
        tx,
        row,
        report,
        "refund-mismatch",
        f"The previewed refund is {expected}, not {report}.",
    )


def abort(tx: Transaction, cancellation_id: UUID, *, actor: str) -> None:
    """Take a cancellation back; raise Problem once something irreversible is intended or it has ended."""
    row = _locked(tx, cancellation_id)
    if row.status == Status.ABORTED:
        return
    refusal = why_not_aborted(row)
    if refusal is not None:
        raise refusal
    change = Change(event="aborted", actor=actor, reason="taken back by the caller", status=Status.ABORTED)
    advance(tx, row, change, takes_over=True)
    reservations.release_all(tx, row.id)


def retry(tx: Transaction, cancellation_id: UUID, *, actor: str, note: str | None = None) -> None:
    """Take one that needs review up again at its step, or skip the wait of a postponed one; `note` says why.

    Never a new round, never a new key: the step finds its call where it left it.
    """
    row = _locked(tx, cancellation_id)
    refusal = why_not_retried(row)
    if refusal is not None:
        raise refusal
    is_parked = row.status == Status.NEEDS_REVIEW
    reason = "taken up again by an operator" if is_parked else "its wait was skipped by an operator"
    reason = f"{reason}: {note}" if note else reason
    values = {"tries": 0, "abandoned": 0}
    change = Change(event="retried", actor=actor, reason=reason, status=Status.IN_PROGRESS, values=values)
    advance(tx, row, change, takes_over=True)


def why_not_aborted(row: Cancellation) -> Problem | None:
    """Return what keeps it from being aborted; None where it may be, or is already."""
    if row.status in {Status.COMPLETED, Status.REJECTED, Status.CLOSED}:
        return Problem("already-ended", f"The cancellation is {row.status}; there is nothing to abort.")
    if row.irreversible_at is not None and row.status != Status.ABORTED:
        detail = f"The cancellation is {row.status} and past its point of no return: money or policies may have moved."
        return Problem("point-of-no-return", detail, since=row.irreversible_at.isoformat())
    return None


def why_not_retried(row: Cancellation) -> Problem | None:
    """Return what keeps it from being taken up again or hurried; None where it may be."""
    is_parked = row.status == Status.NEEDS_REVIEW and row.next_step is not None
    is_waiting = row.status == Status.IN_PROGRESS and row.lease_until is None
    return None if is_parked or is_waiting else Problem("nothing-to-retry", _nothing_to_retry(row))


def _nothing_to_retry(row: Cancellation) -> str:
    match row.status:
        case Status.IN_PROGRESS:
            return "The cancellation is in_progress and being worked on right now."
        case Status.AWAITING_REFUND:
            return "The cancellation is awaiting_refund: it waits for a report, not for a try. Report it, or close it."
        case Status.AWAITING_PREMIUM_REFUND:
            return "The cancellation is awaiting_premium_refund: it asks XClaim by itself. Wait, or close it."
        case Status.NEEDS_REVIEW:
            return "The cancellation is needs_review without a step to try: resolve it."
    return f"The cancellation is {row.status}; there is nothing to retry."


def refund_columns(report: RefundReport) -> dict[str, Any]:
    """Return what a taken report writes to the row."""
    return {
        "refund_amount": report.amount,
        "refund_currency": report.currency,
        "refund_reference": report.reference,
        "refund_reported_at": now_plus(0),
    }


_EARLIER = "that an earlier preview had named"
_ANSWERED_BY_A_REPORT = {
    f"/problems/{slug}"
    for slug in (
        *("refund-not-reported", "refund-refused", "refund-call-disabled"),
        *("tries-spent", "answer-unreadable"),
    )
}
"""What a person need not look at any more once the refund is reported."""


def _locked(tx: Transaction, cancellation_id: UUID) -> Cancellation:
    row = lock(tx, cancellation_id)
    if row is None:
        raise Problem("not-found", f"There is no cancellation {cancellation_id}.")
    return row


def _report_again(tx: Transaction, row: Cancellation, report: RefundReport) -> Verdict:
    if report.equals(row.refund_amount, row.refund_currency) and report.reference == row.refund_reference:
        return Verdict(status=200)
    before = f"{row.refund_amount} {row.refund_currency} with reference {row.refund_reference!r}"
    is_other = not report.equals(row.preview_total, row.preview_currency)
    if is_other and _was_previewed_before(tx, row, report):
        why = f"{_EARLIER}, after one of {before}"
        return _store_for_review(tx, row, report, "refund-of-another-round", why, is_second=True)
    detail = f"A refund of {before} was reported before."
    return _refuse(tx, row, report, "refund-already-reported", detail)


def _accept_refund(tx: Transaction, row: Cancellation, report: RefundReport) -> Verdict:
    values = {**refund_columns(report), "irreversible_at": row.irreversible_at or now_plus(0)}
    gave_up = row.status == Status.NEEDS_REVIEW and (row.problem or {}).get("type") in _ANSWERED_BY_A_REPORT
    calls.settle_done(tx, row.id, Step.REFUND)
    if row.next_step == Step.REFUND and (row.status in UNFINISHED or gave_up):
        change = Change(
            event="refund_reported", actor=report.actor, reason="the refund is reported", status=Status.IN_PROGRESS,
            done=[*row.done_steps, Step.REFUND.value], values=values, details=report.evidence(),
        )  # fmt: skip
        advance(tx, row, change, takes_over=True)
        return Verdict(status=200)
    # Another step is due or running (a preview being renewed, a claim): the refund step will find the report.
    for column, value in values.items():
        setattr(row, column, value)
    note(
        tx,
        row,
        "refund_reported",
        actor=report.actor,
        reason="the refund is reported",
        details=report.evidence(),
    )
    return Verdict(status=200)


def _store_for_review(
    tx: Transaction, row: Cancellation, report: RefundReport, slug: str, why: str, *, is_second: bool = False
) -> Verdict:
    """Keep the report for a person: in the row, or beside the first one's in the problem and the timeline."""
    detail = f"A refund of {report} was reported {why}: that money was paid, a person must decide."
    values = {
        **({} if is_second else refund_columns(report)),
        "irreversible_at": row.irreversible_at or now_plus(0),
        "problem": problem(slug, detail, report=report.evidence()),
    }
    change = Change(
        event="refund_reported", actor=report.actor, reason=detail, status=Status.NEEDS_REVIEW, values=values,
        details=report.evidence(),
    )  # fmt: skip
    advance(tx, row, change, takes_over=True)
    return Verdict(status=202)


def _refuse(tx: Transaction, row: Cancellation, report: RefundReport, slug: str, detail: str) -> Verdict:
    note(tx, row, "refund_report_refused", actor=report.actor, reason=detail, details=report.evidence())
    return Verdict(status=0, problem=Problem(slug, detail, report=report.evidence()))


def _was_previewed_before(tx: Transaction, row: Cancellation, report: RefundReport) -> bool:
    previews = select(Call.answer).where(
        Call.cancellation_id == row.id, Call.step == Step.PREVIEW, Call.round < row.round
    )
    return any(
        answer is not None
        and "total_refund" in answer
        and report.equals(Decimal(answer["total_refund"]), answer["currency"])
        for answer in tx.session.scalars(previews)
    )
