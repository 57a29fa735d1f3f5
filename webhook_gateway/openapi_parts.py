"""What the routes' descriptions are made of: operations, answers, refusals, parameters. Names no route."""

from typing import Any

from pydantic import BaseModel

from shared.problems import problem
from webhook_gateway.openapi_examples import Examples
from webhook_gateway.openapi_links import linked

JSON = "application/json"
ALWAYS = ("unauthorized", "too-many-requests", "internal-error", "unavailable")
"""Problems of every route that takes a token."""
BODY = ("not-json", "body-too-large", "not-json-content", "invalid-request")
"""Problems of every route that takes a body."""
KEY_PATTERN = r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$'
"""An Idempotency-Key as it may be sent: bare, or a quoted structured-field string."""

HEADERS: dict[str, Any] = {
    "Location": {"description": "Where it can be seen", "required": True, "schema": {"type": "string"}},
    "ETag": {
        "description": "Which version this is; send it as `If-None-Match` next time",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "What this address wants to be shown",
        "required": True,
        "schema": {"type": "string"},
    },
}
_HEADERS_OF = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ['"6f8c4a4e0d3b5a539f0e2a6a3d1f7c55"']},
    "description": "The `ETag` of the answer that you hold: 304 and no body while that is still what would be shown",
}


def operation(
    name: str,
    summary: str,
    description: str,
    *,
    tag: str,
    answers: dict[str, Any],
    refusals: tuple[str, ...],
    parameters: list[dict[str, Any]],
    body: tuple[str, Examples] | None = None,
    is_body_required: bool = True,
) -> dict[str, Any]:
    """Describe a route that takes a token; `body` is its schema's name and examples to copy."""
    described: dict[str, Any] = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "security": [{"token": []}],
        "parameters": parameters,
    }
    if body is not None:
        schema, shown = body
        content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": shown}
        described["requestBody"] = {"required": is_body_required, "content": {JSON: content}}
    described["responses"] = {**answers, **refusals_of((*refusals, *ALWAYS))}
    return described


def answer(
    description: str,
    schema: str,
    *shown: str,
    links: tuple[str, ...] = (),
    headers: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Describe an answer of this schema; `shown` names examples of `openapi_answers`."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": _examples(shown)}
    described: dict[str, Any] = {"description": description, "content": {JSON: content}}
    if headers:
        described["headers"] = headers_named(headers)
    if links:
        described["links"] = linked(links)
    return described


def conditional(said: dict[str, Any]) -> dict[str, Any]:
    """Return a reading route with what is true of all of them: its answer has a tag, and may be 304 instead."""
    (status, shown), *refusals = said["responses"].items()
    tagged = {**shown, "headers": headers_named(("ETag",))}
    unchanged = {"description": "What you hold is what would be shown", "headers": headers_named(("ETag",))}
    return {
        **said,
        "parameters": [*said["parameters"], _IF_NONE_MATCH],
        "responses": {status: tagged, "304": unchanged, **dict(refusals)},
    }


def not_for_viewers(said: dict[str, Any]) -> dict[str, Any]:
    """Return a writing route with what is true of all of them: a viewer may not."""
    return {**said, "responses": {**said["responses"], **refusals_of(("operators-only",))}}


def refusals_of(names: tuple[str, ...]) -> dict[str, Any]:
    """Group problems by their status, in its order."""
    by_status: dict[int, list[str]] = {}
    for name in names:
        by_status.setdefault(problem(name, "")["status"], []).append(name)
    return {str(status): _refusal(status, by_status[status]) for status in sorted(by_status)}


def headers_named(names: tuple[str, ...]) -> dict[str, Any]:
    """Return references to these headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def path_id(whose: str) -> dict[str, Any]:
    """Describe the id in a path."""
    schema = {"type": "string", "format": "uuid"}
    return {"name": "id", "in": "path", "required": True, "schema": schema, "description": f"The {whose}'s id"}


def idempotency_key(description: str) -> dict[str, Any]:
    """Describe the header that makes a request safe to repeat."""
    schema = {"type": "string", "pattern": KEY_PATTERN, "examples": ["order-A-1001"]}
    return {"name": "Idempotency-Key", "in": "header", "required": True, "schema": schema, "description": description}


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return a query model's fields as parameters; none is required, and none can be null: it is left out instead."""
    properties = model.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, **_sendable(dict(schema))}
        for name, schema in properties.items()
    ]


def _sendable(schema: dict[str, Any]) -> dict[str, Any]:
    description = schema.pop("description", None)
    schema.pop("title", None)
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if schema.get("default", 0) is None:
        del schema["default"]
    one = {**kinds[0], **schema} if kinds else schema
    return {"schema": one, **({"description": description} if description else {})}


def _refusal(status: int, names: list[str]) -> dict[str, Any]:
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": _examples(tuple(names))}
    described: dict[str, Any] = {
        "description": ", ".join(names),
        "content": {"application/problem+json": content},
    }
    if status in _HEADERS_OF:
        described["headers"] = headers_named(_HEADERS_OF[status])
    return described


def _examples(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/examples/{name}"} for name in names}
