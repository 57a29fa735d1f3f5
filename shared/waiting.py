"""Why a cancellation stands where it stands, what it waits for, until when, and what happens then: in plain words.

Only reads. What a person may press is told where a person must decide; the steps themselves are not repeated here.
"""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import claims
from shared.config import AcceptingSettings
from shared.db import now_plus
from shared.lifecycle import DRY_RUN, Status, Step
from shared.models import Cancellation, Transition
from shared.review_advice import advice
from shared.waiting_in_progress import Look, is_in_hand, pause_of, why_in_progress
from shared.waiting_words import ended, moment, money, since, times

_ALIKE = timedelta(seconds=1)


def why(session: Session, row: Cancellation, *, settings: AcceptingSettings) -> str:
    """Return a few plain sentences for a person on call; a few indexed queries, no personal data of the request."""
    now = session.scalars(select(now_plus(0))).one()
    of_partner = settings.of_partner(row.partner)
    look = Look(
        session=session, row=row, now=now, settings=of_partner or settings, is_partner_known=of_partner is not None
    )
    return _WHY[Status(row.status)](look)


def _completed(look: Look) -> str:
    if look.row.journey == DRY_RUN:
        return f"The dry run has ended at {moment(look.row.updated_at)}. Nothing was cancelled, and nothing will be."
    done = f"Every step of its journey is done since {moment(look.row.completed_at or look.row.updated_at)}."
    claim = claims.of_cancellation(look.session, look.row.id)
    if claim is None or claim.closed_at is not None or claim.reference is None:
        return f"{done} It waits for nothing."
    asked = "" if claim.next_poll_at is None else f", and XClaim is asked again at {moment(claim.next_poll_at)}"
    return f"{done} Its claim {claim.reference} is still open as {claim.status!r}: webhooks tell of changes{asked}."


def _rejected(look: Look) -> str:
    said = f"It was rejected at {moment(look.row.updated_at)}, with nothing done: {ended(_title(look))}"
    todo = advice(look.row.status, _slug(look))
    return said if todo is None else f"{said} What its caller can do: {ended(todo)}"


def _aborted(look: Look) -> str:
    last = _last(look, to=Status.ABORTED)
    by = "" if last is None else f" by {last.actor}"
    return f"It was taken back{by} at {moment(look.row.updated_at)}. Nothing was cancelled, and it waits for nothing."


def _closed(look: Look) -> str:
    last = _last(look, to=Status.CLOSED)
    by, why_ = ("", "") if last is None else (f" by {last.actor}", f" Why: {ended(last.reason)}")
    return f"It was ended by hand{by} at {moment(look.row.updated_at)}, and waits for nothing.{why_}"


def _needs_review(look: Look) -> str:
    row = look.row
    where = f" at the step {row.next_step}" if row.next_step else ""
    parts = [f"It waits for a person{where} since {since(row.updated_at, look.now)}: {ended(_title(look))}"]
    todo = advice(row.status, _slug(look))
    if todo is not None:
        parts.append(f"What to do: {ended(todo)}")
    if row.next_step in {Step.REFUND, Step.CONFIRM} and row.preview_expires_at and row.preview_expires_at > look.now:
        parts.append(
            f"The offer of {money(row.preview_total, row.preview_currency)} ends at {moment(row.preview_expires_at)}:"
            " after that it is previewed anew, and may be another."
        )
    return " ".join(parts)


def _awaiting_refund(look: Look) -> str:
    row = look.row
    if is_in_hand(look):
        return why_in_progress(look)
    whom = "the partner, who was asked to pay, to report" if row.refund_mode == "call" else "its caller to report"
    amount = money(row.preview_total, row.preview_currency)
    parts = [f"It waits for {whom} that the customer got {amount} back, since {_waiting_since(look)}."]
    if row.next_attempt_at is not None and row.waiting_since is not None:
        give_up = row.waiting_since + look.settings.refund_max_wait
        if row.next_attempt_at < give_up - _ALIKE:
            if row.preview_expires_at is not None:
                parts.append(f"The offer holds until {moment(row.preview_expires_at)}.")
            parts.append(f"At {moment(row.next_attempt_at)} it is renewed, and may then be another.")
        parts.append(f"If nothing is reported by {moment(give_up)}, a person must decide.")
    return " ".join([*parts, *_paused_too(look)])


def _awaiting_premium_refund(look: Look) -> str:
    row = look.row
    if is_in_hand(look):
        return why_in_progress(look)
    claim = claims.of_cancellation(look.session, row.id)
    name = "its claim" if claim is None or claim.reference is None else f"its claim {claim.reference}"
    stands = "" if claim is None or claim.status is None else f", which stands at {claim.status!r},"
    parts = [f"It waits for {name}{stands} to report the Premium Refund, since {_waiting_since(look)}."]
    if row.next_attempt_at is not None:
        often = "" if claim is None or not claim.polls else f", after asking {times(claim.polls)} in vain"
        parts.append(f"Webhooks tell of it; XClaim is asked again by {moment(row.next_attempt_at)}{often}.")
    if row.waiting_since is not None:
        give_up = row.waiting_since + look.settings.premium_refund_max_wait
        parts.append(f"If there is none by {moment(give_up)}, a person must decide; the policies are not cancelled.")
    return " ".join([*parts, *_paused_too(look)])


def _paused_too(look: Look) -> list[str]:
    pause = pause_of(look)
    return [] if pause is None else [f"Besides, {pause}"]


def _waiting_since(look: Look) -> str:
    return since(look.row.waiting_since or look.row.updated_at, look.now)


def _title(look: Look) -> str:
    return str((look.row.problem or {}).get("title") or "no reason is written down")


def _slug(look: Look) -> str:
    return str((look.row.problem or {}).get("type", "")).removeprefix("/problems/")


def _last(look: Look, *, to: Status) -> Transition | None:
    came = select(Transition).where(Transition.cancellation_id == look.row.id, Transition.to_status == to)
    return look.session.scalars(came.order_by(Transition.at.desc()).limit(1)).first()


_WHY: dict[Status, Callable[[Look], str]] = {
    Status.IN_PROGRESS: why_in_progress,
    Status.AWAITING_REFUND: _awaiting_refund,
    Status.AWAITING_PREMIUM_REFUND: _awaiting_premium_refund,
    Status.COMPLETED: _completed,
    Status.REJECTED: _rejected,
    Status.ABORTED: _aborted,
    Status.NEEDS_REVIEW: _needs_review,
    Status.CLOSED: _closed,
}
