"""/openapi.json: the interface, from the models that validate requests and shape answers.

The routes' prose is in `openapi_paths`, `openapi_batches`, `openapi_callbacks` and `openapi_webhooks`.
"""

from functools import cache
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.cancellation_request import CancellationRequest
from shared.problems import problem, slugs
from shared.refund_report import RefundReportBody
from webhook_gateway.batch_lines import BatchBody, BatchLine, LinesBody
from webhook_gateway.batch_resources import BatchList, BatchOpened, BatchResource, LinesTaken
from webhook_gateway.callbacks import CallbackList, CallbackReplay, CallbackReplayBody
from webhook_gateway.openapi_paths import paths
from webhook_gateway.resolving import ResolutionBody, RetryBody
from webhook_gateway.resources import CancellationList, CancellationResource, Timeline
from webhook_gateway.webhook_replaying import ReplayBody, ReplayOneBody
from webhook_gateway.webhook_resources import Replay, WebhookKeys, WebhookList, WebhookResource, WebhookTallies

INTRODUCTION = (
    "Hand over one cancellation; this service looks the booking up, previews the cancellation, waits for the refund, "
    "confirms, submits the Cancel-For-Any-Reason claim and keeps it up to date. Money is decimal text with an ISO 4217 "
    "currency, times are RFC 3339 in UTC, errors are application/problem+json (RFC 9457)."
)
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). Further members are evidence.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "enum": ["about:blank", *(f"/problems/{slug}" for slug in slugs())]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The path that was asked"},
    },
    "additionalProperties": True,
}

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    """Return the document."""
    return jsonify(document())


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of this interface; treat it as read-only."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cancellations and CFAR claims", "version": "1", "description": INTRODUCTION},
        "paths": paths(),
        "components": {
            "schemas": {**_schemas(), "Problem": _PROBLEM_SCHEMA},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of API_TOKENS"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "XClaim-Signature",
                    "description": "sha256= and the HMAC-SHA256 of the raw body",
                },
                "dateSignature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Signature with keyId, algorithm and signature, over the Date header",
                },
            },
        },
    }


def problem_table() -> list[dict[str, Any]]:
    """Return every problem's slug, status and title."""
    return [{"slug": slug, **problem(slug, "")} for slug in slugs()]


def _schemas() -> dict[str, Any]:
    takes: list[tuple[type[BaseModel], Any]] = [
        (model, "validation")
        for model in (
            *(CancellationRequest, RefundReportBody, ResolutionBody, RetryBody, ReplayBody, ReplayOneBody),
            *(BatchLine, BatchBody, LinesBody, CallbackReplayBody),
        )
    ]
    answers: list[tuple[type[BaseModel], Any]] = [
        (model, "serialization")
        for model in (
            *(CancellationResource, CancellationList, Timeline),
            *(BatchResource, BatchOpened, BatchList, LinesTaken),
            *(CallbackList, CallbackReplay),
            *(WebhookResource, WebhookList, Replay, WebhookKeys, WebhookTallies),
        )
    ]
    _, schema = models_json_schema([*takes, *answers], ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = schema["$defs"]
    return schemas
