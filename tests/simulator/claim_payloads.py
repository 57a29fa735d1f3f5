"""XClaim's JSON: version 1 in camelCase, version 2 in snake_case, webhooks as PHP writes them. No rules."""

import json
from datetime import datetime
from typing import Any

from tests.simulator.records import Claim, StoryEvent


def pending(claim: Claim) -> dict[str, Any]:
    """What creation answers while the claim is not processed: it has a reference and no id."""
    return {
        "claimReference": claim.reference,
        "bookingReference": claim.booking.id,
        "quoteReference": claim.quote_id,
        "claimTypeId": claim.claim_type_id,
        "processingStatus": claim.processing,
        "failureReason": claim.failure_reason,
    }


def created(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "claimReference": claim.reference,
        "bookingReference": claim.booking.id,
        "quoteReference": claim.quote_id,
        "claimTypeId": claim.claim_type_id,
        "language": claim.language,
        "status": {"category": claim.category, "name": claim.name, "label": claim.label},
    }


def item(claim: Claim) -> dict[str, Any]:
    """A claim as version 1 lists and fetches it."""
    if claim.processing == "pending":
        return {"id": None, **pending(claim), "reportedAt": _offset(claim.reported_at)}
    return {
        "id": claim.id,
        "claimReference": claim.reference,
        "bookingReference": claim.booking.id,
        "quoteReference": claim.quote_id,
        "claimTypeId": claim.claim_type_id,
        "description": "",
        "reportedAt": _offset(claim.reported_at),
        "language": claim.language,
        "settlementDate": None,
        "relatedUpdatedAt": _offset(claim.last_status_at),
        "lastStatusUpdatedAt": _offset(claim.last_status_at),
        "policyProviderCustomerId": None,
        "status": {
            "id": claim.status_id,
            "workflowVersionId": claim.workflow_version_id,
            "name": claim.name,
            "label": claim.label,
            "category": claim.category,
        },
    }


def version_2(claim: Claim) -> dict[str, Any]:
    references = {
        "claim_reference": claim.reference,
        "booking_reference": claim.booking.id,
        "quote_reference": claim.quote_id,
    }
    if claim.processing != "processed":
        return {
            **references,
            "processing_status": claim.processing,
            "failure_reason": claim.failure_reason,
        }
    return {
        "id": claim.id,
        **references,
        "status": claim.category,
        "language": claim.language,
        "is_closed": claim.category in {"Payment Complete", "Settled", "Declined", "Closed", "Withdrawn"},
        "claimant": {
            "first_name": claim.booking.first_name,
            "last_name": claim.booking.last_name,
            "email": claim.booking.email,
            "phone": None,
            "country": None,
        },
    }


def webhook(claim: Claim, event: StoryEvent) -> bytes:
    """The raw body, slashes escaped: re-serialising it would break the signature."""
    status = {"category": claim.category}
    if event.event == "claim.status-update":
        status = {"category": claim.category, "name": claim.name, "label": claim.label}
    payload = {
        "id": claim.id,
        "claimReference": claim.reference,
        "bookingReference": claim.booking.id,
        "status": status,
        "claimDetails": [{"title": "Documents", "url": f"https://staging.xclaim.example/claims/{claim.reference}"}],
    }
    text = json.dumps({"event": event.event, "payload": payload}, separators=(",", ":"))
    return text.replace("/", "\\/").encode()


def summary(claim: Claim) -> dict[str, Any]:
    """What a test is told, which is more than a caller is."""
    return {
        "id": claim.id,
        "reference": claim.reference,
        "booking": claim.booking.id,
        "quote": claim.quote_id,
        "claim_type_id": claim.claim_type_id,
        "section_fields": claim.section_fields,
        "receivers": claim.receivers,
        "category": claim.category,
        "name": claim.name,
        "label": claim.label,
        "processing": claim.processing,
        "is_deleted": claim.is_deleted,
    }


def _offset(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00") if moment else None
