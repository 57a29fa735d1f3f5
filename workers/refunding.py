"""The refund step: the customer's money, which the partner reports (`wait`), is asked for (`call`), or nobody moves."""

from decimal import Decimal
from typing import Any

from shared import calls, cancellations
from shared.config import WorkerSettings
from shared.db import Transaction, now_plus
from shared.insurer.answers import Answer
from shared.lifecycle import Step
from shared.models import Call, Cancellation
from shared.money import Money
from shared.refund_endpoint import RefundAnswer
from workers import offer


def settle(tx: Transaction, held: Cancellation, settings: WorkerSettings) -> Call | None:
    """Finish the step where nothing is left to wait for; else wait, renew the offer, or give up waiting.

    Returns the call that asks the partner for the refund where it is to be made now.
    """
    offered = offer.offered(held)
    call = calls.latest(tx.session, held.id, Step.REFUND)
    if offer.is_claim_closed_unpaid(tx, held):
        # Before an unknown refund is settled: a repeat could be what pays for a policy that is not cancelled any more.
        offer.park_closed_claim(tx, held)
    elif call is not None and calls.is_unsettled(call) and held.refund_amount is None:
        return _intend(tx, held, call.request, number=call.round)
    elif held.refund_amount is not None and held.refund_currency is not None:
        reported = Money(amount=held.refund_amount, currency=held.refund_currency)
        if reported == offered:
            cancellations.finish_step(tx, held, Step.REFUND, "the refund that was paid is the offered one")
        else:
            detail = f"A refund of {reported} was paid; the insurer now offers {offered}."
            cancellations.park(tx, held, "refund-amount-changed", detail)
    elif held.refund_mode == "skip":
        cancellations.finish_step(tx, held, Step.REFUND, "the request says that no refund is reported")
    elif offered.amount == 0 and (call is None or call.outcome != "done"):
        cancellations.finish_step(tx, held, Step.REFUND, "there is nothing to refund")
    elif held.refund_mode == "call" and (call is None or call.outcome != "done"):
        return _intend_or_renew(tx, held, settings, call)
    else:
        _wait_or_renew(tx, held, settings)
    return None


def body_of(held: Cancellation, call: Call) -> dict[str, Any]:
    """Return what the partner is sent: the same for every repeat of a call."""
    return {**call.request, "idempotency_key": held.idempotency_key, "metadata": held.metadata_}


def take_answer(
    tx: Transaction, held: Cancellation, call: Call, answer: Answer[RefundAnswer], settings: WorkerSettings
) -> None:
    """Store what the partner answered: it has refunded its customer, or will report that it has."""
    paid = Money(amount=Decimal(call.request["amount"]), currency=call.request["currency"])
    if answer.value.is_promised:
        _wait(tx, held, settings, f"the partner has been asked for {paid} and will report it")
    elif paid != offer.offered(held):
        raise ValueError(f"cancellation {held.id}: {paid} was asked for although {offer.offered(held)} is offered")
    else:
        cancellations.finish_step(
            tx, held, Step.REFUND, f"the partner refunded {paid}", details={"answer": dict(answer.evidence)},
            refund_amount=paid.amount, refund_currency=paid.currency, refund_reported_at=now_plus(0),
            refund_reference=answer.value.reference or call.key,
        )  # fmt: skip
    calls.record(tx, call, "done", is_doubtful=False, status=answer.status, answer=answer.evidence)


def _intend_or_renew(tx: Transaction, held: Cancellation, settings: WorkerSettings, call: Call | None) -> Call | None:
    """Ask for the present offer's refund while the offer has time left; one key for the whole cancellation."""
    if held.begun_at is None or held.preview_expires_at is None:
        raise ValueError(f"cancellation {held.id} is to be refunded without a preview")
    if held.begun_at >= held.preview_expires_at - offer.renewal_lead(held, settings):
        cancellations.renew_preview(tx, held, "the offer comes near its end before its refund was asked for")
        return None
    offered = offer.offered(held)
    asked = {"id": str(held.id), "booking_id": held.booking_id, "amount": offered.text, "currency": offered.currency}
    if call is None or not calls.is_open(call):  # none yet, or proven not done by an operator's word
        return _intend(tx, held, asked, number=calls.next_round(tx.session, held.id, Step.REFUND))
    if call.outcome == "refused" and call.request != asked:
        detail = (
            f"The partner refused to refund {call.request['amount']}; the insurer now offers {offered}. "
            "Report its refund, or resolve with not_done to ask for it under a new key."
        )
        cancellations.park(tx, held, "refund-refused", detail)
        return None
    return _intend(tx, held, asked, number=call.round)


def _intend(tx: Transaction, held: Cancellation, asked: dict[str, Any], *, number: int) -> Call:
    cancellations.assure_held(tx, held)
    cancellations.pass_point_of_no_return(tx, held)
    return calls.intend(tx, held, Step.REFUND, round_number=number, body=asked, evidence=asked)


def _wait_or_renew(tx: Transaction, held: Cancellation, settings: WorkerSettings) -> None:
    if held.begun_at is None or held.preview_expires_at is None:
        raise ValueError(f"cancellation {held.id} waits for its refund without a preview")
    if held.begun_at >= (held.waiting_since or held.begun_at) + settings.refund_max_wait:
        detail = f"No refund was reported within {settings.refund_max_wait.days} days; report it or abort."
        cancellations.park(tx, held, "refund-not-reported", detail)
    elif held.begun_at >= held.preview_expires_at - offer.renewal_lead(held, settings):
        cancellations.renew_preview(tx, held, "the offer comes near its end and no refund is reported")
    else:
        _wait(tx, held, settings, f"waits for the refund of {offer.offered(held)} to be reported")


def _wait(tx: Transaction, held: Cancellation, settings: WorkerSettings, reason: str) -> None:
    """Wait until the report comes, the offer has to be renewed, or the wait has been too long."""
    if held.begun_at is None or held.preview_expires_at is None:
        raise ValueError(f"cancellation {held.id} waits for its refund without a preview")
    give_up_at = (held.waiting_since or held.begun_at) + settings.refund_max_wait
    wake_at = min(give_up_at, held.preview_expires_at - offer.renewal_lead(held, settings))
    seconds = max((wake_at - held.begun_at).total_seconds(), offer.SHORTEST_RENEWAL)
    cancellations.await_refund(tx, held, reason, seconds=seconds)
