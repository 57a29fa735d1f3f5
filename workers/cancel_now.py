"""cancel: XCover's immediate cancellation, exactly once. Nothing is previewed; the answer alone tells the refund."""

from typing import Any
from uuid import UUID

from shared import calls, cancellations
from shared.cancellations import begin_step, finish_step
from shared.claims import CLOCK_ALLOWANCE
from shared.clock import utc_now
from shared.db import Transaction, clock_lead
from shared.insurer.answers import Answer
from shared.lifecycle import Step, TaskName
from shared.models import Call, Cancellation
from shared.xcover import wire
from workers import figures, reading_back, settling
from workers.app import app
from workers.attempt import keeping, one_try, stop_if_lost
from workers.runtime import partner_of, runtime

MAX_CANCELS = 5
"""New keys for one cancel, each after proof that the one before did nothing."""


@app.task(name=TaskName.CANCEL)
@one_try(Step.CANCEL)
def cancel(cancellation_id: str) -> None:
    """Cancel at once, or settle whether that was done."""
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.CANCEL)
        if held is None:
            return
        call = calls.latest(tx.session, held.id, Step.CANCEL)
        reads_back = call is not None and reading_back.is_due(tx, call)
        if call is None or not reads_back:
            call, body = _intend(tx, held, call)
    if reads_back:
        with keeping(held, Step.CANCEL):
            _read_back(held, call)
        return
    with keeping(held, Step.CANCEL, call):
        stop_if_lost(held)
        cancelled = partner_of(held).xcover.cancel_now(held.booking_id, body, idempotency_key=call.key)
        with runtime().database.transaction() as tx:
            _finish(tx, held, cancelled)
            calls.record(tx, call, "done", status=cancelled.status, answer=cancelled.evidence)


def _intend(tx: Transaction, held: Cancellation, call: Call | None) -> tuple[Call, dict[str, Any]]:
    quotes = [wire.QuoteToCancel(id=quote["id"], reason=quote["reason_for_cancellation"]) for quote in held.quotes]
    required = held.request.get("refund_required")
    body = dict(wire.immediate_request(quotes, refund_required=required, with_reasons=held.sends_reasons))
    is_open = call is not None and calls.is_open(call)
    number = call.round if call is not None and is_open else calls.next_round(tx.session, held.id, Step.CANCEL)
    cancellations.pass_point_of_no_return(tx, held)
    return calls.intend(tx, held, Step.CANCEL, round_number=number, body=body, evidence=body), body


def _finish(tx: Transaction, held: Cancellation, cancelled: Answer[wire.Confirmation]) -> None:
    """Finish with the refund that the answer names; without one that can be paid, a person finds it out."""
    refunded, currency, details = cancelled.value.total_refund, cancelled.value.currency, dict(cancelled.evidence)
    if refunded is None or currency is None:
        _park_done(tx, held, "refund-unknown", "The answer to the cancel names no refund.", details)
        return
    values = {"preview_total": refunded, "preview_currency": currency}
    asked_for = [quote["id"] for quote in held.quotes]
    disagreement = figures.disagreement(refunded, currency, cancelled.value.policies, asked_for=asked_for)
    if disagreement:
        _park_done(tx, held, "figures-disagree", f"The policies are cancelled. {disagreement}", details, **values)
        return
    reason = f"cancelled at once; refunds {refunded} {currency}"
    finish_step(tx, held, Step.CANCEL, reason, details={"answer": details}, **values)


def _park_done(
    tx: Transaction, held: Cancellation, slug: str, detail: str, answer: dict[str, Any], **values: Any
) -> None:
    done = [*held.done_steps, Step.CANCEL.value]
    cancellations.park(tx, held, slug, detail, done=done, values=values, answer=answer)


def _read_back(held: Cancellation, call: Call) -> None:
    """Settle a cancel whose outcome is unknown, or that was refused, by what the booking shows."""
    read = partner_of(held).xcover.get_booking(held.booking_id)
    with runtime().database.reading() as session:
        lead = clock_lead(session, read.insurer_time)
    first_sent = (call.first_sent_at or utc_now()) + lead
    deed = settling.judge_cancelled(
        read.value, [quote["id"] for quote in held.quotes],
        stamped_from=first_sent - CLOCK_ALLOWANCE,
        stamped_until=(read.insurer_time or utc_now()) + CLOCK_ALLOWANCE,
    )  # fmt: skip
    evidence = {"answer": dict(read.evidence), "judged": deed.value}
    with runtime().database.transaction() as tx:
        match deed:
            case settling.Deed.DONE:
                detail = (
                    "The policies are cancelled, but the answer was lost, and the booking does not tell the refund."
                )
                _park_done(tx, held, "refund-unknown", detail, evidence)
                calls.record(tx, call, "done", is_doubtful=False, must_read_back=False)
            case settling.Deed.NOT_DONE:
                _not_done(tx, held, call, evidence)
            case settling.Deed.SOMEONE_ELSES:
                detail = "The booking shows a cancellation from before this one was asked for."
                cancellations.park(tx, held, "cancelled-by-someone-else", detail, evidence=evidence)
            case settling.Deed.PARTLY:
                detail = "The booking shows only a part of its policies cancelled."
                cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)


def _not_done(tx: Transaction, held: Cancellation, call: Call, evidence: dict[str, Any]) -> None:
    """Believe "not done" only when no request of ours can still be on its way; then try anew, or stop."""
    if reading_back.is_too_early(tx, held, call, evidence):
        return
    said = tuple((str(path), str(text)) for path, text in (call.answer or {}).get("problems", []))
    if reading_back.is_refused(call) and held.sends_reasons and wire.complains_of_reasons(said):
        calls.settle_not_done(tx, call)
        cancellations.postpone(tx, held, "asked for again without reasons", seconds=0, sends_reasons=False)
        return
    if reading_back.is_refused(call):
        calls.record(tx, call, "refused", is_doubtful=False, must_read_back=False)  # a retry repeats it with its key
        detail = f"XCover refused the cancel with {call.answer_status} and shows the policies as not cancelled."
        cancellations.park(tx, held, "insurer-refused", detail, evidence=evidence, refusal=call.answer)
        return
    if call.round >= MAX_CANCELS:
        detail = f"{call.round} cancels under keys of their own did nothing."
        cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)
        return
    calls.settle_not_done(tx, call)
    reason = "proven not done; cancelled anew with a new key"
    cancellations.postpone(tx, held, reason, seconds=0, details=evidence)
