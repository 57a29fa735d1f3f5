"""Who is asking: bearer tokens, checked for everything under /v1 before any route of it runs."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask, g, request

from shared.problems import Problem
from shared.setting_values import ApiToken

GUARDED = "/v1/"


@dataclass(frozen=True, kw_only=True)
class _Known:
    digest: bytes
    name: str
    is_operator: bool


def register(app: Flask, tokens: Sequence[ApiToken]) -> None:
    """Guard every address under /v1, whether or not a route answers there: a new one cannot be forgotten."""
    known = [
        _Known(digest=_digest(token.token.get_secret_value().encode()), name=token.name, is_operator=token.is_operator)
        for token in tokens
    ]

    @app.before_request
    def identify() -> None:
        if is_guarded():
            who = _owner_of(_bearer_token(), known)
            g.caller, g.is_operator = who.name, who.is_operator


def is_guarded() -> bool:
    """Tell whether this request asks for something that takes a token."""
    return request.path.startswith(GUARDED)


def caller() -> str:
    """Return the name under which the token of this request is configured."""
    return str(g.caller)


def is_operator() -> bool:
    """Tell whether this request's token is an operator's."""
    return bool(g.is_operator)


def actor() -> str:
    """Return who acts, as the timeline names it."""
    return f"operator:{g.caller}" if g.is_operator else f"caller:{g.caller}"


def may_see(owner: str) -> bool:
    """Tell whether this request may see what `owner` asked for."""
    return is_operator() or owner == caller()


def require_operator() -> None:
    """Refuse everyone but operators."""
    if not is_operator():
        raise Problem("operators-only", f"{caller()!r} is not an operator; only operators may do this.")


def _bearer_token() -> bytes:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem("unauthorized", "Send the header Authorization: Bearer <token>.")
    return token.strip().encode("latin-1", "replace")  # the bytes as they came: WSGI decodes headers as latin-1


def _owner_of(token: bytes, known: Sequence[_Known]) -> _Known:
    """Compare with every known token, in a time that tells neither which one nor how much of it matched."""
    given, found = _digest(token), None
    for candidate in known:
        if hmac.compare_digest(candidate.digest, given):
            found = candidate
    if found is None:
        raise Problem("unauthorized", "This token is not known here.")
    return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
