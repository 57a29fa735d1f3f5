"""Names each request, so that its lines in the log are found together: an id, a trace, and who asks."""

import re
import secrets
from http import HTTPStatus

from flask import Flask, Response, g, request

from shared import log_context, trace_context, tracing
from webhook_gateway import auth

_SANE = re.compile(r"[\w.:-]{1,64}")
HEADER = "X-Request-ID"


def register(app: Flask) -> None:
    """Name each request before anything else is done for it; routers in front give ids of their own."""

    @app.before_request
    def name() -> None:
        asked = request.headers.get(HEADER, "")
        g.request_id = asked if _SANE.fullmatch(asked) else secrets.token_hex(8)
        named = tracing.traceparent() or trace_context.well_formed(request.headers.get("traceparent"))
        traceparent = named or trace_context.fresh()
        trace_context.begin(traceparent)
        log_context.begin(request_id=g.request_id, trace_id=trace_context.trace_id(traceparent))

    @app.after_request
    def tell(response: Response) -> Response:
        if response.status_code != HTTPStatus.NOT_MODIFIED:  # that says only what holds of the version
            response.headers.setdefault(HEADER, g.get("request_id", ""))
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        trace_context.begin(None)
        log_context.begin()


def register_caller(app: Flask) -> None:
    """Write on each line who asks, once that is known; comes after `auth`."""

    @app.before_request
    def name_caller() -> None:
        if auth.is_guarded():
            log_context.bind(caller=auth.caller())
