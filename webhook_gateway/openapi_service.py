"""The routes that take no token, in words: the insurer's webhooks, and the service itself."""

from typing import Any

from webhook_gateway.openapi_parts import JSON, refusals_of

RECEIVERS, SERVICE = "Receivers", "Service"
_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "description": "The opaque token of one claim's own address",
}
_REFUSED = ("webhook-not-understood", "webhook-not-verified", "not-found", "body-too-large")


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    return {**_receivers(), **_service()}


def _receivers() -> dict[str, Any]:
    said = "Answers once the event is stored; repeats are welcome. What it means is worked out afterwards."
    hint = "The body is not signed: it only says which booking to look at. Always 200 for a signed one."
    own = _receiver("receiveClaimEvent", "Take an event of one claim", said, _claim_event(), "signature")
    by_hand = _receiver(
        "receiveEvent", "Take an event where receivers are set up by hand", said, _claim_event(), "signature"
    )
    booking = _receiver(
        "receiveBookingEvent", "Take XCover's event of a booking", hint, {"type": "object"}, "dateSignature"
    )
    return {
        "/webhooks/xclaim/{token}": {"post": {**own, "parameters": [_TOKEN]}},
        "/webhooks/xclaim": {"post": by_hand},
        "/webhooks/xcover": {"post": booking},
    }


def _claim_event() -> dict[str, Any]:
    event = {"event": {"type": "string"}, "payload": {"type": "object"}}
    return {"type": "object", "required": list(event), "properties": event, "additionalProperties": True}


def _receiver(name: str, summary: str, description: str, event: dict[str, Any], scheme: str) -> dict[str, Any]:
    stored = {"description": "Stored", "content": {JSON: {"schema": {"type": "object", "maxProperties": 0}}}}
    return {
        "operationId": name,
        "tags": [RECEIVERS],
        "summary": summary,
        "description": description,
        "security": [{scheme: []}],
        "requestBody": {"required": True, "content": {JSON: {"schema": event}}},
        "responses": {"200": stored, **refusals_of((*_REFUSED, "internal-error", "unavailable"))},
    }


def _service() -> dict[str, Any]:
    status = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    fine = _given("Yes", JSON, status)
    return {
        "/livez": {
            "get": _open("getLiveness", "Is the process alive?", "It serves; what it needs is not asked.", fine)
        },
        "/readyz": {
            "get": _open(
                "getReadiness",
                "Can cancellations be stored?",
                "The database answers and has the schema that this release needs. Redis is not asked.",
                {**fine, **refusals_of(("unavailable",))},
            )
        },
        "/metrics": {
            "get": _open(
                "getMetrics",
                "Figures for Prometheus",
                "How many cancellations stand where, how old the oldest are, and how the queues fill.",
                _given("Its text format", "text/plain", {"type": "string"}),
            )
        },
        "/openapi.json": {
            "get": _open(
                "getOpenapi",
                "This document",
                "For generators, test tools and gateways.",
                _given("OpenAPI 3.1", JSON, {"type": "object"}),
            )
        },
        "/docs": {
            "get": _open(
                "getDocs",
                "This document, for people",
                "One page that loads nothing and runs no script.",
                _given("A page", "text/html", {"type": "string"}),
            )
        },
    }


def _open(name: str, summary: str, description: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": [SERVICE],
        "summary": summary,
        "description": description,
        "security": [],
        "responses": responses,
    }


def _given(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": description, "content": {media_type: {"schema": schema}}}}
