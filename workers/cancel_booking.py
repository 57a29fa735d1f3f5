"""look_up → preview → refund → confirm: the steps of a cancellation at XCover, in this order, top to bottom."""

from datetime import datetime
from typing import Any
from uuid import UUID

from shared import calls, cancellations, reservations
from shared.cancellation_request import CancellationRequest
from shared.cancellations import begin_step, finish_step
from shared.db import Transaction
from shared.insurer.answers import Answer
from shared.lifecycle import DRY_RUN, Journey, Step, TaskName, next_step
from shared.models import Call, Cancellation
from shared.xcover import wire
from workers import eligibility, offer, reading_back, refunding, settling
from workers.app import app
from workers.attempt import keeping, one_try, stop_if_lost
from workers.plan import check_can_be_cancelled, make_plan
from workers.runtime import partner_of, runtime

MAX_CONFIRMS = 5
"""New keys for one confirm, each after proof that the one before did nothing."""


@app.task(name=TaskName.LOOK_UP)
@one_try(Step.LOOK_UP)
def look_up(cancellation_id: str) -> None:
    """Read the booking, decide the journey, and take its policies in hand."""
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.LOOK_UP)
    if held is None:
        return
    with keeping(held, Step.LOOK_UP):
        answer = partner_of(held).xcover.get_booking(held.booking_id)
        plan = make_plan(CancellationRequest.model_validate(held.request), answer.value)
        eligibility.check(held, plan.claim_quote_id)
        with runtime().database.transaction() as tx:
            is_dry_run = held.journey == DRY_RUN  # it touches no policy: it neither keeps others away nor gives way
            in_hand = None if is_dry_run else reservations.reserve(tx, held, plan.policies())
            if in_hand is not None:
                quote_id, holder = in_hand
                detail = f"Policy {quote_id} is in the hands of cancellation {holder}."
                cancellations.reject(tx, held, "already-in-hand", detail, quote_id=quote_id, holder=str(holder))
                return
            finish_step(
                tx, held, Step.LOOK_UP, f"booking is {answer.value.status}", details={"answer": dict(answer.evidence)},
                steps=[step.value for step in plan.steps], quotes=list(plan.quotes), claim_quote_id=plan.claim_quote_id,
            )  # fmt: skip


@app.task(name=TaskName.PREVIEW)
@one_try(Step.PREVIEW)
def preview(cancellation_id: str) -> None:
    """Ask XCover what cancelling would refund, and until when the offer holds."""
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.PREVIEW)
        if held is None:
            return
        body = _preview_body(held)
        call = calls.intend(tx, held, Step.PREVIEW, round_number=held.round, body=body, evidence=body)
    sent_reasons = any("reason_for_cancellation" in quote for quote in body["quotes"])
    with keeping(held, Step.PREVIEW, call, sent_reasons=sent_reasons):
        if held.journey == Journey.CLAIM_THEN_CANCEL:  # its look-up was too early to ask
            check_can_be_cancelled(partner_of(held).xcover.get_booking(held.booking_id).value, _quote_ids(held))
        follows = next_step(held.steps, [*held.done_steps, Step.PREVIEW])
        if follows is Step.CLAIM and eligibility.must_be_asked_again(held):
            eligibility.check(held, held.claim_quote_id)  # the claim cannot be taken back
        answer = partner_of(held).xcover.preview(held.booking_id, body, idempotency_key=call.key)
        with runtime().database.transaction() as tx:
            evidence = {
                **answer.evidence,
                "total_refund": str(answer.value.total_refund),
                "currency": answer.value.currency,
            }
            offer.take(tx, held, call, answer, margin=partner_of(held).settings.confirm_margin)
            calls.record(tx, call, "done", status=answer.status, answer=evidence)


@app.task(name=TaskName.REFUND)
@one_try(Step.REFUND)
def refund(cancellation_id: str) -> None:
    """Go on once the customer has been refunded: ask the partner to, or wait for its report, renewing the preview."""
    call = None
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.REFUND)
        if held is None:
            return
        settings = partner_of(held).settings
        asks_first = held.waiting_since is None and eligibility.must_be_asked_again(held)
        if not asks_first:
            call = refunding.settle(tx, held, settings)
    if asks_first:
        with keeping(held, Step.REFUND):  # what follows cannot be taken back
            eligibility.check(held, held.claim_quote_id)
            with runtime().database.transaction() as tx:
                call = refunding.settle(tx, held, settings)
    if call is not None:
        with keeping(held, Step.REFUND, call):
            stop_if_lost(held)
            answer = partner_of(held).refunds.ask(refunding.body_of(held, call), key=call.key)
            with runtime().database.transaction() as tx:
                refunding.take_answer(tx, held, call, answer, settings)


