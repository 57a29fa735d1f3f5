"""XCover's three endpoints. Signatures, throttling and slashes are checked here; the rules are elsewhere."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from tests.simulator import cancellations, payloads
from tests.simulator.answers import RATE_LIMIT_HEADERS, Answer, RefusedError, send, throttled
from tests.simulator.pipeline import KEY_HEADER, serve
from tests.simulator.records import Booking
from tests.simulator.signatures import NO_ACCESS, SignatureError, verify
from tests.simulator.state import State
from tests.simulator.webhooks import Sender

NO_PACKAGE = Answer(404, {"type": "api_error", "message": "Quote package does not exist"})
BOOKING_PATH = "/partners/<partner>/bookings/<booking_id>"
CONFIRM_PATH = f"{BOOKING_PATH}/confirm_cancellation/<offer_id>"
WITHOUT_SLASH = ("get_without_slash", "confirm_without_slash")


def blueprint(state: State, sender: Sender, prefix: str) -> Blueprint:
    routes = Blueprint("xcover", __name__, url_prefix=prefix.rstrip("/"))

    @routes.before_request
    def let_in() -> Response | None:
        if str(request.endpoint).rpartition(".")[2] in WITHOUT_SLASH:
            return None  # the slash is added before anybody looks at the signature
        refusal = _refusal(state)
        return send(refusal.with_headers(RATE_LIMIT_HEADERS)) if refusal else None

    _add_redirects(routes)
    _add_endpoints(routes, state, sender)
    return routes


def _add_redirects(routes: Blueprint) -> None:
    @routes.get(BOOKING_PATH)
    def get_without_slash(**_path: str) -> AnyResponse:
        g.entry["operation"] = "redirect"
        return redirect(f"{request.path}/", 301)

    @routes.post(CONFIRM_PATH)
    def confirm_without_slash(**_path: str) -> AnyResponse:
        g.entry["operation"] = "redirect"
        return redirect(f"{request.path}/", 301)


def _add_endpoints(routes: Blueprint, state: State, sender: Sender) -> None:
    @routes.get(f"{BOOKING_PATH}/")
    def get_booking(partner: str, booking_id: str) -> Response:
        def act() -> Answer:
            with state.lock:
                return Answer(200, payloads.booking(_find(state, booking_id), partner))

        return _serve(state, "get_booking", booking_id, act)

    @routes.post(f"{BOOKING_PATH}/cancel")
    def cancel(partner: str, booking_id: str) -> Response:
        def act() -> Answer:
            body = _json()
            with state.lock:
                answer = cancellations.cancel(state, _find(state, booking_id), body, _key())
                if not _asks_for_preview():
                    sender.tell_of_booking(_find(state, booking_id))
                return answer

        return _serve(state, "preview" if _asks_for_preview() else "cancel", booking_id, act)

    @routes.post(f"{CONFIRM_PATH}/")
    def confirm(partner: str, booking_id: str, offer_id: str) -> Response:
        def act() -> Answer:
            body = _json()
            with state.lock:
                answer = cancellations.confirm(state, _find(state, booking_id), offer_id, body, _key())
                sender.tell_of_booking(_find(state, booking_id))
                return answer

        return _serve(state, "confirm", booking_id, act)


def _serve(state: State, operation: str, booking_id: str, act: Any) -> Response:
    keys = state.xcover_keys if request.method == "POST" and state.key_mode(booking_id) != "ignored" else None
    return serve(state, operation, act, booking_id=booking_id, keys=keys, headers=RATE_LIMIT_HEADERS)


def _refusal(state: State) -> Answer | None:
    """The answer for a request that does not get as far as an endpoint."""
    credentials = state.credentials
    try:
        verify(
            dict(request.headers),
            method=request.method,
            path=request.environ["RAW_URI"].partition("?")[0],
            key=credentials.xcover_api_key,
            secret=credentials.xcover_api_secret,
            now=datetime.now(UTC),  # the wall clock: shifting ours must not lock everybody out
        )
    except SignatureError as bad:
        g.entry["signature"] = bad.why
        return Answer(bad.status, {"type": "auth_error", "message": bad.message})
    g.entry["signature"] = "ok"
    if (request.view_args or {}).get("partner") != credentials.partner_code:
        return Answer(403, {"type": "auth_error", "message": NO_ACCESS})
    if state.is_throttled(time.monotonic()):
        return throttled(state.settings.retry_after)
    return None


def _find(state: State, booking_id: str) -> Booking:
    booking = state.bookings.get(booking_id)
    if booking is None:
        raise RefusedError(NO_PACKAGE)
    return booking


def _json() -> Any:
    """The body; nothing at all counts as an empty object, which cancels."""
    raw = request.get_data()
    if not raw:
        return {}
    if request.mimetype != "application/json":
        message = f'Unsupported media type "{request.mimetype}" in request.'
        raise RefusedError(Answer(415, {"type": "api_error", "message": message}))
    try:
        return json.loads(raw)
    except ValueError as error:
        body = {"type": "validation_error", "message": f"JSON parse error - {error}"}
        raise RefusedError(Answer(400, body)) from error


def _asks_for_preview() -> bool:
    try:
        body = json.loads(request.get_data() or b"{}")
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("preview") is True


def _key() -> str | None:
    return request.headers.get(KEY_HEADER)
