"""/webhooks/xclaim: verify the raw bytes, check the shape, store, answer. What events mean is a worker's business."""

import re
from collections.abc import Mapping
from typing import NoReturn

import structlog
from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from shared.problems import Problem
from shared.redaction import clean_text
from shared.webhook_intake import Event
from shared.xclaim.signature import derive_key, key_id, matching_key
from shared.xclaim.wire import NotAClaimEvent, parse_event
from webhook_gateway import current
from webhook_gateway.bodies import read_raw

SOURCE = "xclaim"
SIGNATURE_HEADER = "XClaim-Signature"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EMPTY = b"{}\n"
_KEPT = {
    "user-agent": "HTTP_USER_AGENT",
    "content-type": "CONTENT_TYPE",
    "content-length": "CONTENT_LENGTH",
    "date": "HTTP_DATE",
    "from": "REMOTE_ADDR",
}
"""Evidence of who sent it and when; everything else may hold a secret."""

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")

log = structlog.get_logger()


@blueprint.post("/xclaim/<token>")
def from_xclaim_on_own_address(token: str) -> Response:
    """Take an event on the address of one claim, signed with that claim's own key."""
    masters = _masters()
    if not _TOKEN.fullmatch(token):
        _refuse("not_verified", "malformed token")
    return _take({key_id(master): derive_key(master, token) for master in masters}, token=token)


@blueprint.post("/xclaim")
def from_xclaim() -> Response:
    """Take an event on the address that receivers set up by hand use, signed with a configured key itself."""
    return _take({key_id(master): master for master in _masters()}, token=None)


def kept_headers() -> dict[str, str]:
    """Return what is kept of the request's headers, and where it came from."""
    return {name: clean_text(said) for name, where in _KEPT.items() if (said := request.environ.get(where))}


def _masters() -> list[str]:
    partners = current.settings().partners()
    keys = dict.fromkeys(key.get_secret_value() for partner in partners for key in partner.xclaim_webhook_keys)
    if not keys:
        raise NotFound
    return list(keys)


def _take(keys: Mapping[str, str], *, token: str | None) -> Response:
    """Verify with these keys, each under its id, and store."""
    raw = _read()
    encoding = current.settings().xclaim_signature_encoding
    matching = matching_key(raw, request.headers.get(SIGNATURE_HEADER), list(keys.values()), encoding)
    if matching is None:
        _refuse("not_verified", "no key matches")
    verified_by = list(keys)[matching]
    try:
        parse_event(raw)
    except NotAClaimEvent as error:
        current.tally().count(source=SOURCE, verdict="not_understood", key_id=verified_by)
        log.warning("webhook_not_understood", source=SOURCE, why=str(error))
        raise Problem("webhook-not-understood", "The body is signed, but it is not a claim event.") from error
    event = Event(raw=raw, token=token, key_id=verified_by, headers=kept_headers())
    is_new = current.intake().store(event)
    current.tally().count(source=SOURCE, verdict="stored" if is_new else "repeat", key_id=verified_by)
    return Response(_EMPTY, content_type="application/json")


def _read() -> bytes:
    try:
        return read_raw()
    except RequestEntityTooLarge:
        current.tally().count(source=SOURCE, verdict="too_large", sample=kept_headers())
        raise


def _refuse(verdict: str, why: str) -> NoReturn:
    """Refuse, and count: one line in the log stands for all until the counts are written down."""
    if current.tally().count(source=SOURCE, verdict=verdict, sample={"why": why, **kept_headers()}):
        log.warning("webhook_refused", source=SOURCE, why=why, next="others like it are counted")
    raise Problem("webhook-not-verified", f"The header {SIGNATURE_HEADER} does not sign this body for this address.")