@app.task(name=TaskName.CONFIRM)
@one_try(Step.CONFIRM)
def confirm(cancellation_id: str) -> None:
    """Confirm the previewed cancellation, exactly once."""
    with runtime().database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.CONFIRM)
        if held is None:
            return
        call = calls.latest(tx.session, held.id, Step.CONFIRM)
        reads_back = call is not None and _must_read_back(tx, held, call)
        if call is None or not reads_back:
            if not calls.is_unsettled(call) and offer.stops_confirm(tx, held, partner_of(held).settings):
                return
            call = _intend_confirm(tx, held, call)
    if reads_back:
        with keeping(held, Step.CONFIRM):
            _read_back(held, call)
        return
    with keeping(held, Step.CONFIRM, call):
        stop_if_lost(held)
        cancelled = partner_of(held).xcover.confirm(
            held.booking_id, call.request["cancellation_id"], quote_ids=_quote_ids(held), idempotency_key=call.key
        )
        with runtime().database.transaction() as tx:
            _finish_confirm(tx, held, cancelled)
            calls.record(tx, call, "done", status=cancelled.status, answer=cancelled.evidence)


def _finish_confirm(tx: Transaction, held: Cancellation, cancelled: Answer[wire.Confirmation]) -> None:
    """Finish, unless the confirmed refund is another than the previewed one, which the customer was paid."""
    refunded, details = cancelled.value.total_refund, {"answer": dict(cancelled.evidence)}
    if refunded is not None and refunded != held.preview_total:
        detail = f"The cancellation is confirmed, but refunds {refunded} instead of the previewed {held.preview_total}."
        done = [*held.done_steps, Step.CONFIRM.value]
        cancellations.park(tx, held, "figures-disagree", detail, done=done, evidence=details)
        return
    finish_step(tx, held, Step.CONFIRM, "confirmed", details=details)


def _quote_ids(held: Cancellation) -> list[str]:
    return [quote["id"] for quote in held.quotes]


def _preview_body(held: Cancellation) -> dict[str, Any]:
    quotes = [wire.QuoteToCancel(id=quote["id"], reason=quote["reason_for_cancellation"]) for quote in held.quotes]
    required = held.request.get("refund_required")
    return dict(wire.preview_request(quotes, refund_required=required, with_reasons=held.sends_reasons))


def _intend_confirm(tx: Transaction, held: Cancellation, call: Call | None) -> Call:
    """Write the intent to confirm this round's offer: the same key for the same offer, until it is proven not done."""
    offered = {
        "cancellation_id": held.preview_cancellation_id,
        "quotes": _quote_ids(held),
    }
    is_same = call is not None and calls.is_open(call) and call.request == offered
    number = call.round if call is not None and is_same else calls.next_round(tx.session, held.id, Step.CONFIRM)
    cancellations.pass_point_of_no_return(tx, held)
    return calls.intend(tx, held, Step.CONFIRM, round_number=number, body=offered, evidence=offered)


def _must_read_back(tx: Transaction, held: Cancellation, call: Call) -> bool:
    if calls.is_unsettled(call) and offer.is_claim_closed_unpaid(tx, held):
        return True  # it must not be confirmed any more, unless it already is
    return reading_back.is_due(tx, call)


def _read_back(held: Cancellation, call: Call) -> None:
    """Settle a confirm whose outcome is unknown, or that was refused, by what the booking shows."""
    read = partner_of(held).xcover.get_booking(held.booking_id)
    if held.previewed_from is None or held.previewed_until is None:
        raise ValueError(f"cancellation {held.id} is being confirmed without a preview")
    deed = settling.judge_cancelled(
        read.value, _quote_ids(held), stamped_from=held.previewed_from, stamped_until=held.previewed_until
    )
    evidence = {"answer": dict(read.evidence), "judged": deed.value}
    with runtime().database.transaction() as tx:
        match deed:
            case settling.Deed.DONE:
                finish_step(tx, held, Step.CONFIRM, "confirmed, as the booking shows", details=evidence)
                calls.record(tx, call, "done", must_read_back=False)
            case settling.Deed.NOT_DONE:
                _not_done(tx, held, call, evidence, insurer_time=read.insurer_time)
            case settling.Deed.SOMEONE_ELSES:
                detail = "The booking shows a cancellation that is not the one previewed here."
                cancellations.park(tx, held, "cancelled-by-someone-else", detail, evidence=evidence)
            case settling.Deed.PARTLY:
                detail = "The booking shows only a part of its policies cancelled."
                cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)


def _not_done(
    tx: Transaction,
    held: Cancellation,
    call: Call,
    evidence: dict[str, Any],
    *,
    insurer_time: datetime | None,
) -> None:
    """Believe "not done" only when no request of ours can still be on its way; then try anew, or stop."""
    if reading_back.is_too_early(tx, held, call, evidence):
        return
    if reading_back.is_refused(call) and not offer.has_lapsed(held, insurer_time):
        calls.record(tx, call, "refused", is_doubtful=False, must_read_back=False)  # a retry repeats it with its key
        detail = f"XCover refused the confirm with {call.answer_status} and shows the policies as not cancelled."
        cancellations.park(tx, held, "insurer-refused", detail, evidence=evidence, refusal=call.answer)
        return
    if not offer.has_lapsed(held, insurer_time) and call.round >= MAX_CONFIRMS:
        detail = f"{call.round} confirms under keys of their own did nothing."
        cancellations.park(tx, held, "outcome-unsettled", detail, evidence=evidence)
        return
    calls.settle_not_done(tx, call)
    if offer.has_lapsed(held, insurer_time):
        cancellations.renew_preview(tx, held, "the offer lapsed before it was confirmed")
    else:
        cancellations.postpone(tx, held, "proven not done; confirmed anew with a new key", seconds=0, details=evidence)
