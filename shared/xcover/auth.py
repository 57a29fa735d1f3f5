"""Signs requests to XCover. Knows no endpoint and sends nothing.

Evidence: the authentication page and two published clients agree on signing the Date header alone, and such
requests were accepted in 2026; the official Python client also signs the request line, and must then say so.
The body is never covered.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

ALGORITHMS = {"hmac-sha256": hashlib.sha256, "hmac-sha384": hashlib.sha384, "hmac-sha512": hashlib.sha512}
SIGNED_HEADERS = ("date", "(request-target) date")


class Signer:
    """Holds the credentials of one partner. Its repr shows neither of them."""

    def __init__(
        self,
        api_key: str,
        secret: str,
        algorithm: str = "hmac-sha512",
        signed_headers: str = "date",
    ) -> None:
        """Raises ValueError for credentials that no header can carry and for unknown variants."""
        if not re.fullmatch(r"[!#-\[\]-~]+", api_key) or not secret:
            raise ValueError("an API key is visible ASCII without quotes or backslashes, and a secret is not empty")
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if signed_headers not in SIGNED_HEADERS:
            raise ValueError(f"signed headers {signed_headers!r} are none of {', '.join(SIGNED_HEADERS)}")
        self._api_key = api_key
        self._secret = secret.encode()
        self._algorithm = algorithm
        self._signed_headers = signed_headers

    def headers_for(self, method: str, path: str, now: datetime) -> dict[str, str]:
        """Return Date, X-Api-Key and Authorization for one attempt; a repeat needs new ones.

        `path` is the whole path as sent, with the base URL's prefix and without the query. `now` is aware.
        """
        date = format_datetime(now.astimezone(UTC), usegmt=True)
        lines = [f"date: {date}"]
        named = ""
        if self._signed_headers != "date":
            lines.insert(0, f"(request-target): {method.lower()} {path}")
            named = f'headers="{self._signed_headers}",'
        signature = self._signature("\n".join(lines))
        return {
            "Date": date,
            "X-Api-Key": self._api_key,
            "Authorization": (
                f'Signature keyId="{self._api_key}",algorithm="{self._algorithm}",{named}signature="{signature}"'
            ),
        }

    def __repr__(self) -> str:
        return f"Signer(algorithm={self._algorithm!r}, signed_headers={self._signed_headers!r})"

    def _signature(self, signing_string: str) -> str:
        """Standard base64, percent-encoded whole: the URL-safe alphabet is answered with a mismatch."""
        digest = hmac.new(self._secret, signing_string.encode(), ALGORITHMS[self._algorithm]).digest()
        return quote(b64encode(digest).decode("ascii"), safe="")
