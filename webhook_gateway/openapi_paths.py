"""The routes in words: what each takes and answers. Shapes come from the models, problems from their table."""

from typing import Any

from shared.problems import problem
from webhook_gateway import openapi_examples as examples
from webhook_gateway.listing import ListQuery

_JSON = "application/json"
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
_ALWAYS = ("unauthorized", "internal-error", "unavailable")
_SWITCHED_OFF = ("claims-disabled", "refund-call-disabled")
_BODY = ("not-json", "body-too-large", "not-json-content", "invalid-request")


def paths() -> dict[str, Any]:
    """Return the `paths` object: exactly the routes there are."""
    return {**_collection(), **_one(), **_actions(), **_webhooks(), **_service()}


def _collection() -> dict[str, Any]:
    created = _answer("Accepted: it is stored and will be carried out", "CancellationResource")
    created["headers"] = {"Location": {"schema": {"type": "string"}, "description": "Where it can be seen"}}
    return {
        "/v1/cancellations": {
            "post": _operation(
                "Hand over a cancellation",
                "Only `booking_id` is required. The same key with the same body shows the same cancellation again.",
                parameters=[_KEY],
                body=("CancellationRequest", examples.REQUESTS),
                answers={
                    "202": created,
                    "200": _answer("The key was used before with this body", "CancellationResource"),
                },
                refusals=("idempotency-key-missing", *_BODY, "idempotency-key-reused", *_SWITCHED_OFF),
            ),
            "get": _operation(
                "List cancellations, newest first",
                "A caller sees its own, an operator everyone's. Follow `next_cursor` until it is null.",
                parameters=_list_parameters(),
                answers={"200": _answer("A page", "CancellationList")},
                refusals=("invalid-parameter",),
            ),
        }
    }


def _one() -> dict[str, Any]:
    return {
        "/v1/cancellations/{id}": {
            "get": _operation(
                "Show one cancellation",
                "Where it stands, what is next and, when it is rejected or needs a person, why.",
                parameters=[_ID],
                answers={"200": _answer("The cancellation", "CancellationResource")},
                refusals=("not-found",),
            )
        },
        "/v1/cancellations/{id}/events": {
            "get": _operation(
                "Show its timeline",
                "Every transition, every call to the insurer and every webhook of its claim, oldest first.",
                parameters=[_ID],
                answers={"200": _answer("The timeline", "Timeline")},
                refusals=("not-found",),
            )
        },
    }


def _actions() -> dict[str, Any]:
    resource = _answer("The cancellation as it is now", "CancellationResource")
    stored = _answer("Stored: that money was paid, so a person decides what follows", "CancellationResource")
    mismatches = ("refund-mismatch", "not-previewed", "refund-already-reported", "refund-not-awaited")
    return {
        "/v1/cancellations/{id}/refund": {
            "post": _operation(
                "Report that the customer has been refunded",
                "Must equal the previewed refund. Repeating a report is harmless; a refused one stays in the timeline.",
                parameters=[_ID],
                body=("RefundReportBody", examples.REFUNDS),
                answers={"200": resource, "202": stored},
                refusals=("not-found", *_BODY, *mismatches),
            )
        },
        "/v1/cancellations/{id}/abort": {
            "post": _operation(
                "Take it back",
                "Works until something irreversible is under way; repeating it is harmless.",
                parameters=[_ID],
                answers={"200": resource},
                refusals=("not-found", "point-of-no-return", "already-ended"),
            )
        },
        "/v1/cancellations/{id}/retry": {
            "post": _operation(
                "Let it go on now (operators)",
                "Takes one that needs review up again at its step, or skips a wait; never a new key. Needs no body.",
                parameters=[_ID],
                body=("RetryBody", examples.RETRIES),
                is_body_required=False,
                answers={"200": resource},
                refusals=("operators-only", "not-found", *_BODY, "nothing-to-retry"),
            )
        },
        "/v1/cancellations/{id}/resolve": {"post": _resolving(resource)},
    }


def _resolving(resource: dict[str, Any]) -> dict[str, Any]:
    return _operation(
        "Decide about one that waits for a person (operators)",
        "`done`: the step did happen, as the evidence shows. `not_done`: it did not, so a new key is allowed. `amend`: "
        "claim again with other fields. `close`: it ends here. The timeline keeps who, why, the evidence, the problem.",
        parameters=[_ID],
        body=("ResolutionBody", examples.RESOLUTIONS),
        answers={"200": resource},
        refusals=("operators-only", "not-found", *_BODY, "nothing-to-resolve", "evidence-missing", "refund-mismatch"),
    )


def _webhooks() -> dict[str, Any]:
    said = "Answers once the event is stored; repeats are welcome. What it means is worked out afterwards."
    event = {"type": "object", "required": ["event", "payload"], "additionalProperties": True}
    operation = {
        "description": said,
        "security": [{"signature": []}],
        "requestBody": {"required": True, "content": {_JSON: {"schema": event}}},
        "responses": {
            "200": {"description": "Stored", "content": {_JSON: {"schema": {"type": "object"}}}},
            **_refusals(
                ("webhook-not-understood", "webhook-not-verified", "not-found", "body-too-large", "unavailable")
            ),
        },
    }
    own, by_hand = "Take an event of one claim", "Take an event where receivers are set up by hand"
    return {
        "/webhooks/xclaim/{token}": {"post": {"summary": own, "parameters": [_TOKEN], **operation}},
        "/webhooks/xclaim": {"post": {"summary": by_hand, **operation}},
    }


def _service() -> dict[str, Any]:
    status = {"type": "object", "properties": {"status": {"const": "ok"}}}
    fine = {"200": {"description": "Yes", "content": {_JSON: {"schema": status}}}}
    document = {"200": {"description": "OpenAPI 3.1", "content": {_JSON: {"schema": {"type": "object"}}}}}
    page = {"200": {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}}
    figures = {"200": {"description": "Its text format", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    return {
        "/livez": {"get": {"summary": "Is the process alive?", "security": [], "responses": fine}},
        "/readyz": {
            "get": {
                "summary": "Can cancellations be stored?",
                "security": [],
                "responses": {**fine, **_refusals(("unavailable",))},
            }
        },
        "/metrics": {"get": {"summary": "Figures for Prometheus", "security": [], "responses": figures}},
        "/openapi.json": {"get": {"summary": "This document", "security": [], "responses": document}},
        "/docs": {"get": {"summary": "This document, for people", "security": [], "responses": page}},
    }


def _operation(
    summary: str,
    description: str,
    *,
    answers: dict[str, Any],
    refusals: tuple[str, ...],
    parameters: list[dict[str, Any]],
    body: tuple[str, examples.Examples] | None = None,
    is_body_required: bool = True,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "description": description,
        "security": [{"token": []}],
        "parameters": parameters,
    }
    if body is not None:
        schema, shown = body
        content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": shown}
        operation["requestBody"] = {"required": is_body_required, "content": {_JSON: content}}
    operation["responses"] = {**answers, **_refusals((*refusals, *_ALWAYS))}
    return operation


def _answer(description: str, schema: str) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _refusals(names: tuple[str, ...]) -> dict[str, Any]:
    """Group problems by their status, in its order."""
    by_status: dict[int, list[str]] = {}
    for name in names:
        by_status.setdefault(problem(name, "")["status"], []).append(name)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": ", ".join(by_status[status]), "content": content} for status in sorted(by_status)
    }


def _list_parameters() -> list[dict[str, Any]]:
    properties = ListQuery.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]
