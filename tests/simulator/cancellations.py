"""XCover's rules: what may be previewed, confirmed or cancelled at once. Callers hold the state's lock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.simulator import payloads
from tests.simulator.answers import Answer, RefusedError
from tests.simulator.records import Booking, Cancellation, Policy, cancellation_id
from tests.simulator.state import State

UNEXPECTED = {"malformed": "Unexpected field"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    preview: bool
    policies: list[Policy]


def invalid(errors: Any) -> RefusedError:
    body = {"type": "validation_error", "message": "An API error occurred.", "errors": errors}
    return RefusedError(Answer(422, body))


def read_cancel(booking: Booking, body: Any) -> Wanted:
    """Check the body of a cancel call. An empty one is a wish to cancel everything now."""
    if not isinstance(body, dict):
        raise invalid({"non_field_errors": ["Invalid data. Expected a dictionary."]})
    if body.keys() - {"preview", "refund_required", "quotes"}:
        raise invalid(UNEXPECTED)
    for name in ("preview", "refund_required"):
        if not isinstance(body.get(name, False), bool):
            raise invalid({name: ["Must be a valid boolean."]})
    return Wanted(preview=body.get("preview", False), policies=_named(booking, body))


def _named(booking: Booking, body: dict[str, Any]) -> list[Policy]:
    if "quotes" not in body:
        return [policy for policy in booking.policies if not policy.is_cancelled]
    quotes = body["quotes"]
    if not isinstance(quotes, list) or not quotes:
        raise invalid({"quotes": ["This list may not be empty."]})
    policies = []
    for quote in quotes:
        _check_quote(booking, quote)
        policy = booking.policy(quote["id"])
        if policy is None or policy in policies:
            raise invalid({"quotes": {"id": [f"No such quote in this package: {quote['id']}"]}})
        policies.append(policy)
    return policies


def _check_quote(booking: Booking, quote: Any) -> None:
    if not isinstance(quote, dict) or "id" not in quote:
        raise invalid({"quotes": {"id": ["This field is required."]}})
    if quote.keys() - {"id", "reason_for_cancellation"}:
        raise invalid(UNEXPECTED)
    if "reason_for_cancellation" in quote:
        if booking.reject_reasons:
            raise invalid({"reason_for_cancellation": "Unexpected field"})
        if not isinstance(quote["reason_for_cancellation"], str):
            raise invalid({"quotes": {"reason_for_cancellation": ["Not a valid string."]}})


def cancel(state: State, booking: Booking, body: Any, key: str | None) -> Answer:
    """Preview, or really cancel: `preview` decides, and when it is missing the policies are gone."""
    wanted = read_cancel(booking, body)
    _check_cancellable(booking, wanted.policies)
    now = state.now()
    refunds = {policy.id: policy.refund_value for policy in wanted.policies}
    if not wanted.preview:
        _apply(booking, refunds, at=now, now=now)
        _record(state, "cancel", booking, refunds, key)
        return Answer(200, payloads.cancelled(booking, state.credentials.partner_code, refunds=refunds))
    offer = Cancellation(
        id=cancellation_id(),
        refunds=refunds,
        previewed_at=now,
        confirm_before=_confirm_before(wanted.policies, now, state.settings.preview_validity),
    )
    booking.cancellations[offer.id] = offer
    for policy in wanted.policies:
        policy.updated_at = now
    _record(state, "preview", booking, refunds, key, cancellation_id=offer.id)
    body = payloads.cancelled(booking, state.credentials.partner_code, refunds=refunds, preview=offer)
    return Answer(200, body)


def confirm(state: State, booking: Booking, offer_id: str, body: Any, key: str | None) -> Answer:
    """Carry out a preview. Older previews stay valid until their own time is up."""
    if not isinstance(body, dict):
        raise invalid({"non_field_errors": ["Invalid data. Expected a dictionary."]})
    if body.keys() - {"reason_for_cancellation"}:
        raise invalid(UNEXPECTED)
    if not isinstance(body.get("reason_for_cancellation", ""), str):
        raise invalid({"reason_for_cancellation": ["Not a valid string."]})
    offer = booking.cancellations.get(offer_id)
    if offer is None:
        raise RefusedError(Answer(404, {"type": "api_error", "message": "Cancellation does not exist"}))
    if offer.is_used:
        raise status_not_allowed("CANCELLED")
    policies = [policy for policy in booking.policies if policy.id in offer.refunds]
    _check_cancellable(booking, policies)
    now = state.now()
    if now > offer.confirm_before:
        raise invalid(["Cancellation preview has expired"])
    offer.is_used = True
    # what is stored as the moment of cancellation is the preview's, however late the confirm comes
    _apply(booking, offer.refunds, at=offer.previewed_at, now=now)
    _record(state, "confirm", booking, offer.refunds, key, cancellation_id=offer.id)
    return Answer(200, payloads.cancelled(booking, state.credentials.partner_code, refunds=offer.refunds))


def status_not_allowed(status: str) -> RefusedError:
    return invalid([f"Status change not allowed for QuotePackage in status {status}"])


def _check_cancellable(booking: Booking, policies: list[Policy]) -> None:
    if not policies or any(policy.is_cancelled for policy in policies):
        raise status_not_allowed("CANCELLED")
    if not all(policy.can_be_cancelled for policy in policies):
        raise status_not_allowed(booking.status)


def _confirm_before(policies: list[Policy], now: datetime, validity: float) -> datetime:
    """A day, or until a policy ends if that is sooner; a policy that has ended already sets no limit."""
    ends = [policy.policy_end for policy in policies if policy.policy_end and policy.policy_end > now]
    return min([now + timedelta(seconds=validity), *ends])


def _apply(booking: Booking, refunds: dict[str, Decimal], *, at: datetime, now: datetime) -> None:
    for policy in booking.policies:
        if policy.id in refunds:
            policy.status = "CANCELLED"
            policy.cancelled_at = at
            policy.updated_at = now
    booking.updated_at = now


def _record(
    state: State, kind: str, booking: Booking, refunds: dict[str, Decimal], key: str | None, **facts: Any
) -> None:
    amount = booking.total_refund if booking.total_refund is not None else sum(refunds.values(), Decimal(0))
    state.record(
        kind,
        booking,
        quotes=list(refunds),
        amount=f"{amount:f}",
        currency=booking.currency,
        key=key,
        **facts,
    )
