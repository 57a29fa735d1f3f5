"""What an operator decides about a cancellation that waits for a person, with who and why in its timeline.

`done`: the step did happen. `not_done`: it did not, and may be tried anew. `amend`: claim again with other fields.
`close`: it ends here, or its policies are freed after its end. A claim said to be done is only named: the worker asks
XClaim whether it is so.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from uuid import UUID

from shared import calls, claims, milestones, reservations
from shared.caller_actions import RefundReport, refund_columns
from shared.db import Transaction, now_plus
from shared.lifecycle import Status, Step, next_step
from shared.models import Cancellation
from shared.money import Money, MoneyError
from shared.problems import Problem
from shared.rulings import Resolution, Ruling
from shared.transitions import Change, advance, lock, note

CLOSABLE = frozenset({Status.NEEDS_REVIEW, Status.AWAITING_REFUND, Status.AWAITING_PREMIUM_REFUND})
MAY_STILL_ARRIVE = 600.0
"""Seconds. A refund or a claim that went out unanswered this lately may still be acted on: its repeat waits, unless an
operator skips that with `retry`. XCover refuses a second cancellation, so those need not wait."""


def resolve(tx: Transaction, cancellation_id: UUID, ruling: Ruling) -> None:
    """Carry out a ruling; raise Problem, with nothing written, where the cancellation does not allow it."""
    claims.lock_of_cancellation(tx, cancellation_id)  # before the cancellation's row: everyone locks in this order
    row = lock(tx, cancellation_id)
    if row is None:
        raise Problem("not-found", f"There is no cancellation {cancellation_id}.")
    if ruling.resolution is Resolution.CLOSE:
        _close(tx, row, ruling)
        return
    refusal = why_not(row, ruling.resolution)
    if refusal is not None:
        raise refusal
    match ruling.resolution:
        case Resolution.DONE:
            _done(tx, row, ruling)
        case Resolution.NOT_DONE:
            _not_done(tx, row, ruling)
        case Resolution.AMEND:
            _amend(tx, row, ruling)


def why_not(row: Cancellation, resolution: Resolution) -> Problem | None:
    """Return why its status does not allow a resolution; None where it does. Freeing policies is not asked about."""
    if resolution is not Resolution.CLOSE:
        said = _why_not_settled(row, resolution)
        return None if said is None else Problem("nothing-to-resolve", said)
    if row.status in CLOSABLE:
        return None
    if row.status == Status.IN_PROGRESS:
        wrong = "The cancellation is in progress: abort it, or wait until it has ended or needs review."
        return Problem("nothing-to-resolve", wrong)
    return Problem("nothing-to-resolve", f"The cancellation is {row.status}; there is nothing to close.")


def _why_not_settled(row: Cancellation, resolution: Resolution) -> str | None:
    if row.status != Status.NEEDS_REVIEW:
        return f"The cancellation is {row.status}; only one that needs review can be resolved so."
    if resolution is Resolution.DONE and row.next_step in {Step.LOOK_UP, Step.PREVIEW}:
        return f"{row.next_step} only asks the insurer: retry it; a preview is asked for anew by not_done."
    if resolution is Resolution.NOT_DONE and row.next_step is None:
        return "The cancellation waits for no step: close it, or resolve with done if every step is."
    if resolution is Resolution.NOT_DONE and row.next_step == Step.LOOK_UP:
        return f"{row.next_step} leaves nothing behind: retry it."
    return None


def _close(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    if row.status in {Status.COMPLETED, Status.CLOSED} and ruling.frees_policies:
        note(tx, row, "policies_freed", actor=ruling.actor, reason=ruling.note, details=_details(row, ruling))
        reservations.release_all(tx, row.id)
        return
    refusal = why_not(row, ruling.resolution)
    if refusal is not None:
        raise refusal
    _write(tx, row, ruling, status=Status.CLOSED)
    if row.irreversible_at is None or ruling.frees_policies:
        reservations.release_all(tx, row.id)


def _done(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    if row.next_step is None:
        if not row.steps or next_step(row.steps, row.done_steps) is not None:
            _refuse("The cancellation had ended before a refund was reported: close it.")
        _must_show(row, ruling)
        told = _told_refund(ruling) if Step.CANCEL in row.steps else {}
        _write(tx, row, ruling, status=Status.COMPLETED, values={**told, "completed_at": now_plus(0)})
        return
    _DONE[Step(row.next_step)](tx, row, ruling)


def _done_refund(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    """Take the refund as paid: the one already reported, or the one the evidence names."""
    values: dict[str, Any] = {}
    _must_show(row, ruling)
    if row.refund_reported_at is None:
        money, reference = ruling.evidence.money, ruling.evidence.reference
        if money is None or not reference:
            raise Problem("evidence-missing", "Give the refund's amount, currency and reference as evidence.")
        if row.preview_total is None or row.preview_currency is None:
            raise ValueError(f"cancellation {row.id} is at its refund without a preview")
        if money != _money(row):
            detail = f"The previewed refund is {_money(row)}, not {money}."
            raise Problem("refund-mismatch", detail)
        report = RefundReport(amount=money.amount, currency=money.currency, reference=reference, actor=ruling.actor)
        values = refund_columns(report)
    calls.settle_done(tx, row.id, Step.REFUND)
    values["irreversible_at"] = row.irreversible_at or now_plus(0)
    _finish(tx, row, ruling, values)


def _done_confirm(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    _must_show(row, ruling)
    calls.settle_done(tx, row.id, Step.CONFIRM)
    _finish(tx, row, ruling, {"irreversible_at": row.irreversible_at or now_plus(0)})


def _done_cancel(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    """Take the policies as cancelled, and what that refunds from the evidence."""
    _must_show(row, ruling)
    calls.settle_done(tx, row.id, Step.CANCEL)
    _finish(tx, row, ruling, {**_told_refund(ruling), "irreversible_at": row.irreversible_at or now_plus(0)})


def _told_refund(ruling: Ruling) -> dict[str, Any]:
    money = ruling.evidence.money
    return {} if money is None else {"preview_total": money.amount, "preview_currency": money.currency}


def _done_claim(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    """Name the claim; the step goes on by asking XClaim about it."""
    claim_id, reference = ruling.evidence.claim_id, ruling.evidence.claim_reference
    if not claim_id and not reference:
        raise Problem("evidence-missing", "Give the claim's claim_reference or claim_id as evidence.")
    if not claims.name_by_hand(tx, row, claim_id=claim_id, reference=reference):
        _refuse("That claim belongs to another cancellation, or this one has no claim to name: retry it first.")
    calls.settle_done(tx, row.id, Step.CLAIM)
    _go_on(tx, row, ruling)


def _done_premium_refund(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    claim = claims.of_cancellation(tx.session, row.id)
    if claim is not None and milestones.CLAIM_CLOSED_UNPAID in claim.milestones:
        _refuse("The claim is closed unpaid: close this one; a new cancellation can cancel the policies.")
    _must_show(row, ruling)
    _finish(tx, row, ruling, {"waiting_since": None})


def _not_done(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    match row.next_step:
        case Step.PREVIEW:
            done = [step for step in row.done_steps if step not in {Step.PREVIEW, Step.REFUND}]
            _go_on(tx, row, ruling, done=done, values={"round": row.round + 1})
        case Step.REFUND:
            wait = _seconds_until_settled(tx, row, Step.REFUND)
            _settle_not_done(tx, row, Step.REFUND)
            nothing = dict.fromkeys(("refund_amount", "refund_currency", "refund_reference"))
            values = {**nothing, "refund_reported_at": None, "waiting_since": None}
            _go_on(tx, row, ruling, values=values, due_in=wait)
        case Step.AWAIT_PREMIUM_REFUND:
            _go_on(tx, row, ruling, values={"waiting_since": None})
        case Step.CLAIM:
            _must_have_called(tx, row, Step.CLAIM)
            wait = _seconds_until_settled(tx, row, Step.CLAIM)
            _claim_anew(tx, row)
            _go_on(tx, row, ruling, due_in=wait)
        case Step.CONFIRM | Step.CANCEL as step:
            _must_have_called(tx, row, Step(step))
            _settle_not_done(tx, row, Step(step))
            _go_on(tx, row, ruling)


def _amend(tx: Transaction, row: Cancellation, ruling: Ruling) -> None:
    """Replace claim fields that were refused, and claim again; never while a claim may be on its way."""
    changes = ruling.amendment.fields()
    if not changes:
        raise Problem("evidence-missing", "Name at least one claim field to replace.")
    call = calls.latest(tx.session, row.id, Step.CLAIM)
    has_failed = (row.problem or {}).get("type") == "/problems/claim-failed"
    is_refused = call is not None and call.outcome == "refused" and not calls.is_unsettled(call)
    if row.next_step != Step.CLAIM or not (is_refused or has_failed):
        where = f"waits at {row.next_step}" if row.next_step else "waits for no step"
        _refuse(
            f"The cancellation {where}; only a claim that XClaim has refused, or could not process, can be amended."
        )
    _claim_anew(tx, row, claim_type_id=ruling.amendment.claim_type_id)
    request = {**row.request, "claim": {**row.request["claim"], **changes}}
    _go_on(tx, row, ruling, values={"request": request}, details={"amended": sorted(changes)})


def _claim_anew(tx: Transaction, row: Cancellation, *, claim_type_id: str | None = None) -> None:
    if not claims.start_over(tx, row, claim_type_id=claim_type_id):
        _refuse("Another cancellation has an open claim of this type for this policy.")
    _settle_not_done(tx, row, Step.CLAIM)


def _must_show(row: Cancellation, ruling: Ruling) -> None:
    if not ruling.evidence:
        where = row.next_step or "no step is left"
        raise Problem(
            "evidence-missing", f"The cancellation is {row.status} ({where}): give evidence of what was done."
        )


def _must_have_called(tx: Transaction, row: Cancellation, step: Step) -> None:
    if calls.latest(tx.session, row.id, step) is None:
        _refuse(f"No {step} was ever sent: retry it.")


def _settle_not_done(tx: Transaction, row: Cancellation, step: Step) -> None:
    call = calls.latest(tx.session, row.id, step)
    if call is not None:
        calls.settle_not_done(tx, call)


def _seconds_until_settled(tx: Transaction, row: Cancellation, step: Step) -> float:
    call = calls.latest(tx.session, row.id, step)
    if call is None or not calls.is_unsettled(call):
        return 0.0
    return calls.seconds_until_older(tx.session, call, seconds=MAY_STILL_ARRIVE)


def _finish(tx: Transaction, row: Cancellation, ruling: Ruling, values: Mapping[str, Any]) -> None:
    done = [*row.done_steps, str(row.next_step)]
    if next_step(row.steps, done) is not None:
        _go_on(tx, row, ruling, done=done, values=values)
        return
    _write(tx, row, ruling, status=Status.COMPLETED, done=done, values={**values, "completed_at": now_plus(0)})


def _go_on(tx: Transaction, row: Cancellation, ruling: Ruling, **more: Any) -> None:
    values = {"tries": 0, "abandoned": 0, **(more.pop("values", None) or {})}
    _write(tx, row, ruling, status=Status.IN_PROGRESS, values=values, **more)


def _write(tx: Transaction, row: Cancellation, ruling: Ruling, *, status: Status, **more: Any) -> None:
    details = {**_details(row, ruling), **(more.pop("details", None) or {})}
    event = "closed" if status is Status.CLOSED else "resolved"
    change = Change(event=event, actor=ruling.actor, reason=ruling.note, status=status, details=details, **more)
    advance(tx, row, change, takes_over=True)


def _details(row: Cancellation, ruling: Ruling) -> dict[str, Any]:
    return {"resolution": ruling.resolution.value, "evidence": dict(ruling.evidence.stated), "was": row.problem}


def _money(row: Cancellation) -> Money:
    if row.preview_total is None or row.preview_currency is None:
        raise ValueError(f"cancellation {row.id} is at its refund without a preview")
    try:
        return Money(amount=row.preview_total, currency=row.preview_currency)
    except MoneyError as error:
        raise Problem("refund-mismatch", f"The previewed refund cannot be paid: {error}") from error


def _refuse(detail: str) -> NoReturn:
    raise Problem("nothing-to-resolve", detail)


_DONE: dict[Step, Callable[[Transaction, Cancellation, Ruling], None]] = {
    Step.REFUND: _done_refund,
    Step.CONFIRM: _done_confirm,
    Step.CANCEL: _done_cancel,
    Step.CLAIM: _done_claim,
    Step.AWAIT_PREMIUM_REFUND: _done_premium_refund,
}
