"""XClaim's words on one side, ours on the other, camelCase and snake_case alike. No HTTP.

Its older interface writes camelCase, its newer one snake_case, and the documentation mixes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from shared.insurer.errors import UnusableAnswer, problems_in
from shared.insurer.reading import (
    Object,
    lenient,
    object_at,
    optional_amount,
    optional_flag,
    optional_identifier,
    optional_instant,
    optional_text,
    text,
)
from shared.nesting import MAX_DEPTH, is_nested_deeper
from shared.redaction import redact_text
from shared.xclaim.claims import Claim, ClaimEvent, Eligibility

_REFERENCE = ("claimReference", "claim_reference")
_BOOKING = ("bookingReference", "booking_reference")
_QUOTE = ("quoteReference", "quote_reference")
_CLAIM_TYPE = ("claimTypeId", "claim_type_id")
_REPORTED_AT = ("reportedAt", "reported_at")
_PROCESSING = ("processing_status", "processingStatus")
_FAILURE = ("failure_reason", "failureReason")
_CLOSED = ("is_closed", "isClosed")


class NotAClaimEvent(ValueError):
    """The bytes are not JSON, or not an event with its payload."""


def claim_request(
    *,
    claim_type_id: str,
    booking_id: str,
    quote_id: str,
    language: str,
    section_fields: Sequence[object],
    webhook_url: str,
    webhook_key: str,
) -> dict[str, object]:
    """Return the body that submits a claim. A webhook can be named here only, not added later."""
    return {
        "claimTypeId": claim_type_id,
        "bookingReference": booking_id,
        "quoteReference": quote_id,
        "language": language,
        "sectionFields": list(section_fields),
        "webhooks": [{"url": webhook_url, "key": webhook_key}],
    }


def eligibility_request(quote_id: str) -> dict[str, object]:
    """Return the body that the eligibility check takes, although it is a GET."""
    return {"quoteReference": quote_id}


def claimed_policy(body: Mapping[str, object]) -> tuple[str, str]:
    """Return the booking and the policy that a claim request is about. Raises UnusableAnswer."""
    return text(body, *_BOOKING), text(body, *_QUOTE)


def token_from(body: object) -> str:
    """Return the token of an exchange, of any length, if a header can carry it. Raises UnusableAnswer."""
    token = _data(body).get("jwt")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token or not token:
        raise UnusableAnswer("jwt is not a usable token")
    return token


def is_about_credentials(status: int, body: object) -> bool:
    """Tell whether the token was refused, and not what was asked with it.

    Documented by its message alone, without a status, so a 403 that says it counts like a 401.
    """
    said = " ".join(complaint for _, complaint in problems_in(body)).lower()
    return status == 401 or (status == 403 and "failed to authenticate" in said)


def eligibility_from(body: object) -> Eligibility:
    """Read an eligibility check; the amount, a number or a string, is no reason to refuse. Raises UnusableAnswer."""
    answer = _data(body)
    is_eligible = optional_flag(answer, "isCustomerEligible", "is_customer_eligible")
    if is_eligible is None:
        raise UnusableAnswer("isCustomerEligible is missing or not true or false")
    failed = answer.get("failedChecks", answer.get("failed_checks"))
    codes = failed if isinstance(failed, list) else []
    return Eligibility(
        is_eligible=is_eligible,
        failed_checks=tuple(redact_text(code) for code in codes if isinstance(code, str)),
        amount=lenient(optional_amount, answer, "claimAmount"),
        currency=optional_text(answer, "currency"),
    )


def claim_from(body: object, *, is_pending: bool = False) -> Claim:
    """Read a claim from any answer that holds one. Raises UnusableAnswer without an id and a reference.

    `is_pending` is what the status line says (202); a body can say it too.
    """
    entry = _data(body)
    claim_id = optional_identifier(entry, "id")
    reference = optional_identifier(entry, *_REFERENCE)
    if claim_id is None and reference is None:
        raise UnusableAnswer("the answer has neither a claim's id nor its reference")
    is_pending = is_pending or (optional_text(entry, *_PROCESSING) or "").lower() == "pending"
    category, name, label = _status(entry)
    return Claim(
        id=claim_id,
        reference=reference,
        booking_id=optional_text(entry, *_BOOKING),
        quote_id=optional_text(entry, *_QUOTE),
        claim_type_id=optional_text(entry, *_CLAIM_TYPE),
        category=category,
        status_name=name,
        status_label=label,
        is_processed=claim_id is not None and not is_pending,
        is_closed=optional_flag(entry, *_CLOSED),
        failure_reason=_redacted(optional_text(entry, *_FAILURE)),
        reported_at=optional_instant(entry, *_REPORTED_AT),
    )


def names_a_booking(body: object) -> bool:
    """Tell whether a listed claim says which booking it is about, even if none."""
    return isinstance(body, dict) and any(name in body for name in _BOOKING)


def evidence_in(body: object) -> dict[str, object]:
    """Return what is kept of an answer: ids, references, status, amounts as text, and complaints."""
    try:
        entry = _data(body)
    except UnusableAnswer:
        return {}
    kept: dict[str, object] = {}
    for name in ("id", *_REFERENCE, *_BOOKING, *_QUOTE, *_CLAIM_TYPE, *_PROCESSING, *_FAILURE, *_REPORTED_AT):
        kept[name] = _redacted(optional_text(entry, name))
    for name in (*_CLOSED, "isCustomerEligible"):
        kept[name] = optional_flag(entry, name)
    for name in ("claimAmount", "currency"):
        kept[name] = None if entry.get(name) is None else redact_text(str(entry[name]))
    kept["category"], kept["status_name"], kept["status_label"] = _status(entry)
    kept["failedChecks"] = redact_text(", ".join(map(str, _strings(entry.get("failedChecks"))))) or None
    kept["problems"] = [list(pair) for pair in problems_in(body)] or None
    return {name: value for name, value in kept.items() if value is not None}


def parse_event(raw: bytes) -> ClaimEvent:
    """Read a webhook's body. Attributes differ between integrations, so only event and payload must be there.

    Raises NotAClaimEvent and nothing else, whatever the bytes; that includes what JSON allows and no database
    stores, and objects that name a field twice.
    """
    try:
        body = _DECODER.decode(raw.decode("utf-8"))
        _must_be_storable(body, has_escapes=b"\\u" in raw)
        event = object_at(body, "the body")
        payload = object_at(event.get("payload"), "the payload")
        category, name, label = _status(payload)
        return ClaimEvent(
            event=text(event, "event"),
            claim_id=optional_identifier(payload, "id"),
            reference=optional_identifier(payload, *_REFERENCE),
            booking_id=optional_text(payload, *_BOOKING),
            category=category,
            status_name=name,
            status_label=label,
        )
    except NotAClaimEvent:
        raise
    except (ValueError, RecursionError) as error:
        raise NotAClaimEvent(f"not a claim event: {redact_text(str(error))}") from error


def _data(body: object) -> Object:
    """Return the object under `data`, or the body itself where there is no such wrapper."""
    entry = object_at(body, "the answer")
    return object_at(entry["data"], "data") if "data" in entry else entry


def _status(entry: Object) -> tuple[str | None, str | None, str | None]:
    """Return category, name and label. The newer interface has the category alone, as a plain string."""
    status = entry.get("status")
    if isinstance(status, dict):
        return (
            optional_text(status, "category"),
            optional_text(status, "name"),
            optional_text(status, "label"),
        )
    return optional_text(entry, "status"), None, None


def _strings(value: object) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _redacted(value: str | None) -> str | None:
    return None if value is None else redact_text(value)


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise NotAClaimEvent("an object names a field twice")
    return named


def _must_be_storable(body: object, *, has_escapes: bool) -> None:
    """Refuse NUL and lone surrogates, in names too, and what a reader deeper in its stack could not read.

    In UTF-8 that is JSON both can come by an escape alone.
    """
    if is_nested_deeper(body):
        raise NotAClaimEvent(f"the body is nested deeper than {MAX_DEPTH} levels")
    if not has_escapes:
        return
    written = json.dumps(body, ensure_ascii=False)
    written.encode("utf-8")
    if re.search(r"(?<!\\)(?:\\\\)*\\u0000", written):
        raise NotAClaimEvent("the body holds a NUL")


def _not_a_number(word: str) -> NoReturn:
    raise NotAClaimEvent(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_name_twice, parse_float=str, parse_constant=_not_a_number)
