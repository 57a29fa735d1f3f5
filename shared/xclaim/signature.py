"""Signs and verifies XClaim's webhooks: HMAC-SHA256 over the raw body. Knows no JSON and no HTTP.

The encoding of the signature is not documented. The `sha256=` in front and the framework behind the API both
point to hexadecimal; base64 has to be switched on.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from typing import Literal

Encoding = Literal["hex", "base64", "either"]

_PREFIX = b"sha256="


def derive_key(master: str, token: str) -> str:
    """Return the key of the one claim whose webhook address holds this token: lower-case hex HMAC-SHA256."""
    return _digest(token.encode("utf-8", "surrogatepass"), master).hex()


@cache
def key_id(master: str) -> str:
    """Return what a configured key is called where it must not be told: the same after it has moved in the list."""
    return _digest(b"key id", master).hex()[:12]


def sign(raw: bytes, key: str, encoding: Literal["hex", "base64"] = "hex") -> str:
    """Return the whole value of the signature header for these bytes."""
    return (_PREFIX + _encoded(_digest(raw, key), encoding)).decode("ascii")


def matching_key(raw: bytes, header: str | bytes | None, keys: Sequence[str], encoding: Encoding = "hex") -> int | None:
    """Return the index of the first key under which the header signs these bytes, or None.

    Never raises. Every key is tried, so that the time taken tells nothing. An empty key matches nothing. Hex
    digits may be in either case.
    """
    given = _signature_in(header)
    found: int | None = None
    for index, key in enumerate(keys):
        digest = _digest(raw, key)
        is_hex = hmac.compare_digest(_encoded(digest, "hex"), given.lower())
        is_base64 = hmac.compare_digest(_encoded(digest, "base64"), given)
        is_match = (is_hex and encoding != "base64") or (is_base64 and encoding != "hex")
        if is_match and key and found is None:
            found = index
    return found


def _signature_in(header: str | bytes | None) -> bytes:
    """Return what follows the prefix, or bytes that no signature equals."""
    value = header.encode("latin-1", "replace") if isinstance(header, str) else header or b""
    value = value.strip(b" \t")
    return value[len(_PREFIX) :] if value.startswith(_PREFIX) else b""


def _digest(raw: bytes, key: str) -> bytes:
    return hmac.digest(key.encode("utf-8", "surrogatepass"), raw, "sha256")


def _encoded(digest: bytes, encoding: Literal["hex", "base64"]) -> bytes:
    return b64encode(digest) if encoding == "base64" else digest.hex().encode("ascii")
