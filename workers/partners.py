"""What a worker holds for one partner: its settings, its clients of the insurer, its share of the rate."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from shared.breakers import Breaker, Breakers
from shared.clock import utc_now
from shared.config import WorkerSettings
from shared.insurer.errors import InsurerError, NotSent, OutcomeUnknown, Unavailable
from shared.insurer.transport import InsurerHttp
from shared.rate_limit import RateLimit
from shared.refund_endpoint import RefundEndpoint
from shared.xclaim.auth import ExchangedToken, StaticToken, TokenSource
from shared.xclaim.client import XClaimClient
from shared.xcover.auth import Signer
from shared.xcover.client import XCoverClient

XCOVER, XCLAIM = "xcover", "xclaim"
SILENT = frozenset({502, 503, 504})
"""Answers of whoever stands in front of an insurer that is away."""


class SwitchedOff(Exception):
    """A step needs what the settings leave out; `slug` names the problem. The doors refuse such requests."""

    slug: ClassVar[str]


class ClaimsSwitchedOff(SwitchedOff):
    """XClaim is needed while CLAIMS_ENABLED is false."""

    slug = "claims-disabled"


class RefundCallsSwitchedOff(SwitchedOff):
    """The partner is to be asked for a refund while REFUND_URL is not set."""

    slug = "refund-call-disabled"


class PartnerUnknown(SwitchedOff):
    """The settings name no such partner any more."""

    slug = "partner-unknown"


@dataclass(frozen=True, kw_only=True)
class Partner:
    """One partner's settings and connections."""

    settings: WorkerSettings
    limit: RateLimit
    breakers: Mapping[str, Breaker]
    """By service."""
    xcover: XCoverClient
    xclaim_or_none: XClaimClient | None
    refunds_or_none: RefundEndpoint | None

    @property
    def code(self) -> str:
        """Return the partner's code, as rows name it."""
        return self.settings.xcover_partner_code

    @property
    def breaker(self) -> Breaker:
        """Return XCover's breaker."""
        return self.breakers[XCOVER]

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

    def answers_nobody(self, error: InsurerError) -> bool:
        """Tell whether a request failed only because its service is away: that is no failure of what asked.

        An answer 500 may be about the request itself, so those are counted.
        """
        breaker = self.breakers.get(error.service or "")
        is_silent = error.status is None or error.status in SILENT
        is_of_service = isinstance(error, NotSent | Unavailable | OutcomeUnknown)
        return breaker is not None and is_silent and is_of_service and breaker.is_open()

    def close(self) -> None:
        """Close every connection."""
        for client in (self.xcover, self.xclaim_or_none, self.refunds_or_none):
            if client is not None:
                client.close()


def connect(
    settings: WorkerSettings,
    *,
    redis: Any,
    breakers: Breakers,
    clock: Callable[[], datetime],
    line: str | None = None,
) -> Partner:
    """Build the clients that one partner's settings describe.

    All processes that share an insurer's rate limit stand in one `line`, the partner's.
    """
    code = settings.xcover_partner_code
    gates = {service: breakers.of(partner=code, service=service) for service in (XCOVER, XCLAIM)}
    limit = RateLimit(
        redis,
        partner=line or code,
        per_second=settings.xcover_rate_limit,
        process=f"{socket.gethostname()}:{os.getpid()}",
    )
    return Partner(
        settings=settings,
        limit=limit,
        breakers=gates,
        xcover=_xcover(settings, InsurerHttp(gate=gates[XCOVER]), limit=limit, clock=clock),
        xclaim_or_none=_xclaim(settings, InsurerHttp(gate=gates[XCLAIM])),
        refunds_or_none=_refunds(settings, clock),
    )


def problems_of_clients(settings: WorkerSettings) -> list[str]:
    """Return what keeps a partner's clients from being built, in words without values; nothing is asked for it."""
    problems = []
    http = InsurerHttp()
    for partner in settings.partners():
        for build in (_xcover, _xclaim):
            try:
                build(partner, http)
            except (ValueError, SwitchedOff) as error:
                problems.append(f"partner {partner.xcover_partner_code}: {error}")
    http.close()
    return problems


def _xcover(
    settings: WorkerSettings,
    http: InsurerHttp,
    *,
    limit: RateLimit | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> XCoverClient:
    signer = Signer(
        api_key=settings.xcover_api_key.get_secret_value(),
        secret=settings.xcover_api_secret.get_secret_value(),
        algorithm=settings.xcover_signature_algorithm,
        signed_headers=settings.xcover_signed_headers,
    )
    return XCoverClient(
        base_url=settings.xcover_base_url,
        partner_code=settings.xcover_partner_code,
        signer=signer,
        http=http,
        limit=limit,
        clock=clock,
    )


def _refunds(settings: WorkerSettings, clock: Callable[[], datetime]) -> RefundEndpoint | None:
    if settings.refund_url is None or settings.refund_secret is None:
        return None
    return RefundEndpoint(url=settings.refund_url, secret=settings.refund_secret.get_secret_value(), clock=clock)


def _xclaim(settings: WorkerSettings, http: InsurerHttp) -> XClaimClient | None:
    if not settings.claims_enabled or settings.xclaim_base_url is None:
        return None
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
