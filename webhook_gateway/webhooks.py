"""/webhooks: verify the raw bytes, check the shape, store, answer. What an event means is a worker's business."""

import re
from collections.abc import Mapping

import structlog
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import NotFound

from shared import webhook_events
from shared.problems import Problem
from shared.redaction import clean_text
from shared.xclaim.signature import derive_key, key_id, matching_key
from shared.xclaim.wire import NotAClaimEvent, parse_event
from webhook_gateway import current
from webhook_gateway.bodies import read_raw

SIGNATURE_HEADER = "XClaim-Signature"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEPT_HEADERS = ("User-Agent", "Content-Type", "Content-Length", "Date")
"""Evidence of who sent it and when; everything else may hold a secret."""

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")

log = structlog.get_logger()


@blueprint.post("/xclaim/<token>")
def from_xclaim_on_own_address(token: str) -> Response:
    """Take an event on the address of one claim, signed with that claim's own key."""
    masters = _masters()
    if not _TOKEN.fullmatch(token):
        raise _not_verified("malformed token")
    return _take({key_id(master): derive_key(master, token) for master in masters}, token=token)


@blueprint.post("/xclaim")
def from_xclaim() -> Response:
    """Take an event on the address that receivers set up by hand use, signed with a configured key itself."""
    return _take({key_id(master): master for master in _masters()}, token=None)


def _masters() -> list[str]:
    keys = [key.get_secret_value() for key in current.settings().xclaim_webhook_keys]
    if not keys:
        raise NotFound
    return keys


def _take(keys: Mapping[str, str], *, token: str | None) -> Response:
    """Verify with these keys, each under its id, and store."""
    raw = read_raw()
    encoding = current.settings().xclaim_signature_encoding
    matching = matching_key(raw, request.headers.get(SIGNATURE_HEADER), list(keys.values()), encoding)
    if matching is None:
        raise _not_verified("no key matches")
    try:
        event = parse_event(raw)
    except NotAClaimEvent as error:
        log.warning("webhook_not_understood", source="xclaim", why=str(error))
        raise Problem("webhook-not-understood", "The body is signed, but it is not a claim event.") from error
    with current.database().transaction() as tx:
        delivery_id, is_new = webhook_events.record(
            tx, raw, source="xclaim", token=token, key_id=list(keys)[matching], headers=_kept_headers()
        )
    log.info(
        "webhook_recorded", source="xclaim", delivery_id=str(delivery_id), claim_event=event.event, is_repeat=not is_new
    )
    return jsonify({})


def _kept_headers() -> dict[str, str]:
    return {name.lower(): clean_text(request.headers[name]) for name in _KEPT_HEADERS if name in request.headers}


def _not_verified(why: str) -> Problem:
    log.warning("webhook_refused", source="xclaim", why=why)
    return Problem("webhook-not-verified", f"The header {SIGNATURE_HEADER} does not sign this body for this address.")
