"""Who is signed in to the console: a signed cookie, and nothing stored.

The key that signs is made of the tokens of operators and viewers, so that one taken out ends the sessions that there
were.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from itsdangerous import BadData, URLSafeSerializer

from shared import clock
from shared.setting_values import ApiToken, Role
from webhook_gateway.auth import Identity

COOKIE = "cfar_console"
IDLE = timedelta(minutes=30)
"""After which a session ends in which nobody opens a page. A page that refreshes itself keeps nothing alive."""
LONGEST = timedelta(hours=12)
"""After which a session ends whatever is done in it: a night's watch."""
RENEWED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One browser: signed in by a name, or not yet (None); times are seconds since 1970."""

    name: str | None
    csrf: str
    signed_in_at: int
    seen_at: int

    def is_worth_renewing(self) -> bool:
        """Tell whether its cookie has grown old enough to be written anew."""
        return _now() - self.seen_at >= RENEWED_EVERY.total_seconds()

    def seen_now(self) -> "Session":
        """Return it as one in which something was just done."""
        return replace(self, seen_at=_now())


class Sessions:
    """Writes and reads the cookie."""

    def __init__(self, tokens: Sequence[ApiToken]) -> None:
        staff = [token for token in tokens if token.role != "caller"]
        self._roles: dict[str, Role] = {token.name: token.role for token in staff}
        self._serializer = URLSafeSerializer(_key(staff), signer_kwargs={"digest_method": hashlib.sha256})

    def begin(self, name: str | None = None) -> Session:
        """Return a new session; without a name it only protects the form of signing in."""
        return Session(name=name, csrf=secrets.token_urlsafe(24), signed_in_at=_now(), seen_at=_now())

    def written(self, session: Session) -> str:
        """Return the cookie's value."""
        return self._serializer.dumps([session.name, session.csrf, session.signed_in_at, session.seen_at])

    def read(self, cookie: str | None) -> Session | None:
        """Return what the cookie says; None where it is not ours, has ended, or its name is not configured any more."""
        if not cookie:
            return None
        try:
            name, csrf, signed_in_at, seen_at = self._serializer.loads(cookie)
        except (BadData, ValueError, TypeError):
            return None
        is_over = _now() - seen_at > IDLE.total_seconds() or _now() - signed_in_at > LONGEST.total_seconds()
        if is_over or (name is not None and name not in self._roles):
            return None
        return Session(name=name, csrf=csrf, signed_in_at=signed_in_at, seen_at=seen_at)

    def identity(self, session: Session | None) -> Identity | None:
        """Return who is signed in, with the role that the name has now."""
        if session is None or session.name is None:
            return None
        return Identity(name=session.name, role=self._roles[session.name])


def _key(staff: Sequence[ApiToken]) -> bytes:
    if not staff:  # a key made of nothing would be known to everyone
        return secrets.token_bytes(32)
    entries = sorted(f"{token.name}\0{token.role}\0{token.token.get_secret_value()}" for token in staff)
    return hmac.new("\n".join(entries).encode(), b"console sessions", hashlib.sha256).digest()


def _now() -> int:
    return int(clock.utc_now().timestamp())
