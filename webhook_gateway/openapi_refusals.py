"""What each refusal looks like: one example of every problem that answers a request."""

from typing import Any

from shared.problems import problem

_ID = "01a1fdf5-fd9d-750d-bdfb-9093fdd6406a"
_BOOKING_MISSING = {"field": "booking_id", "problem": "Field required"}
_PARTS: dict[str, dict[str, Any]] = {
    "not-json": {"detail": "The body is not JSON: expecting value (line 1, column 16)."},
    "idempotency-key-missing": {
        "detail": "Send an Idempotency-Key of 1 to 255 visible ASCII characters, unique for each request."
    },
    "invalid-parameter": {
        "detail": "Wrong or unknown: limit.",
        "errors": [{"parameter": "limit", "problem": "must be a whole number from 1 to 200"}],
    },
    "webhook-not-understood": {"detail": "The body is signed, but it is not a claim event."},
    "unauthorized": {"detail": "Send the header Authorization: Bearer <token>."},
    "webhook-not-verified": {"detail": "The header XClaim-Signature does not sign this body for this address."},
    "operators-only": {"detail": "'shop' is not an operator; only operators may do this."},
    "not-found": {"detail": f"There is no cancellation {_ID}."},
    "body-too-large": {"detail": "The body may have at most 256 KiB."},
    "not-json-content": {"detail": "Send the body with Content-Type: application/json."},
    "invalid-request": {
        "detail": "Nothing was accepted; wrong or unknown: booking_id.",
        "errors": [_BOOKING_MISSING],
    },
    "idempotency-key-reused": {
        "detail": "This key stands for a request with another body; use a new key for a new request.",
        "id": _ID,
    },
    "claims-disabled": {"detail": "This deployment submits no claims (CLAIMS_ENABLED is false); nothing was accepted."},
    "refund-call-disabled": {
        "detail": "This deployment asks nobody for refunds (REFUND_URL is not set); nothing was accepted."
    },
    "callbacks-not-configured": {
        "detail": "This caller has no secret in CALLBACK_SECRETS to sign callbacks with; nothing was accepted."
    },
    "refund-mismatch": {
        "detail": "The previewed refund is 22.40 EUR, not 20.00 EUR.",
        "report": {"amount": "20.00", "currency": "EUR", "reference": "re_123"},
    },
    "point-of-no-return": {
        "detail": "The cancellation is in_progress and past its point of no return: money or policies may have moved.",
        "since": "2026-11-21T11:56:03.221000+00:00",
    },
    "already-ended": {"detail": "The cancellation is completed; there is nothing to abort."},
    "not-previewed": {
        "detail": "There is no preview yet; report the refund that it will show.",
        "report": {"amount": "22.40", "currency": "EUR", "reference": "re_123"},
    },
    "refund-already-reported": {
        "detail": "A refund of 22.40 EUR with reference 're_123' was reported before.",
        "report": {"amount": "22.40", "currency": "EUR", "reference": "re_124"},
    },
    "refund-not-awaited": {
        "detail": "The journey 'claim' has no refund to report.",
        "report": {"amount": "22.40", "currency": "EUR", "reference": "re_123"},
    },
    "nothing-to-retry": {"detail": "The cancellation is aborted; there is nothing to retry."},
    "nothing-to-resolve": {"detail": "The cancellation is in_progress; only one that needs review can be resolved so."},
    "batch-called-off": {"detail": "The batch was called off: it takes no more cancellations."},
    "evidence-missing": {"detail": "Give the refund's amount, currency and reference as evidence."},
    "more-than-shown": {
        "detail": "13 cancellations would be touched now, 12 were shown. Nothing was done.",
        "touched": 13,
        "at_most": 12,
    },
    "too-many-requests": {
        "detail": "'shop' may make 200 requests a second. Wait as long as Retry-After says, then go on."
    },
    "internal-error": {
        "detail": "Something unexpected happened and was logged. Repeating the request is safe.",
    },
    "unavailable": {
        "detail": "The database cannot be used right now; nothing was stored that you were not told of. Try again."
    },
}


def examples() -> dict[str, Any]:
    """Return `components.examples` of all problems that answer a request, by the problem's name."""
    return {slug: {"summary": _title(slug), "value": problem(slug, **parts)} for slug, parts in _PARTS.items()}


def _title(slug: str) -> str:
    return str(problem(slug, "")["title"])
