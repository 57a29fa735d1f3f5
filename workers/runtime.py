"""What a worker process holds: settings, database, clients. Built lazily, after the fork."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared import broker, rate_limit
from shared.callback_endpoint import CallbackClient
from shared.clock import utc_now
from shared.config import WorkerSettings
from shared.db import Database
from shared.insurer.transport import InsurerHttp
from shared.rate_limit import RateLimit
from shared.refund_endpoint import RefundEndpoint
from shared.xclaim.auth import ExchangedToken, StaticToken, TokenSource
from shared.xclaim.client import XClaimClient
from shared.xcover.auth import Signer
from shared.xcover.client import XCoverClient


class SwitchedOff(Exception):
    """A step needs what the settings leave out; `slug` names the problem. The doors refuse such requests."""

    slug: ClassVar[str]


class ClaimsSwitchedOff(SwitchedOff):
    """XClaim is needed while CLAIMS_ENABLED is false."""

    slug = "claims-disabled"


class RefundCallsSwitchedOff(SwitchedOff):
    """The partner is to be asked for a refund while REFUND_URL is not set."""

    slug = "refund-call-disabled"


@dataclass(frozen=True)
class Runtime:
    """One process's connections."""

    settings: WorkerSettings
    database: Database
    limit: RateLimit
    xcover: XCoverClient
    callbacks: CallbackClient
    xclaim_or_none: XClaimClient | None
    refunds_or_none: RefundEndpoint | None = None

    @property
    def xclaim(self) -> XClaimClient:
        """Return XClaim's client, or raise ClaimsSwitchedOff."""
        if self.xclaim_or_none is None:
            raise ClaimsSwitchedOff("this step calls XClaim, but CLAIMS_ENABLED is false here")
        return self.xclaim_or_none

    @property
    def refunds(self) -> RefundEndpoint:
        """Return the partner's refund endpoint, or raise RefundCallsSwitchedOff."""
        if self.refunds_or_none is None:
            raise RefundCallsSwitchedOff("the partner is to be asked for this refund, but REFUND_URL is not set here")
        return self.refunds_or_none

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
        self.xcover.close()
        self.callbacks.close()
        if self.xclaim_or_none is not None:
            self.xclaim_or_none.close()
        if self.refunds_or_none is not None:
            self.refunds_or_none.close()


_current: Runtime | None = None
_owner: int | None = None
_build: Callable[[], Runtime] | None = None


def runtime() -> Runtime:
    """Return this process's runtime, built on first use: connections must not cross a fork."""
    global _current, _owner
    if _current is None or _owner != os.getpid():
        if _build is None:
            raise RuntimeError("no runtime was configured; workers.app does it when a worker starts")
        _current, _owner = _build(), os.getpid()
    return _current


def configure(build: Callable[[], Runtime]) -> None:
    """Say how a process builds its runtime."""
    global _current, _build
    _current, _build = None, build


def forget() -> None:
    """Undo `configure`, between tests."""
    global _current, _build
    _current, _build = None, None


def connect(
    settings: WorkerSettings, database: Database, *, clock: Callable[[], datetime] = utc_now, line: str | None = None
) -> Runtime:
    """Build the clients that the settings describe; `clock` dates what they sign.

    All processes that share an insurer's rate limit stand in one `line`, the partner's.
    """
    signer = Signer(
        api_key=settings.xcover_api_key.get_secret_value(),
        secret=settings.xcover_api_secret.get_secret_value(),
        algorithm=settings.xcover_signature_algorithm,
        signed_headers=settings.xcover_signed_headers,
    )
    limit = RateLimit(
        broker.redis_client(settings, timeout=rate_limit.TIMEOUT),
        partner=line or settings.xcover_partner_code,
        per_second=settings.xcover_rate_limit,
        process=f"{socket.gethostname()}:{os.getpid()}",
    )
    xcover = XCoverClient(
        base_url=settings.xcover_base_url,
        partner_code=settings.xcover_partner_code,
        signer=signer,
        limit=limit,
        clock=clock,
    )
    callbacks = CallbackClient(allows_loopback=settings.callbacks_allow_loopback, clock=clock)
    return Runtime(settings, database, limit, xcover, callbacks, _xclaim(settings), _refunds(settings, clock))


def _refunds(settings: WorkerSettings, clock: Callable[[], datetime]) -> RefundEndpoint | None:
    if settings.refund_url is None or settings.refund_secret is None:
        return None
    return RefundEndpoint(url=settings.refund_url, secret=settings.refund_secret.get_secret_value(), clock=clock)


def _xclaim(settings: WorkerSettings) -> XClaimClient | None:
    if not settings.claims_enabled or settings.xclaim_base_url is None:
        return None
    http = InsurerHttp()
    return XClaimClient(
        base_url=settings.xclaim_base_url,
        partner_code=settings.xclaim_partner_code or settings.xcover_partner_code,
        tokens=_tokens(settings, settings.xclaim_base_url, http),
        claims_by_booking_path=settings.xclaim_claims_by_booking_path,
        http=http,
    )


def _tokens(settings: WorkerSettings, base_url: str, http: InsurerHttp) -> TokenSource:
    if settings.xclaim_token is not None:
        return StaticToken(settings.xclaim_token.get_secret_value())
    if settings.xclaim_api_key is None or settings.xclaim_password is None:
        raise ClaimsSwitchedOff("neither XCLAIM_TOKEN nor XCLAIM_API_KEY with XCLAIM_PASSWORD is set")
    return ExchangedToken(
        base_url=base_url,
        api_key=settings.xclaim_api_key.get_secret_value(),
        password=settings.xclaim_password.get_secret_value(),
        http=http,
    )
