"""The insurer's offer: what cancelling refunds and until when it holds; taking it, renewing it, not confirming it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from shared import cancellations, claims, milestones
from shared.clock import utc_now
from shared.config import WorkerSettings
from shared.db import Transaction, now_plus
from shared.insurer.answers import Answer
from shared.lifecycle import DRY_RUN, Step
from shared.models import Call, Cancellation
from shared.money import Money
from shared.xcover.wire import Preview
from workers import figures

DATE_HEADER_STEP = timedelta(seconds=1)
"""The insurer's `Date` has whole seconds."""
LONGEST_OFFER = timedelta(days=366).total_seconds()
"""An offer without an end is believed for a year."""
MAX_ROUNDS = 1_000
"""Offers taken for one cancellation; a refund awaited for 14 days at offers of an hour needs under 700."""
SHORTEST_RENEWAL = 30.0
"""Seconds between two rounds at least, however short the insurer makes its offers."""


def take(tx: Transaction, held: Cancellation, call: Call, answer: Answer[Preview], *, margin: timedelta) -> None:
    """Store a preview and go on; start a new round when it is as good as lapsed, park when its figures disagree."""
    preview = answer.value
    said_at = answer.insurer_time or utc_now()
    holds_for = min((preview.confirm_before - said_at).total_seconds(), LONGEST_OFFER)
    disagreement = _disagreement(held, preview)
    is_dry_run = held.journey == DRY_RUN  # nothing of it is confirmed, and nobody need decide anything
    if disagreement:
        end = cancellations.reject if is_dry_run else cancellations.park
        end(tx, held, "figures-disagree", disagreement, evidence=dict(answer.evidence))
        return
    if holds_for <= margin.total_seconds() and not is_dry_run:
        # A replay can be a day old. A fresh offer this short is the insurer's doing: no flood of rounds.
        wait = 0.0 if answer.replayed else SHORTEST_RENEWAL
        cancellations.renew_preview(tx, held, "the offer is as good as lapsed", seconds=wait)
        return
    now = tx.session.scalar(select(now_plus(0))) or utc_now()
    # A replay was made when the key first went out, an answer of its own in this very try.
    sent_at = call.first_sent_at if answer.replayed else held.begun_at
    since_sent = now - sent_at if sent_at else timedelta(0)
    refunds = {policy.quote_id: format(policy.refund, "f") for policy in preview.refunds if policy.refund is not None}
    values: dict[str, Any] = {
        "quotes": [{**quote, "refund": refunds.get(quote["id"])} for quote in held.quotes],
        "preview_cancellation_id": preview.cancellation_id,
        "preview_total": preview.total_refund,
        "preview_currency": preview.currency,
        "preview_confirm_before": preview.confirm_before,
        "preview_expires_at": now_plus(holds_for),
        "previewed_from": said_at - since_sent - 2 * DATE_HEADER_STEP,
        "previewed_until": said_at + 2 * DATE_HEADER_STEP,
    }
    total = Money(amount=preview.total_refund, currency=preview.currency)
    reason = f"refund of {total} offered until {preview.confirm_before:%Y-%m-%d %H:%M:%S} UTC"
    cancellations.finish_step(tx, held, Step.PREVIEW, reason, details={"answer": dict(answer.evidence)}, **values)


def stops_confirm(tx: Transaction, held: Cancellation, settings: WorkerSettings) -> bool:
    """Tell whether this offer must not be confirmed now, having written what happens instead."""
    if is_claim_closed_unpaid(tx, held):
        park_closed_claim(tx, held)
        return True
    if held.round >= MAX_ROUNDS:
        detail = f"{held.round} offers came and went without one that could be confirmed; retry takes it up again."
        cancellations.park(tx, held, "tries-spent", detail)
        return True
    if held.begun_at is None or held.preview_expires_at is None:
        raise ValueError(f"cancellation {held.id} is to be confirmed without a preview")
    if held.begun_at + settings.confirm_margin >= held.preview_expires_at:
        wait = SHORTEST_RENEWAL if held.round > 1 else 0.0
        cancellations.renew_preview(tx, held, "the offer is about to lapse before it can be confirmed", seconds=wait)
        return True
    return False


def has_lapsed(held: Cancellation, insurer_time: datetime | None) -> bool:
    """Tell by the insurer's clock whether the offer's deadline has passed."""
    return held.preview_confirm_before is not None and (insurer_time or utc_now()) >= held.preview_confirm_before


def renewal_lead(held: Cancellation, settings: WorkerSettings) -> timedelta:
    """Return how long before its end an offer is renewed: an hour, or half of one that is shorter than two."""
    if held.preview_confirm_before is None or held.previewed_until is None:
        return settings.preview_renew_before
    return min(settings.preview_renew_before, (held.preview_confirm_before - held.previewed_until) / 2)


def offered(held: Cancellation) -> Money:
    """Return the refund that the present offer names."""
    if held.preview_total is None or held.preview_currency is None:
        raise ValueError(f"cancellation {held.id} is at its refund without a preview")
    return Money(amount=held.preview_total, currency=held.preview_currency)


def _disagreement(held: Cancellation, preview: Preview) -> str | None:
    total, asked_for = preview.total_refund, [quote["id"] for quote in held.quotes]
    if preview.refund_amount is not None and preview.refund_amount != total:
        return (
            f"The preview's total refund is {total} {preview.currency}, but its refund amount {preview.refund_amount}."
        )
    return figures.disagreement(total, preview.currency, preview.refunds, asked_for=asked_for)


def is_claim_closed_unpaid(tx: Transaction, held: Cancellation) -> bool:
    """Tell whether the claim that was to come first came to nothing: then the policies are not cancelled."""
    if Step.CLAIM not in held.done_steps:
        return False
    claim = claims.of_cancellation(tx.session, held.id)
    return claim is not None and milestones.CLAIM_CLOSED_UNPAID in claim.milestones


def park_closed_claim(tx: Transaction, held: Cancellation) -> None:
    """Leave it to a person whether the policies are cancelled without a claim."""
    detail = "The claim was closed unpaid before the confirm; the policy has not been cancelled."
    cancellations.park(tx, held, "claim-closed-unpaid", detail)
