"""A claim and what is told about it, in our words. Nothing here reads or writes JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim as far as the answer tells it; None is "not told".

    category is the published status, status_name and status_label the workflow's own. A claim that is not
    processed yet may have a reference and no id. reported_at is aware UTC.
    """

    id: str | None
    reference: str | None
    booking_id: str | None
    quote_id: str | None
    claim_type_id: str | None
    category: str | None
    status_name: str | None
    status_label: str | None
    is_processed: bool
    is_closed: bool | None
    failure_reason: str | None
    reported_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ClaimList:
    """The claims of one booking. Only a complete list proves that a claim is not there."""

    claims: tuple[Claim, ...]
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Whether a policy can be claimed now; advice only, another claim may come in between.

    failed_checks are the insurer's codes, of which two are published. amount is in `currency`, as written.
    """

    is_eligible: bool
    failed_checks: tuple[str, ...]
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, kw_only=True)
class ClaimEvent:
    """What a webhook says. A hint: it has no time and no id, so the claim itself is read afterwards."""

    event: str
    claim_id: str | None
    reference: str | None
    booking_id: str | None
    category: str | None
    status_name: str | None
    status_label: str | None
