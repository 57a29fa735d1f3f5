"""The routes in words: what each takes and answers. Shapes come from the models, problems from their table."""

from typing import Any

from webhook_gateway import openapi_batches, openapi_callbacks, openapi_webhooks
from webhook_gateway import openapi_examples as examples
from webhook_gateway.listing import ListQuery
from webhook_gateway.openapi_parts import BODY, JSON, answer, operation, query_parameters, refusals_of

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "The cancellation's id",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "1 to 255 visible characters, bare or as a quoted structured-field string: one key either way",
}
_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "description": "The opaque token of one claim's own address",
}
_SWITCHED_OFF = ("claims-disabled", "refund-call-disabled", "callbacks-not-configured")


def paths() -> dict[str, Any]:
    """Return the `paths` object: exactly the routes there are."""
    own = {**_collection(), **_one(), **_actions(), **openapi_callbacks.paths(), **openapi_batches.paths()}
    return {**own, **_webhooks(), **openapi_webhooks.paths(), **_service()}


def _collection() -> dict[str, Any]:
    created = answer("Accepted: it is stored and will be carried out", "CancellationResource")
    created["headers"] = {"Location": {"schema": {"type": "string"}, "description": "Where it can be seen"}}
    return {
        "/v1/cancellations": {
            "post": operation(
                "Hand over a cancellation",
                "Only `booking_id` is required. The same key with the same body shows the same cancellation again.",
                parameters=[_KEY],
                body=("CancellationRequest", examples.REQUESTS),
                answers={
                    "202": created,
                    "200": answer("The key was used before with this body", "CancellationResource"),
                },
                refusals=("idempotency-key-missing", *BODY, "idempotency-key-reused", *_SWITCHED_OFF),
            ),
            "get": operation(
                "List cancellations, newest first",
                "A caller sees its own, an operator everyone's. Follow `next_cursor` until it is null.",
                parameters=query_parameters(ListQuery),
                answers={"200": answer("A page", "CancellationList")},
                refusals=("invalid-parameter",),
            ),
        }
    }


def _one() -> dict[str, Any]:
    return {
        "/v1/cancellations/{id}": {
            "get": operation(
                "Show one cancellation",
                "Where it stands, what is next and, when it is rejected or needs a person, why.",
                parameters=[_ID],
                answers={"200": answer("The cancellation", "CancellationResource")},
                refusals=("not-found",),
            )
        },
        "/v1/cancellations/{id}/events": {
            "get": operation(
                "Show its timeline",
                "Every transition, every call to the insurer and every webhook of its claim, oldest first.",
                parameters=[_ID],
                answers={"200": answer("The timeline", "Timeline")},
                refusals=("not-found",),
            )
        },
    }


def _actions() -> dict[str, Any]:
    resource = answer("The cancellation as it is now", "CancellationResource")
    stored = answer("Stored: that money was paid, so a person decides what follows", "CancellationResource")
    mismatches = ("refund-mismatch", "not-previewed", "refund-already-reported", "refund-not-awaited")
    return {
        "/v1/cancellations/{id}/refund": {
            "post": operation(
                "Report that the customer has been refunded",
                "Must equal the previewed refund. Repeating a report is harmless; a refused one stays in the timeline.",
                parameters=[_ID],
                body=("RefundReportBody", examples.REFUNDS),
                answers={"200": resource, "202": stored},
                refusals=("not-found", *BODY, *mismatches),
            )
        },
        "/v1/cancellations/{id}/abort": {
            "post": operation(
                "Take it back",
                "Works until something irreversible is under way; repeating it is harmless.",
                parameters=[_ID],
                answers={"200": resource},
                refusals=("not-found", "point-of-no-return", "already-ended"),
            )
        },
        "/v1/cancellations/{id}/retry": {
            "post": operation(
                "Let it go on now (operators)",
                "Takes one that needs review up again at its step, or skips a wait; never a new key. Needs no body.",
                parameters=[_ID],
                body=("RetryBody", examples.RETRIES),
                is_body_required=False,
                answers={"200": resource},
                refusals=("operators-only", "not-found", *BODY, "nothing-to-retry"),
            )
        },
        "/v1/cancellations/{id}/resolve": {"post": _resolving(resource)},
    }


def _resolving(resource: dict[str, Any]) -> dict[str, Any]:
    return operation(
        "Decide about one that waits for a person (operators)",
        "`done`: the step did happen, as the evidence shows. `not_done`: it did not, so a new key is allowed. `amend`: "
        "claim again with other fields. `close`: it ends here. The timeline keeps who, why, the evidence, the problem.",
        parameters=[_ID],
        body=("ResolutionBody", examples.RESOLUTIONS),
        answers={"200": resource},
        refusals=("operators-only", "not-found", *BODY, "nothing-to-resolve", "evidence-missing", "refund-mismatch"),
    )


def _webhooks() -> dict[str, Any]:
    said = "Answers once the event is stored; repeats are welcome. What it means is worked out afterwards."
    event = {"type": "object", "required": ["event", "payload"], "additionalProperties": True}
    taken = {
        "description": said,
        "security": [{"signature": []}],
        "requestBody": {"required": True, "content": {JSON: {"schema": event}}},
        "responses": {
            "200": {"description": "Stored", "content": {JSON: {"schema": {"type": "object"}}}},
            **refusals_of(
                ("webhook-not-understood", "webhook-not-verified", "not-found", "body-too-large", "unavailable")
            ),
        },
    }
    own, by_hand = "Take an event of one claim", "Take an event where receivers are set up by hand"
    hint = {
        **taken,
        "description": "The body is not signed: it only says which booking to look at. Always 200 for a signed one.",
        "security": [{"dateSignature": []}],
    }
    return {
        "/webhooks/xclaim/{token}": {"post": {"summary": own, "parameters": [_TOKEN], **taken}},
        "/webhooks/xclaim": {"post": {"summary": by_hand, **taken}},
        "/webhooks/xcover": {"post": {"summary": "Take XCover's event of a booking", **hint}},
    }


def _service() -> dict[str, Any]:
    status = {"type": "object", "properties": {"status": {"const": "ok"}}}
    fine = {"200": {"description": "Yes", "content": {JSON: {"schema": status}}}}
    document = {"200": {"description": "OpenAPI 3.1", "content": {JSON: {"schema": {"type": "object"}}}}}
    page = {"200": {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}}
    figures = {"200": {"description": "Its text format", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    return {
        "/livez": {"get": {"summary": "Is the process alive?", "security": [], "responses": fine}},
        "/readyz": {
            "get": {
                "summary": "Can cancellations be stored?",
                "security": [],
                "responses": {**fine, **refusals_of(("unavailable",))},
            }
        },
        "/metrics": {"get": {"summary": "Figures for Prometheus", "security": [], "responses": figures}},
        "/openapi.json": {"get": {"summary": "This document", "security": [], "responses": document}},
        "/docs": {"get": {"summary": "This document, for people", "security": [], "responses": page}},
    }
