"""Builds addresses from settings and identifiers; an identifier cannot lead anywhere else."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from shared.insurer.errors import Refused

MAX_IDENTIFIER = 200  # characters; the longest in use, a UUID, has 36


def base_url(given: str) -> str:
    """Return the address with one slash at its end. Raises ValueError unless it is plain http or https."""
    parts = urlsplit(given.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a base URL begins with http:// or https:// and a host name")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a base URL has no user, no query and no fragment")
    return given.strip().rstrip("/") + "/"


def segment(identifier: str, attempted: str) -> str:
    """Return the identifier as one path segment: a slash, a query or an escape in it stays a character.

    Raises Refused, and nothing is sent, for what no escaping can make a segment (empty, "." and "..") and for
    what no identifier is (too long, control characters, half characters).
    """
    if identifier in {"", ".", ".."} or len(identifier) > MAX_IDENTIFIER or not identifier.isprintable():
        raise Refused(attempted, problems=(("", "not sent: no identifier looks like this"),))
    return quote(identifier, safe="")
