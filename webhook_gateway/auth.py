"""Who is asking: bearer tokens, checked for everything under /v1 before any route of it runs.

The console has sessions instead; it says who is asking through `act_as`, and then the same rules hold.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask, current_app, g, request

from shared.problems import Problem
from shared.setting_values import ApiToken, Role

GUARDED = "/v1/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})

_EXTENSION = "cfar.tokens"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A name of API_TOKENS and what it may do."""

    name: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class _Known:
    digest: bytes
    identity: Identity


def register(app: Flask, tokens: Sequence[ApiToken]) -> None:
    """Guard every address under /v1, whether or not a route answers there: a new one cannot be forgotten."""
    known = [
        _Known(
            digest=_digest(token.token.get_secret_value().encode()), identity=Identity(name=token.name, role=token.role)
        )
        for token in tokens
    ]
    app.extensions[_EXTENSION] = known

    @app.before_request
    def identify() -> None:
        if is_guarded():
            act_as(_owner_of(_bearer_token(), known))


def act_as(who: Identity) -> None:
    """Let the rest of this request be done by this name; refuse a viewer whatever does not only read."""
    g.caller, g.role = who.name, who.role
    if who.role == "viewer" and request.method not in READING:
        raise Problem("operators-only", f"{who.name!r} may see everything and change nothing.")


def is_guarded() -> bool:
    """Tell whether this request asks for something that takes a token."""
    return request.path.startswith(GUARDED)


def identity_of(token: str) -> Identity | None:
    """Return whose token this is, in a time that does not tell; None for an unknown one."""
    known: Sequence[_Known] = current_app.extensions[_EXTENSION]
    return _found(token.encode(), known)


def caller() -> str:
    """Return the name under which the token of this request is configured."""
    return str(g.caller)


def is_operator() -> bool:
    """Tell whether this request is an operator's: it may decide."""
    return bool(g.role == "operator")


def sees_everything() -> bool:
    """Tell whether this request may see what is everyone's: an operator's, or a viewer's."""
    return bool(g.role != "caller")


def actor() -> str:
    """Return who acts, as the timeline names it."""
    return f"{g.role}:{g.caller}"


def may_see(owner: str) -> bool:
    """Tell whether this request may see what `owner` asked for."""
    return sees_everything() or owner == caller()


def require_operator() -> None:
    """Refuse everyone but operators."""
    if not is_operator():
        raise Problem("operators-only", f"{caller()!r} is not an operator; only operators may do this.")


def require_sight_of_everything() -> None:
    """Refuse callers; a viewer's writing is refused before any route runs."""
    if not sees_everything():
        raise Problem("operators-only", f"{caller()!r} is not an operator; only operators may do this.")


def _bearer_token() -> bytes:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem("unauthorized", "Send the header Authorization: Bearer <token>.")
    return token.strip().encode("latin-1", "replace")  # the bytes as they came: WSGI decodes headers as latin-1


def _owner_of(token: bytes, known: Sequence[_Known]) -> Identity:
    found = _found(token, known)
    if found is None:
        raise Problem("unauthorized", "This token is not known here.")
    return found


def _found(token: bytes, known: Sequence[_Known]) -> Identity | None:
    """Compare with every known token, in a time that tells neither which one nor how much of it matched."""
    given, found = _digest(token), None
    for candidate in known:
        if hmac.compare_digest(candidate.digest, given):
            found = candidate.identity
    return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
