"""XCover's words on one side, ours on the other. The only place where its field names appear. No HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from shared.insurer.errors import Problems, UnusableAnswer, flatten_errors, problems_in
from shared.insurer.reading import (
    Object,
    entries,
    identifier,
    object_at,
    optional_amount,
    optional_end,
    optional_flag,
    optional_instant,
    optional_text,
    text,
)
from shared.redaction import clean_text
from shared.xcover.bookings import Booking, Confirmation, Policy, PolicyRefund, Preview, QuoteToCancel
from shared.xcover.errors import ShowsCancelled

__all__ = [
    "Booking",
    "Confirmation",
    "Policy",
    "PolicyRefund",
    "Preview",
    "QuoteToCancel",
    "booking_from",
    "complains_of_reasons",
    "confirmation_from",
    "evidence_in",
    "flatten_errors",
    "immediate_request",
    "preview_from",
    "preview_request",
    "quotes_named_in",
    "says_preview",
]


def preview_request(
    quotes: Sequence[QuoteToCancel], *, refund_required: bool | None, with_reasons: bool = True
) -> dict[str, object]:
    """Return the body that asks what cancelling these policies would refund. Raises ValueError for none.

    Without reasons, for partners whose integration rejects that field (see `complains_of_reasons`).
    """
    return _cancel_request(quotes, preview=True, refund_required=refund_required, with_reasons=with_reasons)


def immediate_request(
    quotes: Sequence[QuoteToCancel], *, refund_required: bool | None, with_reasons: bool = True
) -> dict[str, object]:
    """Return the body that cancels these policies at once, which cannot be taken back. Raises ValueError for none.

    It says `"preview": false` although leaving it out would do the same: that must never happen by omission.
    """
    return _cancel_request(quotes, preview=False, refund_required=refund_required, with_reasons=with_reasons)


def says_preview(body: object) -> bool | None:
    """Tell whether a cancel body says it is a preview; None if it does not say, which cancels for real."""
    return optional_flag(body, "preview") if isinstance(body, dict) else None


def quotes_named_in(body: Mapping[str, object]) -> tuple[str, ...]:
    """Return the ids of the policies that a cancel body names."""
    return tuple(text(quote, "id") for quote in entries(body.get("quotes", []), "quotes"))


def complains_of_reasons(problems: Problems) -> bool:
    """Tell whether a refused cancel body may have been refused for its reasons alone.

    The guides disagree on where the reason goes; a recorded refusal names no field, only "malformed".
    """
    return any(
        "unexpected field" in said.lower() and path.rpartition(".")[2] in {"reason_for_cancellation", "malformed"}
        for path, said in problems
    )


def booking_from(body: object, *, booking_id: str) -> Booking:
    """Read a booking, which must be the one asked for, in XCover's own spelling of its id. Raises UnusableAnswer."""
    booking = object_at(body, "the answer")
    spelled = text(booking, "id")
    if spelled.casefold() != booking_id.casefold():
        raise UnusableAnswer("the answer is not about the booking asked for")
    return Booking(
        id=spelled,
        status=text(booking, "status"),
        currency=text(booking, "currency"),
        policies=tuple(map(_policy, _quotes(booking))),
    )


def preview_from(body: object, *, booking_id: str, quote_ids: Collection[str]) -> Preview:
    """Read a preview of these policies (none named: of all). Raises UnusableAnswer for anything else.

    A preview's statuses already say CANCELLED. What tells it from a cancellation is that it has an id and a
    last time to confirm by, and that no policy has a cancellation time.
    """
    package = _package(body, booking_id)
    refunds = _refunds(package)
    for refund in _asked_for(refunds, quote_ids):
        if refund.cancelled_at is not None:
            raise ShowsCancelled(f"not a preview: cancelled_at is set on {refund.quote_id}, it is cancelled")
    confirm_before = optional_end(package, "confirm_before")
    total_refund = optional_amount(package, "total_refund")
    if optional_text(package, "cancellation_id") is None or confirm_before is None:
        raise UnusableAnswer("not a preview: cancellation_id or confirm_before is missing")
    if total_refund is None:
        raise UnusableAnswer("not a preview: total_refund is missing")
    return Preview(
        booking_id=booking_id,
        cancellation_id=identifier(package, "cancellation_id"),
        confirm_before=confirm_before,
        total_refund=total_refund,
        currency=text(package, "currency"),
        refunds=refunds,
        refund_amount=optional_amount(package, "refund_amount"),
    )


