"""/webhooks/xcover: verify, read which booking it is about, keep the hint, answer. Only a worker looks at the booking.

The body is not signed: it is read after the signature is verified, and no byte of it is stored.
"""

import structlog
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from shared import booking_hints
from shared.clock import utc_now
from shared.problems import Problem, problem
from shared.setting_values import WebhookKey
from shared.xcover.webhooks import NotABookingEvent, SignedRequest, key_id, parse_hint, verify
from webhook_gateway import current
from webhook_gateway.bodies import read_raw
from webhook_gateway.problems import render
from webhook_gateway.webhooks import kept_headers

SOURCE = booking_hints.SOURCE
CHALLENGE = 'Signature headers="date"'

blueprint = Blueprint("xcover_webhooks", __name__, url_prefix="/webhooks")

log = structlog.get_logger()


@blueprint.post("/xcover")
def from_xcover() -> Response:
    """Take a hint. Exactly 200 is what XCover takes for delivered, so a hint that is not kept is answered 200 too."""
    partners = current.settings().partners()
    keys = [key for partner in partners for key in partner.xcover_webhook_keys]
    if not keys:
        raise NotFound
    signed = SignedRequest(
        method=request.method,
        path=request.path,
        date=request.headers.get("Date"),
        authorization=request.headers.get("Authorization"),
    )
    verdict = verify(signed, keys, now=utc_now())
    if verdict.key is None:
        return _refused(verdict.why)
    return _take(verdict.key)


def _take(key: WebhookKey) -> Response:
    verified_by = key_id(key)
    try:
        hint = parse_hint(read_raw())
    except NotABookingEvent as error:
        current.tally().count(source=SOURCE, verdict="not_understood", key_id=verified_by)
        log.warning("webhook_not_understood", source=SOURCE, why=str(error))
        raise Problem("webhook-not-understood", "It is signed, but its body is no event of a booking.") from error
    except RequestEntityTooLarge:
        current.tally().count(source=SOURCE, verdict="too_large", key_id=verified_by)
        raise
    recorded = booking_hints.record(
        current.database(),
        hint,
        partners=[
            partner.xcover_partner_code
            for partner in current.settings().partners()
            if key in partner.xcover_webhook_keys
        ],
        key_id=verified_by,
        headers=kept_headers(),
    )
    current.tally().count(source=SOURCE, verdict=recorded.value, key_id=verified_by)
    log.info("booking_hint_taken", source=SOURCE, booking_event=hint.event, became=recorded.value)
    return jsonify({})


def _refused(why: str) -> Response:
    """Refuse, and count: one line in the log stands for all until the counts are written down."""
    if current.tally().count(source=SOURCE, verdict="not_verified", sample={"why": why, **kept_headers()}):
        log.warning("webhook_refused", source=SOURCE, why=why, next="others like it are counted")
    detail = "Authorization does not sign this request's Date under a key that is known here, just now."
    return render(problem("webhook-not-verified", detail), {"WWW-Authenticate": CHALLENGE})
