"""XClaim's endpoints. Tokens, versions and pages are seen to here; the rules are elsewhere."""

import base64
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, g, request

from tests.simulator import claim_payloads, claims
from tests.simulator.answers import Answer, RefusedError, send
from tests.simulator.pipeline import KEY_HEADER, serve
from tests.simulator.records import Claim
from tests.simulator.state import State
from tests.simulator.webhooks import Sender

PREFIX = "/xclaim"
UNAUTHENTICATED = Answer(
    401,
    {
        "type": "exception",
        "message": "Failed to authenticate because of bad credentials or an invalid authorization header.",
    },
)
FORBIDDEN = Answer(403, {"type": "exception", "message": "Unauthorized action"})
FORBIDDEN_2 = Answer(403, {"message": "This action is unauthorized."})


def blueprint(state: State, sender: Sender) -> Blueprint:
    routes = Blueprint("xclaim", __name__, url_prefix=PREFIX)

    @routes.before_request
    def let_in() -> Response | None:
        is_exchange = request.path.endswith("/auth/jwt/token/programmatic-access")
        is_known = _has_password(state) if is_exchange else _has_token(state)
        g.entry["signature"] = "ok" if is_known else "unknown credentials"
        if not is_known:
            return send(UNAUTHENTICATED)
        if (request.view_args or {}).get("partner", "") not in ("", state.credentials.partner_code):
            return send(FORBIDDEN_2 if "/v2/" in request.path else FORBIDDEN)
        return None

    @routes.get("/auth/jwt/token/programmatic-access")
    def exchange() -> Response:
        g.entry["operation"] = "token"
        return send(Answer(200, {"data": {"jwt": issue_token(state)}}))

    @routes.get("/partners/<partner>/bookings/<booking_id>/customer-eligibility-check")
    def eligibility(partner: str, booking_id: str) -> Response:
        act = _locked(state, lambda: claims.eligibility(state, booking_id, _json()))
        return serve(state, "eligibility", act, booking_id=booking_id)

    @routes.post("/partners/<partner>/claims")
    def create(partner: str) -> Response:
        booking_id = _named_booking()
        keys = state.xclaim_keys if state.claim_keys_count(booking_id) else None
        return serve(state, "create_claim", lambda: _create(state, sender), booking_id=booking_id, keys=keys)

    _add_reading(routes, state, sender)
    return routes


def _add_reading(routes: Blueprint, state: State, sender: Sender) -> None:
    @routes.get("/v2/partners/<partner>/claims/<reference>")
    def version_2(partner: str, reference: str) -> Response:
        claim = state.find_claim(reference)
        if claim is None or claim.reference != reference:
            return send(Answer(404, {"message": "Claim not found."}))
        return serve(state, "get_claim", lambda: _look(state, sender, claim), booking_id=claim.booking.id)

    @routes.get("/partners/<partner>/claims/<claim_id>")
    def version_1(partner: str, claim_id: str) -> Response:
        claim = state.claims.get(claim_id)
        if claim is None or claim.is_deleted or claim.processing != "processed":
            message = f"Could not find the claim with id of {claim_id}"
            return send(Answer(404, {"type": "exception", "message": message}))
        act = _locked(state, lambda: Answer(200, {"data": claim_payloads.item(claim)}))
        return serve(state, "get_claim", act, booking_id=claim.booking.id)

    @routes.get("/partners/<partner>/claims")
    def every_claim(partner: str) -> Response:
        return serve(state, "list_claims", _locked(state, lambda: _list(state, None)))

    @routes.get("/partners/<partner>/bookings/<booking_id>/claims")
    def claims_of_booking(partner: str, booking_id: str) -> Response:
        act = _locked(state, lambda: _list(state, booking_id))
        return serve(state, "list_claims", act, booking_id=booking_id)


def issue_token(state: State) -> str:
    """A token in the shape of a JWT; only its presence in our list makes it valid."""
    issued = int(state.now().timestamp())
    lifetime = state.settings.token_lifetime
    header = {"typ": "JWT", "alg": "RS512"}
    payload = {
        "iss": "https://staging.xpay.example",
        "iat": issued,
        "nbf": issued,
        "exp": int(issued + lifetime),
        "jti": secrets.token_hex(8),
        "user": {"primaryRole": "partner"},
    }
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), secrets.token_bytes(64)]
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    with state.lock:
        state.tokens[token] = state.now() + timedelta(seconds=lifetime)
    return token


def _create(state: State, sender: Sender) -> Answer:
    body = _json()
    with state.lock:
        claim = claims.create(state, body, request.headers.get(KEY_HEADER))
        hasty = state.take_fault(claim.booking.id, "webhook", only="before_answer")
    if hasty is not None:
        sender.tell_first(claim)
    if claim.processing == "pending":
        return Answer(202, {"data": claim_payloads.pending(claim)})
    sender.tell(claim)
    return Answer(201, {"data": claim_payloads.created(claim)})


def _look(state: State, sender: Sender, claim: Claim) -> Answer:
    with state.lock:
        if claim.is_deleted:
            raise RefusedError(Answer(404, {"message": "Claim not found."}))
        is_just_processed = claims.look(state, claim)
        answer = Answer(202 if claim.processing == "pending" else 200, {"data": claim_payloads.version_2(claim)})
    if is_just_processed:
        sender.tell(claim)
    return answer


def _list(state: State, booking_id: str | None) -> Answer:
    """Every claim that stands, oldest first; in pages when the switch says so."""
    shown = {"processed", "pending"} if state.settings.list_pending else {"processed"}
    found = [one for one in state.claims_of(booking_id) if not one.is_deleted and one.processing in shown]
    items = [claim_payloads.item(claim) for claim in found]
    size = state.settings.list_pagination
    if not size:
        return Answer(200, {"data": items})
    page = max(request.args.get("page", 1, type=int), 1)
    last = max(-(-len(items) // size), 1)
    meta = {"current_page": page, "last_page": last, "per_page": size, "total": len(items)}
    following = f"{request.base_url}?page={page + 1}" if page < last else None
    shown_items = items[(page - 1) * size : page * size]
    return Answer(200, {"data": shown_items, "links": {"next": following}, "meta": meta})


def _locked(state: State, act: Callable[[], Answer]) -> Callable[[], Answer]:
    def locked() -> Answer:
        with state.lock:
            return act()

    return locked


def _has_password(state: State) -> bool:
    given = request.authorization
    credentials = state.credentials
    return (
        given is not None
        and given.type == "basic"
        and given.username == credentials.xclaim_api_key
        and given.password == credentials.xclaim_password
    )


def _has_token(state: State) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return False
    expires = state.tokens.get(token)
    return token == state.credentials.xclaim_token or (expires is not None and state.now() < expires)


def _json() -> Any:
    try:
        return json.loads(request.get_data() or b"null")
    except ValueError as error:
        body = {"type": "exception", "message": "The request body is not valid JSON."}
        raise RefusedError(Answer(400, body)) from error


def _named_booking() -> str:
    """The booking a claim is for, so that its faults are found even when the claim is refused."""
    try:
        body = json.loads(request.get_data() or b"null")
    except ValueError:
        return ""
    return str(body.get("bookingReference", "")) if isinstance(body, dict) else ""
