"""XClaim's rules: who may claim, what a claim must say, and how it moves on. Callers hold the lock."""

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tests.simulator import claim_payloads
from tests.simulator.answers import Answer, RefusedError
from tests.simulator.records import Booking, Claim, Policy, StoryEvent
from tests.simulator.state import State

FIELDS = ("claimTypeId", "bookingReference", "quoteReference", "language", "sectionFields", "webhooks")
REQUIRED = ("claimTypeId", "bookingReference", "quoteReference")
WORDS = {
    "claimTypeId": "claim type id",
    "bookingReference": "booking reference",
    "quoteReference": "quote reference",
}
UNIQUE_QUOTE = "claim_with_same_purchase_has_unique_quote"
COVERAGE = "valid_policy_coverage_period"
ACTIVE = "booking_is_active"


def refused(errors: dict[str, str]) -> RefusedError:
    first = next(iter(errors.values()))
    listed = {name: [text] for name, text in errors.items()}
    return RefusedError(Answer(422, {"type": "exception", "message": first, "errors": listed}))


def eligibility(state: State, booking_id: str, body: Any) -> Answer:
    if not isinstance(body, dict) or not body.get("quoteReference"):
        raise refused({"quoteReference": "The quote reference field is required."})
    booking, policy = _find(state, booking_id, body["quoteReference"])
    failed = failed_checks(state, booking, policy)
    if failed:
        return Answer(200, {"isCustomerEligible": False, "failedChecks": failed})
    amount = {"claimAmount": f"{policy.claim_amount:f}", "currency": booking.currency}
    return Answer(200, {"isCustomerEligible": True, **amount})


def failed_checks(state: State, booking: Booking, policy: Policy) -> list[str]:
    checks = list(booking.failed_checks)
    now = state.now()
    if policy.policy_start and policy.policy_end and not policy.policy_start <= now <= policy.policy_end:
        checks.append(COVERAGE)
    if any(claim.stands and claim.quote_id == policy.id for claim in state.claims_of(booking.id)):
        checks.append(UNIQUE_QUOTE)
    if not _is_claimable(booking, policy):
        checks.append(ACTIVE)
    return checks


def create(state: State, body: Any, key: str | None) -> Claim:
    """Open a claim; where duplicates are accepted the second one stands beside the first."""
    _check_fields(body)
    booking, policy = _find(state, body["bookingReference"], body["quoteReference"])
    if not _is_claimable(booking, policy):
        raise refused({"quoteReference": "The policy of the selected quote reference is not active."})
    now = state.now()
    claim = Claim(
        booking=booking,
        quote_id=policy.id,
        claim_type_id=body["claimTypeId"],
        language=body.get("language", "en"),
        section_fields=body.get("sectionFields", []),
        receivers=body.get("webhooks", []),
        reported_at=now,
        last_status_at=now,
        polls_left=booking.claim_pending_polls,
        pending_until=now + timedelta(seconds=booking.claim_pending_seconds),
        story=list(booking.claim_story),
    )
    if booking.claim_pending_polls or booking.claim_pending_seconds or booking.claim_fails:
        claim.processing = "pending"
    if _has_twin(state, claim):
        if state.settings.duplicates == "refuse":
            raise refused({"quoteReference": "A claim with the selected quote reference already exists."})
        claim.category, claim.name, claim.label = "Duplicate Claim", "duplicate_claim", "Duplicate Claim"
        claim.story = []
    state.claims[claim.id] = claim
    _record(state, claim, key)
    return claim


def look(state: State, claim: Claim) -> bool:
    """Fetch a claim; true when this was the look at which it turned out to be processed."""
    if claim.processing != "pending":
        return False
    if claim.polls_left > 0:
        claim.polls_left -= 1
        return False
    if state.now() < claim.pending_until:
        return False
    claim.failure_reason = claim.booking.claim_fails
    claim.processing = "failed" if claim.failure_reason else "processed"
    return claim.processing == "processed"


def advance(state: State, claim: Claim, event: StoryEvent) -> bytes:
    """Let an event happen to the claim; returns the webhook that tells of it."""
    if event.event == "claim.deleted":
        claim.is_deleted = True
    if event.category:
        claim.category = claim.label = event.category
        claim.name = event.category.lower().replace(" ", "_")
    claim.name = event.name or claim.name
    claim.label = event.label or claim.label
    claim.last_status_at = state.now()
    return claim_payloads.webhook(claim, event)


def _check_fields(body: Any) -> None:
    if not isinstance(body, dict):
        raise refused({"body": "The request body must be an object."})
    errors = {name: f"The {name} field is not allowed." for name in body if name not in FIELDS}
    for name in REQUIRED:
        if not isinstance(body.get(name), str) or not body[name]:
            errors[name] = f"The {WORDS[name]} field is required."
    if not errors and not _is_uuid(body["claimTypeId"]):
        errors["claimTypeId"] = "The claim type id must be a valid UUID."
    if not isinstance(body.get("language", "en"), str):
        errors["language"] = "The language must be a string."
    errors.update(_section_errors(body.get("sectionFields", [])))
    errors.update(_webhook_errors(body.get("webhooks", [])))
    if errors:
        raise refused(errors)


def _section_errors(sections: Any) -> dict[str, str]:
    if not isinstance(sections, list):
        return {"sectionFields": "The section fields must be an array."}
    errors = {}
    for number, section in enumerate(sections):
        if not isinstance(section, dict) or not section.get("name"):
            errors[f"sectionFields.{number}.name"] = f"The section_fields.{number}.name field is required."
        elif not isinstance(section.get("fields", []), list):
            errors[f"sectionFields.{number}.fields"] = f"The section_fields.{number}.fields must be an array."
    return errors


def _webhook_errors(receivers: Any) -> dict[str, str]:
    if not isinstance(receivers, list):
        return {"webhooks": "The webhooks must be an array."}
    errors = {}
    for number, receiver in enumerate(receivers):
        given = receiver if isinstance(receiver, dict) else {}
        if urlsplit(str(given.get("url"))).scheme not in {"http", "https"}:
            errors[f"webhooks.{number}.url"] = f"The webhooks.{number}.url format is invalid."
        if not given.get("key") or not isinstance(given["key"], str):
            errors[f"webhooks.{number}.key"] = f"The webhooks.{number}.key field is required."
        if given.keys() - {"url", "key"}:
            errors[f"webhooks.{number}"] = f"The webhooks.{number} has fields that are not allowed."
    return errors


def _find(state: State, booking_id: str, quote_id: Any) -> tuple[Booking, Policy]:
    booking = state.bookings.get(booking_id)
    if booking is None:
        raise refused({"bookingReference": "The selected booking reference is invalid."})
    policy = booking.policy(quote_id)
    if policy is None:
        raise refused({"quoteReference": "The selected quote reference is invalid."})
    return booking, policy


def _is_claimable(booking: Booking, policy: Policy) -> bool:
    return policy.status == "CONFIRMED" or (policy.is_cancelled and booking.claim_when_cancelled)


def _has_twin(state: State, claim: Claim) -> bool:
    return any(
        other.stands and other.quote_id == claim.quote_id and other.claim_type_id == claim.claim_type_id
        for other in state.claims_of(claim.booking.id)
    )


def _record(state: State, claim: Claim, key: str | None) -> None:
    policy = claim.booking.policy(claim.quote_id)
    state.record(
        "claim",
        claim.booking,
        quotes=[claim.quote_id],
        amount=f"{policy.claim_amount:f}" if policy else None,
        currency=claim.booking.currency,
        key=key,
        claim=claim.id,
        reference=claim.reference,
        category=claim.category,
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
