"""Every problem this service can report, in one table (RFC 9457).

A problem is stored in the cancellation's row and shown over HTTP in the same shape.
"""

from typing import Any

_TABLE: dict[str, tuple[int, str]] = {
    # what a caller sent
    "not-json": (400, "The body is not JSON"),
    "idempotency-key-missing": (
        400,
        "The Idempotency-Key header is missing or not 1 to 255 visible characters",
    ),
    "invalid-parameter": (400, "A query parameter is not valid"),
    "webhook-not-understood": (400, "The webhook's body is not an event"),
    "unauthorized": (401, "No valid bearer token"),
    "webhook-not-verified": (401, "The webhook's signature is missing or wrong"),
    "operators-only": (403, "Only an operator may do this"),
    "not-found": (404, "There is nothing at this address"),
    "method-not-allowed": (405, "This address does not take that method"),
    "body-too-large": (413, "The body is too large"),
    "not-json-content": (415, "The body must be sent as application/json"),
    "invalid-request": (422, "The request is not valid"),
    "idempotency-key-reused": (422, "The Idempotency-Key was used before with another body"),
    "claims-disabled": (422, "Claims are switched off here"),
    "refund-call-disabled": (422, "Nobody is asked for refunds here"),
    "callbacks-not-configured": (422, "There is no secret to sign this caller's callbacks with"),
    "refund-mismatch": (422, "The reported refund is not the previewed one"),
    "too-many-requests": (429, "The caller sends more requests than it may"),
    # what a cancellation's state does not allow
    "point-of-no-return": (409, "The cancellation has passed its point of no return"),
    "already-ended": (409, "The cancellation has ended"),
    "not-previewed": (409, "There is no preview to refund yet"),
    "refund-already-reported": (409, "Another refund was reported before"),
    "refund-not-awaited": (409, "This cancellation does not wait for a refund report"),
    "nothing-to-retry": (409, "There is nothing to retry or hurry"),
    "nothing-to-resolve": (409, "There is nothing to resolve in this way"),
    "batch-called-off": (409, "The batch was called off"),
    "more-than-shown": (409, "More cancellations would be touched than were shown"),
    "evidence-missing": (422, "What was given does not show that the step did happen"),
    # why a cancellation was rejected
    "booking-not-found": (422, "XCover does not know the booking"),
    "policy-not-in-booking": (422, "The booking has no such policy"),
    "policy-cannot-be-cancelled": (422, "XCover does not allow a policy to be cancelled"),
    "policy-already-cancelled": (422, "A policy is already cancelled"),
    "claim-policy-ambiguous": (422, "The policy to claim is not named and cannot be told from the booking"),
    "claim-not-eligible": (422, "XClaim's eligibility check says no"),
    "already-in-hand": (409, "Another cancellation holds a policy of this one"),
    "insurer-refused": (422, "The insurer refused"),
    # why a cancellation needs a person
    "credentials-refused": (502, "The insurer refused our credentials or the address is wrong"),
    "figures-disagree": (502, "The preview's figures do not agree"),
    "refund-amount-changed": (409, "The previewed refund changed after the refund was reported"),
    "refund-of-another-round": (409, "A refund was reported that is not the current preview's"),
    "refund-after-end": (409, "A refund was reported after the cancellation had ended"),
    "refund-not-reported": (504, "The refund was not reported in time"),
    "refund-refused": (502, "The partner's refund endpoint refused"),
    "refund-unknown": (502, "The policies are cancelled, but what that refunds is not known"),
    "premium-refund-not-reported": (504, "The claim did not report its Premium Refund in time"),
    "claim-paid-first": (409, "The claim was paid before it reported a Premium Refund"),
    "answer-unreadable": (502, "The insurer's answer cannot be read, time and again"),
    "outcome-unsettled": (502, "It could not be told whether the insurer acted"),
    "cancelled-by-someone-else": (409, "The policy was cancelled by someone else"),
    "claim-failed": (502, "XClaim could not process the claim"),
    "claim-closed-unpaid": (409, "The claim was closed unpaid before the policies were cancelled"),
    "partner-unknown": (502, "The partner of this cancellation is not configured any more"),
    "claim-duplicated": (409, "There is another claim for this policy"),
    "tries-spent": (504, "Every try is spent"),
    "invariant-broken": (500, "Something that must always hold for a cancellation does not"),
    "worker-crashed": (500, "Workers stopped repeatedly in the middle of this step"),
    "internal-error": (500, "An unexpected error"),
    "unavailable": (503, "The service cannot store anything right now"),
}


class Problem(Exception):
    """A refusal with its problem document, raised towards a door."""

    def __init__(self, slug: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.slug = slug
        self.document = problem(slug, detail, **members)
        self.status = int(self.document["status"])


def problem(slug: str, detail: str, **members: Any) -> dict[str, Any]:
    """Build a problem document: type, title, status, detail and further members that are evidence."""
    status, title = _TABLE[slug]
    return {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail, **members}


def slugs() -> tuple[str, ...]:
    """Return the name of every problem."""
    return tuple(_TABLE)
