"""A booking and its cancellation, in our words. Nothing here reads or writes JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy of a booking. `can_be_cancelled` is None if not told; unknown statuses stay as they came."""

    id: str
    status: str
    can_be_cancelled: bool | None
    cancelled_at: datetime | None
    policy_type: str | None
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Booking:
    """A booking with its policies. Times are aware UTC, the currency is ISO 4217 as told."""

    id: str
    status: str
    currency: str
    policies: tuple[Policy, ...]


@dataclass(frozen=True, kw_only=True)
class PolicyRefund:
    """What one policy gives back, in the booking's currency, and when it was cancelled, if it was."""

    quote_id: str
    refund: Decimal | None
    cancelled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a cancellation would refund, and until when it may be confirmed. Nothing is cancelled yet.

    refunds: every policy the answer lists, also ones not asked for. refund_amount: a second figure for the
    total that only newer answers have.
    """

    booking_id: str
    cancellation_id: str
    confirm_before: datetime
    total_refund: Decimal
    currency: str
    refunds: tuple[PolicyRefund, ...]
    refund_amount: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """A cancellation that was carried out. One documented form of the answer names no currency: None then."""

    booking_id: str
    currency: str | None
    total_refund: Decimal | None
    policies: tuple[PolicyRefund, ...]


@dataclass(frozen=True, kw_only=True)
class QuoteToCancel:
    """A policy to be cancelled and the customer's reason, if one was given."""

    id: str
    reason: str | None = None
