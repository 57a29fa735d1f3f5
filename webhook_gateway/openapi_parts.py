"""What the routes' descriptions are made of: operations, answers, refusals, parameters. Names no route."""

from typing import Any

from pydantic import BaseModel

from shared.problems import problem
from webhook_gateway.openapi_examples import Examples

JSON = "application/json"
ALWAYS = ("unauthorized", "internal-error", "unavailable")
"""Problems of every route that takes a token."""
BODY = ("not-json", "body-too-large", "not-json-content", "invalid-request")
"""Problems of every route that takes a body."""


def operation(
    summary: str,
    description: str,
    *,
    answers: dict[str, Any],
    refusals: tuple[str, ...],
    parameters: list[dict[str, Any]],
    body: tuple[str, Examples] | None = None,
    is_body_required: bool = True,
) -> dict[str, Any]:
    """Describe a route that takes a token; `body` is its schema's name and examples to copy."""
    described: dict[str, Any] = {
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


def answer(description: str, schema: str) -> dict[str, Any]:
    """Describe an answer of this schema."""
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def refusals_of(names: tuple[str, ...]) -> dict[str, Any]:
    """Group problems by their status, in its order."""
    by_status: dict[int, list[str]] = {}
    for name in names:
        by_status.setdefault(problem(name, "")["status"], []).append(name)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": ", ".join(by_status[status]), "content": content} for status in sorted(by_status)
    }


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return a query model's fields as parameters; none is required."""
    properties = model.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]