def confirmation_from(
    body: object, *, booking_id: str, quote_ids: Collection[str], cancellation_id: str | None
) -> Confirmation:
    """Read a cancellation of these policies that was carried out. Raises UnusableAnswer for anything else.

    Only `cancelled_at` on each policy asked for counts: the statuses are the same in a preview, and the
    documented sample of this answer is in truth a preview's. Recorded ones have no cancellation id left.
    """
    package = _package(body, booking_id)
    policies = _refunds(package)
    for policy in _asked_for(policies, quote_ids):
        if policy.cancelled_at is None:
            raise UnusableAnswer(f"not carried out: cancelled_at is not set on {policy.quote_id}")
    told = optional_text(package, "cancellation_id")
    if told not in {None, cancellation_id}:
        raise UnusableAnswer(f"not carried out: the answer is about the cancellation {told}")
    return Confirmation(
        booking_id=booking_id,
        currency=optional_text(package, "currency"),
        total_refund=optional_amount(package, "total_refund"),
        policies=policies,
    )


def evidence_in(body: object) -> dict[str, object]:
    """Return what is kept of an answer: ids, statuses, times, amounts as text, complaints. Nobody's data."""
    if not isinstance(body, dict):
        return {}
    kept = _kept(body, ("id", "status", "currency", "updated_at", "cancellation_id", "confirm_before"))
    kept |= _kept(body, ("total_price", "total_refund", "refund_amount", "type"))
    try:
        listed = entries(body.get("quotes", []), "quotes")
    except UnusableAnswer:
        listed = []
    wanted = ("id", "status", "can_be_cancelled", "price", "refund_value", "adjustment_fee", "refund_type")
    dated = ("cancelled_at", "policy_cancellation_date", "policy_start_date", "policy_end_date")
    kept["quotes"] = [_kept(quote, wanted + dated) for quote in listed[:50]]
    kept["problems"] = [list(pair) for pair in problems_in(body)]
    return kept


def _cancel_request(
    quotes: Sequence[QuoteToCancel], *, preview: bool, refund_required: bool | None, with_reasons: bool
) -> dict[str, object]:
    if not quotes:
        raise ValueError("a cancellation names its policies: a body that names none is taken for all of them")
    body: dict[str, object] = {
        "preview": preview,
        "quotes": [_named(quote, with_reason=with_reasons) for quote in quotes],
    }
    return body if refund_required is None else {**body, "refund_required": refund_required}


def _named(quote: QuoteToCancel, *, with_reason: bool) -> dict[str, object]:
    return {
        "id": quote.id,
        **({"reason_for_cancellation": quote.reason} if with_reason and quote.reason else {}),
    }


def _package(body: object, booking_id: str) -> Object:
    package = object_at(body, "the answer")
    if package.get("id") != booking_id:
        raise UnusableAnswer("the answer is not about the booking asked for")
    return package


def _quotes(package: Object) -> list[Object]:
    return entries(package.get("quotes"), "quotes")


def _policy(quote: Object) -> Policy:
    details = quote.get("policy")
    return Policy(
        id=identifier(quote, "id"),
        status=text(quote, "status"),
        can_be_cancelled=optional_flag(quote, "can_be_cancelled"),
        cancelled_at=optional_instant(quote, "cancelled_at"),
        policy_type=optional_text(details, "policy_type") if isinstance(details, dict) else None,
        starts_at=optional_instant(quote, "policy_start_date"),
        ends_at=optional_end(quote, "policy_end_date"),
    )


def _refunds(package: Object) -> tuple[PolicyRefund, ...]:
    return tuple(
        PolicyRefund(
            quote_id=identifier(quote, "id"),
            refund=optional_amount(quote, "refund_value"),
            cancelled_at=optional_instant(quote, "cancelled_at"),
        )
        for quote in _quotes(package)
    )


def _asked_for(policies: Sequence[PolicyRefund], quote_ids: Collection[str]) -> Sequence[PolicyRefund]:
    """Return the policies asked for, every one of which must be in the answer; none asked for means all."""
    missing = set(quote_ids) - {policy.quote_id for policy in policies}
    if missing or not policies:
        raise UnusableAnswer(f"the answer lacks policies: {', '.join(sorted(missing)) or 'it has none at all'}")
    return [policy for policy in policies if not quote_ids or policy.quote_id in quote_ids]


def _kept(entry: Object, names: Sequence[str]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name in names:
        value = entry.get(name)
        if isinstance(value, bool) or (value is None and name in entry):
            kept[name] = value
        elif isinstance(value, str | int | Decimal):
            kept[name] = clean_text(str(value))
    return kept
