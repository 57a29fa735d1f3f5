"""Takes secrets and personal data out of what we keep or log.

A blacklist: the second line of defence, for bodies nobody foresaw. What we mean to keep is named field by
field where the insurer's answers are read.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice

REDACTED = "[redacted]"
MAX_DEPTH = 8  # a documented answer nests seven levels
MAX_ENTRIES = 50  # of one list or object
MAX_NODES = 500  # of a whole document: evidence is read by a person and stored for every call
MAX_TEXT = 300  # characters of one string: long enough for any error message seen

_PERSON = (
    r"(account|card|policy)?holder|adult|applicant|beneficiary|buyer|child|claimant|client|companion|contact|customer|dependant"
    r"|driver|guest|insured|member|nominee|owner|passenger|payee|payer|person|policyholder|purchaser|recipient|sender"
    r"|spouse|student|subscriber|tenant|travell?er|user"
)
_SENSITIVE = re.compile(
    # secrets, and addresses that open something
    r"(account|pds)?urls?|apikey|coi|(webhook|private)?key|passwd|pdf"
    r"|.*(apikey|authorization|cookie|credential|jwt|password|secret|signature|token).*"
    # persons: `policy_name`, `status_name` and their like are nobody's
    rf"|.*?({_PERSON})s?((data|details?|fields?|info(rmation)?|list|people|persons?|party|parties))?"
    rf"|(.*({_PERSON}))?s?(birth|display|family|first|full|given|initial|last|legal|maiden|middle|nick|other|preferred|sur)?names?"
    r"|.*(beneficiaries|children|people|persons).*|initials|salutation|forenames?"
    # what tells one person from another
    r"|ages?|dob|.*(birth|dateofbirth|dob)|born(on|at|date)?|gender|sex|nationality|marital.*|occupation|profession"
    r"|.*(passport|socialsecurity|nationalid|identitycard|iddocument|driv(ing|ers?)licen[cs]e).*|ssn|tax(payer)?(id|number)"
    r"|.*(bank|iban|cardnumber|creditcard|sortcode).*|bic|cvc|cvv|swift|accountn(o|umber)"
    # where and how a person is reached
    r"|.*(address|birth|email|phone|mobile|street|postcode|postalcode|zipcode).*|mail|cell(no|number)?|fax(no|number)?"
    r"|tel(no|number)?|whatsapp|line[1-4]|city|company|county|district|house(no|number|name)?|landline|latitude|longitude"
    r"|postal|province|region|suburb|town|village|zip"
    # whatever a partner chose to put there
    r"|(additional|custom|extra)(data|fields?|info(rmation)?)"
)
_IN_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE), hidden)
    for pattern, hidden in (
        (r"\b(bearer|basic) +[^\s\"'<>]{16,}", rf"\1 {REDACTED}"),
        (r"\bsignature +keyid=.*", REDACTED),
        (r"\beyJ[\w-]{4,}(\.[\w-]*){0,2}", REDACTED),  # a JSON Web Token
        (
            r"\b([\w-]{0,40}(?:token|secret|password|api[_-]?key)[\"']?[=:] ?[\"']?)[^\s&\"'<>,;]+",
            rf"\1{REDACTED}",
        ),
        (r"[\w.+%-]{1,64}@[\w.-]{1,255}", REDACTED),  # an e-mail address
        (r"\+\d[\d ().-]{6,20}\d", REDACTED),  # a telephone number with its country code
    )
)


def redact(document: object) -> object:
    """Return a copy that is JSON-able, bounded in depth and size, without sensitive values.

    Never raises: what is not JSON becomes the name of its type. Decimals become their text.
    """
    return _redacted(document, depth=0, budget=[MAX_NODES])


def redact_text(text: str) -> str:
    """Return one string, bounded, without tokens, e-mail addresses and telephone numbers."""
    cleaned = clean_text(text, limit=4 * MAX_TEXT)  # cut after hiding, or half a secret would not be recognised
    for pattern, replacement in _IN_TEXT:
        cleaned = pattern.sub(replacement, cleaned)
    return clean_text(cleaned)


def clean_text(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return at most `limit` characters, without NUL and lone surrogates: PostgreSQL takes neither."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text  # as nearly all are
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def is_sensitive(key: str) -> bool:
    """Tell whether values of this name are kept out of evidence and logs; case and punctuation aside."""
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    return _SENSITIVE.fullmatch(plain) is not None


def _redacted(value: object, *, depth: int, budget: list[int]) -> object:
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        return "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Decimal | int | float):
        return _number(value)
    if isinstance(value, dict):
        return _object(value, depth=depth, budget=budget)
    if isinstance(value, list | tuple):
        kept = [_redacted(entry, depth=depth + 1, budget=budget) for entry in value[:MAX_ENTRIES]]
        return [*kept, "…"] if len(value) > MAX_ENTRIES else kept
    return f"<{type(value).__name__}>"


def _number(value: Decimal | float) -> object:
    if isinstance(value, int):
        return value if abs(value) < 2**63 else "<int>"
    return clean_text(str(value))


def _object(value: dict[object, object], *, depth: int, budget: list[int]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, entry in islice(value.items(), MAX_ENTRIES):
        name = redact_text(key) if isinstance(key, str) else f"<{type(key).__name__}>"
        hide = isinstance(key, str) and is_sensitive(key) and entry is not None
        kept[name] = REDACTED if hide else _redacted(entry, depth=depth + 1, budget=budget)
    if len(value) > MAX_ENTRIES:
        kept["…"] = f"{len(value) - MAX_ENTRIES} more"
    return kept
