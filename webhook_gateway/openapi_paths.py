"""The routes in words: what each takes and answers. Shapes come from the models, problems from their table."""

from typing import Any

from webhook_gateway import (
    openapi_batches,
    openapi_callbacks,
    openapi_doctor,
    openapi_erasures,
    openapi_service,
    openapi_steering,
    openapi_webhooks,
)
from webhook_gateway import openapi_examples as examples
from webhook_gateway import openapi_links as links
from webhook_gateway.listing import ListQuery
from webhook_gateway.openapi_parts import (
    BODY,
    answer,
    conditional,
    idempotency_key,
    not_for_viewers,
    operation,
    path_id,
    query_parameters,
)

TAG = "Cancellations"
_ID = path_id("cancellation")
_KEY = idempotency_key("1 to 255 visible characters, bare or as a quoted structured-field string: one key either way")
_SWITCHED_OFF = ("claims-disabled", "refund-call-disabled", "callbacks-not-configured")


def paths() -> dict[str, Any]:
    """Return the `paths` object: exactly the routes there are."""
    own = {**_collection(), **_one(), **_actions(), **openapi_callbacks.paths(), **openapi_batches.paths()}
    guarded = {
        **own,
        **openapi_webhooks.paths(),
        **openapi_steering.paths(),
        **openapi_erasures.paths(),
        **openapi_doctor.paths(),
    }
    for item in guarded.values():
        if "get" in item:
            item["get"] = conditional(item["get"])
        if "post" in item:
            item["post"] = not_for_viewers(item["post"])
    return {**guarded, **openapi_service.paths()}


def _collection() -> dict[str, Any]:
    created = _handed_over("Accepted: it is stored and will be carried out", "accepted")
    known = _handed_over("The key was used before with this body", "awaiting_refund")
    return {
        "/v1/cancellations": {
            "post": operation(
                "createCancellation",
                "Hand over a cancellation",
                "Only `booking_id` is required. The same key with the same body shows the same cancellation again.",
                tag=TAG,
                parameters=[_KEY],
                body=("CancellationRequest", examples.REQUESTS),
                answers={"202": created, "200": known},
                refusals=("idempotency-key-missing", *BODY, "idempotency-key-reused", *_SWITCHED_OFF),
            ),
            "get": operation(
                "listCancellations",
                "List cancellations, newest first",
                "A caller sees its own, an operator everyone's. Follow `next_cursor` until it is null: a page looks "
                "through at most 10,000 cancellations, so with several filters it may be short, or empty, before the "
                "last.",
                tag=TAG,
                parameters=query_parameters(ListQuery),
                answers={
                    "200": answer("A page", "CancellationList", "page_of_cancellations", links=links.OF_CANCELLATIONS)
                },
                refusals=("invalid-parameter",),
            ),
        }
    }


def _one() -> dict[str, Any]:
    shown = answer(
        "The cancellation", "CancellationResource", "awaiting_refund", "needs_review", links=links.OF_CANCELLATION
    )
    return {
        "/v1/cancellations/{id}": {
            "get": operation(
                "getCancellation",
                "Show one cancellation",
                "Where it stands, what is next and, when it is rejected or needs a person, why.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": shown},
                refusals=("not-found",),
            )
        },
        "/v1/cancellations/{id}/why": {
            "get": operation(
                "explainCancellation",
                "Tell why it stands where it stands",
                "In words, for people: what it waits for, until when, and what happens then.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": answer("Why", "Explanation", "why")},
                refusals=("not-found",),
            )
        },
        "/v1/cancellations/{id}/events": {
            "get": operation(
                "listCancellationEvents",
                "Show its timeline",
                "Every transition, every call to the insurer and every webhook of its claim, oldest first.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": answer("The timeline", "Timeline", "timeline")},
                refusals=("not-found",),
            )
        },
    }


def _actions() -> dict[str, Any]:
    stored = answer(
        "Stored: that money was paid, so a person decides what follows", "CancellationResource", "needs_review"
    )
    mismatches = ("refund-mismatch", "not-previewed", "refund-already-reported", "refund-not-awaited")
    return {
        "/v1/cancellations/{id}/refund": {
            "post": operation(
                "reportRefund",
                "Report that the customer has been refunded",
                "Must equal the previewed refund. Repeating a report is harmless; a refused one stays in the timeline.",
                tag=TAG,
                parameters=[_ID],
                body=("RefundReportBody", examples.REFUNDS),
                answers={"200": _now("refund_reported"), "202": stored},
                refusals=("not-found", *BODY, *mismatches),
            )
        },
        "/v1/cancellations/{id}/abort": {
            "post": operation(
                "abortCancellation",
                "Take it back",
                "Works until something irreversible is under way; repeating it is harmless.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": _now("aborted")},
                refusals=("not-found", "point-of-no-return", "already-ended"),
            )
        },
        "/v1/cancellations/{id}/retry": {
            "post": operation(
                "retryCancellation",
                "Let it go on now (operators)",
                "Takes one that needs review up again at its step, or skips a wait; never a new key. Needs no body.",
                tag=TAG,
                parameters=[_ID],
                body=("RetryBody", examples.RETRIES),
                is_body_required=False,
                answers={"200": _now("refund_reported")},
                refusals=("operators-only", "not-found", *BODY, "nothing-to-retry"),
            )
        },
        "/v1/cancellations/{id}/resolve": {"post": _resolving()},
    }


def _resolving() -> dict[str, Any]:
    return operation(
        "resolveCancellation",
        "Decide about one that waits for a person (operators)",
        "`done`: the step did happen, as the evidence shows. `not_done`: it did not, so a new key is allowed. `amend`: "
        "claim again with other fields. `close`: it ends here. The timeline keeps who, why, the evidence, the problem.",
        tag=TAG,
        parameters=[_ID],
        body=("ResolutionBody", examples.RESOLUTIONS),
        answers={"200": _now("closed")},
        refusals=("operators-only", "not-found", *BODY, "nothing-to-resolve", "evidence-missing", "refund-mismatch"),
    )


def _handed_over(description: str, shown: str) -> dict[str, Any]:
    return answer(description, "CancellationResource", shown, links=links.OF_CANCELLATION, headers=("Location",))


def _now(shown: str) -> dict[str, Any]:
    return answer("The cancellation as it is now", "CancellationResource", shown)
