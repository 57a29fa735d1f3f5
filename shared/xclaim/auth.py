"""Gets the bearer token for XClaim: given once and for all, or exchanged for an API key and its password."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import Protocol

from shared.clock import utc_now
from shared.insurer.addresses import base_url as checked_base_url
from shared.insurer.answers import refusal, unusable
from shared.insurer.errors import (
    InsurerError,
    Misdirected,
    NotAllowed,
    NotFound,
    Refused,
    Unavailable,
    UnusableAnswer,
)
from shared.insurer.transport import InsurerHttp, Reply, parse_json
from shared.xclaim import wire

RENEW_BEFORE = timedelta(minutes=10)  # more than any call lasts and than two hosts' clocks differ
UNDATED_LIFETIME = timedelta(hours=1)  # for a token that does not say; sample tokens live 14 days
_ATTEMPTED = "get a token from XClaim"


class TokenSource(Protocol):
    """Where `XClaimClient` gets its bearer token."""

    def token(self) -> str:
        """Return a token that should be accepted."""

    def invalidate(self, rejected: str) -> bool:
        """Forget a token that was refused; tell whether another one can be had."""


class StaticToken:
    """A token issued by hand. When it is refused there is no other."""

    def __init__(self, token: str) -> None:
        """Raises ValueError for what no header can carry."""
        self._token = wire.token_from({"jwt": token})

    def token(self) -> str:
        return self._token

    def invalidate(self, rejected: str) -> bool:  # noqa: ARG002 - nothing to compare it with
        return False

    def __repr__(self) -> str:
        return "StaticToken()"


class ExchangedToken:
    """A token asked for when needed and kept until shortly before it expires.

    One thread asks, the others wait for its answer. Not to be carried over a fork.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        password: str,
        http: InsurerHttp,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Raises ValueError for an unusable base URL."""
        self._url = f"{checked_base_url(base_url)}auth/jwt/token/programmatic-access"
        self._basic = b64encode(f"{api_key}:{password}".encode()).decode("ascii")
        self._http = http
        self._clock = clock
        self._lock = Lock()
        self._token: str | None = None
        self._fresh_until = datetime.min.replace(tzinfo=UTC)

    def token(self) -> str:
        """Return the kept token, or a new one.

        Raises NotSent or Unavailable (a deed waiting for the token has not begun either way), Throttled,
        NotAllowed, Misdirected.
        """
        if not self._lock.acquire(timeout=max(self._http.time_left(), 0.0)):
            raise Unavailable(_ATTEMPTED, problems=(("", "another thread is still asking for it"),))
        try:
            if self._token is None or self._clock() >= self._fresh_until:
                self._exchange()
            return self._token or ""
        finally:
            self._lock.release()

    def invalidate(self, rejected: str) -> bool:
        """Forget the token, unless another thread has replaced it already."""
        if self._lock.acquire(timeout=max(self._http.time_left(), 0.0)):
            if self._token == rejected:
                self._token = None
            self._lock.release()
        return True

    def __repr__(self) -> str:
        return f"ExchangedToken({self._url!r})"

    def _exchange(self) -> None:
        self._token = None
        reply = self._http.send(
            "GET",
            self._url,
            attempted=_ATTEMPTED,
            is_read=True,
            headers_for=lambda _method, _path: {"Authorization": f"Basic {self._basic}"},
        )
        if not 200 <= reply.status < 300:
            raise _exchange_refused(reply)
        try:
            self._token = wire.token_from(reply.json)
        except UnusableAnswer as reason:
            raise unusable(_ATTEMPTED, reply, reason, is_read=True) from reason
        self._fresh_until = self._clock() + _lifetime(self._token, reply.insurer_time or self._clock())


def _exchange_refused(reply: Reply) -> InsurerError:
    """A 404 here says nothing about a claim, and any other refusal is one of the credentials."""
    error = refusal(_ATTEMPTED, reply, is_read=True)
    if not isinstance(error, Refused) or isinstance(error, NotAllowed | Misdirected):
        return error
    kind = Misdirected if isinstance(error, NotFound) else NotAllowed
    return kind(
        error.attempted,
        status=error.status,
        problems=error.problems,
        evidence=error.evidence,
        insurer_time=error.insurer_time,
        retry_after=error.retry_after,
    )


def _lifetime(token: str, issued: datetime) -> timedelta:
    """Return how long to keep it: by its `exp` on the insurer's clock, a short-lived one half its life."""
    expires = _expiry(token)
    if expires is None:
        return UNDATED_LIFETIME
    life = expires - issued
    return max(life - RENEW_BEFORE, life / 2)


def _expiry(token: str) -> datetime | None:
    """Read `exp` from the payload without verifying anything: only the insurer's own answer decides."""
    try:
        payload = token.split(".")[1]
        claims = parse_json(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        exp = claims.get("exp") if isinstance(claims, dict) else None
        return datetime.fromtimestamp(float(exp), UTC) if isinstance(exp, int | Decimal) else None
    except (ValueError, IndexError, OverflowError, OSError):
        return None
