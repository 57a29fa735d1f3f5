"""The caller's idempotency key as it arrives: bare, or a quoted structured-field string. One key either way."""

import re

LONGEST_KEY = 255
_VISIBLE = re.compile(r"[!-~]{1,255}")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


class InvalidKey(ValueError):
    """The key is missing, too long, or holds something other than visible characters."""


def is_key(value: str) -> bool:
    """Tell whether a key may look like this."""
    return _VISIBLE.fullmatch(value) is not None


def read_key(raw: str | None) -> str:
    """Return the key itself; raise InvalidKey with a sentence that tells the caller what to send."""
    value = (raw or "").strip(" \t")
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    if not is_key(value):
        raise InvalidKey(
            f"Send an Idempotency-Key of 1 to {LONGEST_KEY} visible ASCII characters, unique for each request."
        )
    return value
