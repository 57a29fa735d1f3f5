"""What a booking makes of a request: which policies, in which order. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from shared.cancellation_request import CancellationRequest, ClaimTerms
from shared.lifecycle import Journey, Step, order_of, steps_of
from shared.xcover.wire import Booking, Policy


class CannotGoOn(Exception):
    """Our own rules say no, before anything irreversible; `slug` names the problem."""

    def __init__(self, slug: str, detail: str, **evidence: Any) -> None:
        super().__init__(detail)
        self.slug = slug
        self.evidence = evidence


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The journey as it will be frozen."""

    steps: tuple[Step, ...]
    quotes: tuple[dict[str, Any], ...]
    claim_quote_id: str | None

    def policies(self) -> set[str]:
        """Return every policy the journey cancels or claims."""
        return {quote["id"] for quote in self.quotes} | ({self.claim_quote_id} if self.claim_quote_id else set())


def make_plan(request: CancellationRequest, booking: Booking) -> Plan:
    """Resolve a request against its booking, or raise CannotGoOn naming the policy and the reason."""
    if booking.id != request.booking_id:  # two spellings would be two bookings to our reservations
        detail = f"XCover knows this booking as {booking.id}: send its id in that spelling."
        raise CannotGoOn("booking-not-found", detail, booking_id=booking.id)
    policies = {policy.id: policy for policy in booking.policies}
    claimed = None
    if request.claim is not None:
        claimed = _claimed_policy(request.claim, request, policies)
    journey = request.journey or Journey.CANCEL
    quotes = [] if journey is Journey.CLAIM else _quotes_to_cancel(request, policies, claimed)
    for quote in quotes:
        _check_is_not_cancelled(policies[quote["id"]])
    if journey is not Journey.CLAIM_THEN_CANCEL or request.dry_run:  # it asks when the time to cancel has come
        check_can_be_cancelled(booking, [quote["id"] for quote in quotes])
    if claimed and _is_cancelled(policies[claimed]):
        detail = f"Policy {claimed} is already cancelled; a cancelled policy cannot be claimed."
        raise CannotGoOn("policy-already-cancelled", detail, quote_id=claimed)
    cancelled = {quote["id"] for quote in quotes}
    when = request.claim.when if request.claim else None
    steps = order_of(journey, when=when, claimed_quote=claimed, cancelled_quotes=cancelled)
    if request.dry_run:
        steps = steps_of(journey, dry_run=True)
    return Plan(steps=steps, quotes=tuple(quotes), claim_quote_id=claimed)


def check_can_be_cancelled(booking: Booking, quote_ids: Collection[str]) -> None:
    """Raise CannotGoOn naming the first of these policies that XCover does not allow to be cancelled."""
    policies = {policy.id: policy for policy in booking.policies}
    _check_in_booking(quote_ids, policies)
    for quote_id in quote_ids:
        policy = policies[quote_id]
        _check_is_not_cancelled(policy)
        if policy.can_be_cancelled is not True:
            said = "does not tell whether" if policy.can_be_cancelled is None else "denies that"
            detail = f"XCover {said} policy {policy.id} (status {policy.status}) can be cancelled."
            raise CannotGoOn("policy-cannot-be-cancelled", detail, quote_id=policy.id, policy_status=policy.status)


def _claimed_policy(claim: ClaimTerms, request: CancellationRequest, policies: dict[str, Policy]) -> str:
    if claim.quote_id is not None:
        _check_in_booking([claim.quote_id], policies)
        return claim.quote_id
    if len(policies) == 1:
        return next(iter(policies))
    named = {quote.id for quote in request.quotes or []}
    unnamed = [quote_id for quote_id in policies if quote_id not in named]
    if named and len(unnamed) == 1:
        return unnamed[0]
    detail = f"The booking has {len(policies)} policies: name the one to claim in claim.quote_id."
    raise CannotGoOn("claim-policy-ambiguous", detail, quote_ids=sorted(policies))


def _quotes_to_cancel(
    request: CancellationRequest, policies: dict[str, Policy], claimed: str | None
) -> Sequence[dict[str, Any]]:
    if request.quotes:
        _check_in_booking([quote.id for quote in request.quotes], policies)
        return [quote.model_dump(mode="json") for quote in request.quotes]
    # The claimed policy is left alive, unless it is the only one or its own cancellation is what the journey is about.
    spared = claimed if request.journey is Journey.CANCEL_AND_CLAIM else None
    chosen = [quote_id for quote_id in policies if quote_id != spared] or list(policies)
    if not chosen:
        raise CannotGoOn("policy-not-in-booking", "The booking has no policies; there is nothing to cancel.")
    return [{"id": quote_id, "reason_for_cancellation": None} for quote_id in chosen]


def _check_in_booking(quote_ids: Collection[str], policies: dict[str, Policy]) -> None:
    for quote_id in quote_ids:
        if quote_id not in policies:
            detail = f"The booking has no policy {quote_id}; it has {', '.join(sorted(policies)) or 'none'}."
            raise CannotGoOn("policy-not-in-booking", detail, quote_id=quote_id)


def _is_cancelled(policy: Policy) -> bool:
    return policy.cancelled_at is not None or policy.status == "CANCELLED"


def _check_is_not_cancelled(policy: Policy) -> None:
    if _is_cancelled(policy):
        detail = f"Policy {policy.id} is already cancelled."
        raise CannotGoOn("policy-already-cancelled", detail, quote_id=policy.id, policy_status=policy.status)
