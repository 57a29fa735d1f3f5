"""Renders every refusal and every failure as application/problem+json (RFC 9457). Decides nothing."""

import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import structlog
from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from shared.db import AWAY
from shared.problems import Problem, problem
from shared.redaction import clean_text

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 50
MAX_DETAIL = 10_000
"""Characters. With `MAX_ERRORS`, what keeps a refusal from outgrowing the request that it refuses."""
LONGEST_RETRY_AFTER = 5
"""Seconds. A random wait from 1 on, so that callers do not come back all at once."""

_OF_STATUS = {
    404: ("not-found", "Nothing answers at this address."),
    405: ("method-not-allowed", "This address does not take {method}."),
    413: ("body-too-large", "{said}"),
    415: ("not-json-content", "Send the body with Content-Type: application/json."),
}
_CHALLENGES = {"unauthorized": 'Bearer realm="cfar"', "webhook-not-verified": "XClaim-Signature"}

log = structlog.get_logger()


def register(app: Flask) -> None:
    """Let the app answer every error as a problem."""
    app.register_error_handler(Problem, _refused)
    app.register_error_handler(HTTPException, _http_error)
    for away in AWAY:
        app.register_error_handler(away, _unavailable)
    app.register_error_handler(Exception, _unexpected)


def render(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document as a response; `instance` is the path that was asked."""
    body = json.dumps({**_bounded(document), "instance": quote(request.path)})
    return Response(body, status=document["status"], headers=dict(headers or {}), content_type=MEDIA_TYPE)


def unavailable(detail: str) -> Response:
    """Return a 503 that says when to come back."""
    wait = 1 + secrets.randbelow(LONGEST_RETRY_AFTER)
    return render(problem("unavailable", detail), {"Retry-After": str(wait)})


def _bounded(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with at most `MAX_ERRORS` errors, saying how many more there were."""
    shown = dict(document)
    if shown.get("detail"):
        shown["detail"] = clean_text(shown["detail"], limit=MAX_DETAIL)
    more = len(shown.get("errors", [])) - MAX_ERRORS
    return shown if more <= 0 else {**shown, "errors": shown["errors"][:MAX_ERRORS], "more_errors": more}


def _refused(refusal: Problem) -> Response:
    challenge = _CHALLENGES.get(refusal.slug)
    return render(refusal.document, {"WWW-Authenticate": challenge} if challenge else None)


def _http_error(error: HTTPException) -> AnyResponse:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    if error.code in _OF_STATUS:
        slug, detail = _OF_STATUS[error.code]
        return render(problem(slug, detail.format(method=request.method, said=error.description)), headers)
    document = {"type": "about:blank", "title": error.name, "status": error.code, "detail": error.description}
    return render(document, headers)


def _unavailable(error: Exception) -> Response:
    cause = error.orig if isinstance(error, DBAPIError) else None  # its message may show what was to be stored
    log.warning("database_unavailable", error=type(error).__name__, cause=type(cause).__name__, route=_route())
    return unavailable(
        "The database cannot be used right now; nothing was stored that you were not told of. Try again."
    )


def _unexpected(error: Exception) -> Response:
    # The route, not the path: a webhook's path holds its token.
    log.error("request_failed", method=request.method, route=_route(), exc_info=error)
    return render(
        problem("internal-error", "Something unexpected happened and was logged. Repeating the request is safe.")
    )


def _route() -> str:
    return str(request.url_rule or "none")
