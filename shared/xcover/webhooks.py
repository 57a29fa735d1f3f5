"""Verifies XCover's webhooks and reads which booking they are about. Knows no table and no web framework.

What is signed is the Date header, and the request line where the sender says so; never the body (XCover's page on
webhooks, and the verification it shows there). So a body is a hint: nothing it says may be believed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import unquote

from shared.setting_values import WebhookKey
from shared.xcover.auth import ALGORITHMS

DATE_TOLERANCE = timedelta(minutes=5)
"""How far the signed Date may lie from our clock, either way. XCover names no figure; nothing else ends a replay."""
MAX_AUTHORIZATION = 2_048
"""Characters. The longest that is documented has about 450."""
REQUEST_TARGET = "(request-target)"

_PARAMETER = re.compile(r'[ \t]*([A-Za-z]+)=(?:"([^"]*)"|([^"\s]*))[ \t]*')
_IMF_FIXDATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""An event's name, and a booking's id as a request for its cancellation may spell it."""


class NotABookingEvent(ValueError):
    """The bytes are not JSON, or not an event about a booking."""


@dataclass(frozen=True, kw_only=True)
class SignedRequest:
    """What a signature may cover and where it is written. A header that is missing is None."""

    method: str
    path: str
    """As sent, without the query."""
    date: str | None
    authorization: str | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which key signed a request; without one, `why` says what is wrong, in words of ours alone."""

    key: WebhookKey | None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class BookingHint:
    """Something happened to a booking, says a body that anybody may have written."""

    event: str
    booking_id: str

    def as_bytes(self) -> bytes:
        """Return the hint as JSON of our own: the same bytes for the same hint, and nothing else of the body."""
        hint = {"event": self.event, "payload": {"id": self.booking_id}}
        return json.dumps(hint, sort_keys=True, separators=(",", ":")).encode("ascii")


def key_id(key: WebhookKey) -> str:
    """Return what a configured key is called where it must not be told: the same after it has moved in the list."""
    return hmac.new(_secret(key), b"key id of " + _name(key), hashlib.sha256).hexdigest()[:12]


def verify(request: SignedRequest, keys: Sequence[WebhookKey], *, now: datetime) -> Verdict:
    """Tell which key signed the request just now. Never raises, whatever the headers hold; `now` is aware.

    The key is the one that the header names. All of them are tried, so that the time taken does not tell whether a
    name is known.
    """
    if request.authorization is None or request.date is None:
        return Verdict(key=None, why="Authorization or Date is missing")
    parameters = _parameters(request.authorization)
    if parameters is None:
        return Verdict(key=None, why="Authorization is not a Signature with keyId, algorithm and signature")
    text = _signing_string(request, parameters.get("headers", "date"), request.date)
    if text is None or parameters["algorithm"] not in ALGORITHMS:
        return Verdict(key=None, why="the algorithm, or a signed header, is none that is documented")
    key = _matching_key(parameters, text, keys)
    if key is None:
        return Verdict(key=None, why="no key matches")
    sent = _instant(request.date)
    if sent is None or abs(now - sent) > DATE_TOLERANCE:
        return Verdict(key=None, why="a key matches, but its Date is too far from our clock, or no HTTP date")
    return Verdict(key=key)


def parse_hint(raw: bytes) -> BookingHint:
    """Read event and booking from a webhook's body, and nothing else. Raises NotABookingEvent for any other bytes.

    The field names are XCover's: RentalCover sends the same events with others. What a body says besides, twice or
    not at all, is never looked at: it is not signed.
    """
    try:
        body = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotABookingEvent("not JSON in UTF-8") from error
    payload = body.get("payload") if isinstance(body, dict) else None
    if not isinstance(payload, dict):
        raise NotABookingEvent("not an object with an event and its payload")
    event, booking_id = body.get("event"), payload.get("id")
    if not isinstance(event, str) or not _IDENTIFIER.fullmatch(event):
        raise NotABookingEvent("the event has no name")
    if not isinstance(booking_id, str) or not _IDENTIFIER.fullmatch(booking_id):
        raise NotABookingEvent("the payload has no booking's id")
    return BookingHint(event=event, booking_id=booking_id)


def _parameters(authorization: str) -> Mapping[str, str] | None:
    """Return the parameters of a `Signature`; None for other schemes, a name given twice, or one that is missing.

    A repeated header arrives joined by a comma, which gives names twice. Values without quotes are taken too: the
    vendor's own receiver strips quotes where there are some.
    """
    scheme, _, rest = authorization.partition(" ")
    if len(authorization) > MAX_AUTHORIZATION or not authorization.isascii() or scheme.lower() != "signature":
        return None
    found: dict[str, str] = {}
    for part in rest.split(","):
        match = _PARAMETER.fullmatch(part)
        if match is None or match[1] in found:
            return None
        found[match[1]] = match[2] if match[2] is not None else match[3]
    return found if {"keyId", "algorithm", "signature"} <= found.keys() else None


def _signing_string(request: SignedRequest, listed: str, date: str) -> str | None:
    """Return the text that is signed; None unless it holds the date, and nothing but what is documented, once each."""
    values = {"date": date, REQUEST_TARGET: f"{request.method.lower()} {request.path}"}
    names = listed.lower().split(" ")
    if "date" not in names or len(set(names)) < len(names) or not values.keys() >= set(names):
        return None
    return "\n".join(f"{name}: {values[name]}" for name in names)


def _matching_key(parameters: Mapping[str, str], text: str, keys: Sequence[WebhookKey]) -> WebhookKey | None:
    signed, named = text.encode("utf-8", "surrogatepass"), parameters["keyId"].encode("ascii")
    given = unquote(parameters["signature"]).encode("utf-8", "surrogatepass")
    found = None
    for key in keys:
        digest = hmac.new(_secret(key), signed, ALGORITHMS[parameters["algorithm"]]).digest()
        is_signed = hmac.compare_digest(b64encode(digest), given)
        is_named = hmac.compare_digest(_name(key), named)
        if is_signed and is_named and found is None:
            found = key
    return found


def _instant(date: str) -> datetime | None:
    """Return the moment of an HTTP date as it is always written (IMF-fixdate), or None for any other text."""
    if not _IMF_FIXDATE.fullmatch(date):
        return None
    try:
        sent = parsedate_to_datetime(date)
    except ValueError:  # such as the 31st of February
        return None
    return sent if format_datetime(sent, usegmt=True) == date else None  # it forgives a wrong day of the week


def _name(key: WebhookKey) -> bytes:
    return key.key.get_secret_value().encode("ascii")


def _secret(key: WebhookKey) -> bytes:
    return key.secret.get_secret_value().encode("utf-8", "surrogatepass")
