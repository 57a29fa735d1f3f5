"""/openapi.json: the interface, from the models that validate requests and shape answers.

The routes' prose is in `openapi_paths`, `openapi_batches`, `openapi_callbacks`, `openapi_webhooks`, `openapi_steering`,
`openapi_doctor` and `openapi_service`; examples of requests, answers and refusals in `openapi_examples`, `_answers` and
`_refusals`.
"""

from functools import cache
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared.cancellation_request import CancellationRequest
from shared.problems import problem, slugs
from shared.refund_report import RefundReportBody
from webhook_gateway import (
    openapi_batches,
    openapi_callbacks,
    openapi_doctor,
    openapi_erasures,
    openapi_paths,
    openapi_service,
    openapi_steering,
    openapi_webhooks,
)
from webhook_gateway.batch_lines import BatchBody, BatchLine, LinesBody
from webhook_gateway.batch_resources import BatchList, BatchOpened, BatchResource, LinesTaken
from webhook_gateway.callbacks import CallbackList, CallbackReplay, CallbackReplayBody
from webhook_gateway.doctor import Examination
from webhook_gateway.erasures import ErasureBody, ErasureShown
from webhook_gateway.openapi_answers import ANSWERS
from webhook_gateway.openapi_links import links
from webhook_gateway.openapi_parts import HEADERS
from webhook_gateway.openapi_paths import paths
from webhook_gateway.openapi_refusals import examples
from webhook_gateway.resolving import ResolutionBody, RetryBody
from webhook_gateway.resources import CancellationList, CancellationResource, Explanation, Timeline
from webhook_gateway.steering_resources import AuditLog, Bulk, BulkBody, PauseBody, Pauses
from webhook_gateway.webhook_replaying import ReplayBody, ReplayOneBody
from webhook_gateway.webhook_resources import Replay, WebhookKeys, WebhookList, WebhookResource, WebhookTallies

INTRODUCTION = (
    "Hand over one cancellation; this service looks the booking up, previews the cancellation, waits for the refund, "
    "confirms, submits the Cancel-For-Any-Reason claim and keeps it up to date. Money is decimal text with an ISO 4217 "
    "currency, times are RFC 3339 in UTC, errors are application/problem+json (RFC 9457)."
)
TAGS = {
    openapi_paths.TAG: "One booking to cancel, to claim on, or both: handed over, followed, steered",
    openapi_batches.TAG: "Many cancellations handed over and steered together",
    openapi_callbacks.TAG: "What a caller was told of its cancellation, and telling it again",
    openapi_webhooks.TAG: "The insurer's webhooks as they were stored: for operators",
    openapi_erasures.TAG: "Removing personal data: for operators",
    openapi_steering.TAG: "Many cancellations at once, pauses, and who pressed what: for operators",
    openapi_doctor.TAG: "What is wrong with the service, why it matters, and what to do: for operators",
    openapi_service.RECEIVERS: "Where the insurer sends its webhooks: not for callers",
    openapi_service.SERVICE: "The service itself: health, figures, documentation",
}
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

_SECURITY_SCHEMES: dict[str, Any] = {
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
        "info": {"title": "Cancellations and CFAR claims", "version": "1.0.0", "description": INTRODUCTION},
        "servers": [{"url": "/", "description": "The gateway that serves this document"}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        "paths": paths(),
        "components": {
            "schemas": {**_schemas(), "Problem": _PROBLEM_SCHEMA},
            "headers": HEADERS,
            "examples": {
                **ANSWERS,
                **openapi_steering.ANSWERS,
                **openapi_erasures.ANSWERS,
                **openapi_doctor.ANSWERS,
                **examples(),
            },
            "links": links(),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def problem_table() -> list[dict[str, Any]]:
    """Return every problem's slug, status and title."""
    return [{"slug": slug, **problem(slug, "")} for slug in slugs()]


class _WholeAnswers(GenerateJsonSchema):
    """Says of every member of an answer that it is there: answers leave nothing out, whatever has a default."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - pydantic's signature
        return self.mode == "serialization" or super().field_is_required(field, total)


def _schemas() -> dict[str, Any]:
    takes: list[tuple[type[BaseModel], Any]] = [
        (model, "validation")
        for model in (
            *(CancellationRequest, RefundReportBody, ResolutionBody, RetryBody, ReplayBody, ReplayOneBody),
            *(BatchLine, BatchBody, LinesBody, CallbackReplayBody, BulkBody, PauseBody, ErasureBody),
        )
    ]
    answers: list[tuple[type[BaseModel], Any]] = [
        (model, "serialization")
        for model in (
            *(CancellationResource, CancellationList, Timeline),
            *(BatchResource, BatchOpened, BatchList, LinesTaken),
            *(CallbackList, CallbackReplay),
            *(WebhookResource, WebhookList, Replay, WebhookKeys, WebhookTallies),
            *(Examination, Explanation, Bulk, Pauses, AuditLog, ErasureShown),
        )
    ]
    _, schema = models_json_schema(
        [*takes, *answers], ref_template="#/components/schemas/{model}", schema_generator=_WholeAnswers
    )
    schemas: dict[str, Any] = schema["$defs"]
    return schemas
