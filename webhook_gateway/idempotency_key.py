"""The Idempotency-Key header: bare, or quoted as a structured-field string (RFC 8941); one key either way."""

import re

from flask import request

from shared.problems import Problem

MAX_LENGTH = 255
_VISIBLE = re.compile(rf"[\x21-\x7e]{{1,{MAX_LENGTH}}}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


def from_request() -> str:
    """Return the key of this request, or raise Problem."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        raise Problem(
            "idempotency-key-missing",
            "Send the header Idempotency-Key: 1 to 255 visible characters, new for each request.",
        )
    key = parse(header)
    if key is None:
        detail = (
            "Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters, bare or as one quoted string."
        )
        raise Problem("idempotency-key-missing", detail)
    return key


def parse(header: str) -> str | None:
    """Return the key a header value means, or None when it means none."""
    value = header.strip(" \t")
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    elif _is_repeated(value):
        return None
    return value if is_key(value) else None


def is_key(value: str) -> bool:
    """Tell whether a key may look like this."""
    return _VISIBLE.fullmatch(value) is not None


def _is_repeated(value: str) -> bool:
    """Tell whether this is one key sent in several headers, which WSGI servers join with a comma.

    Taken as a key it would stand for a second cancellation when the next try sends the header once.
    """
    parts = [part.strip(" \t") for part in value.split(",")]
    return len(parts) > 1 and len(set(parts)) == 1
