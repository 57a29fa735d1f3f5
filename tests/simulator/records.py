"""What the insurer knows: bookings with their policies, cancellations, claims; what the partner answered. No rules."""

import random
import string
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tests.simulator.faults import Fault

RefundAnswer = Literal["paid", "created", "accepted"]
KeyMode = Literal["honoured", "ignored", "storing_errors"]
CLAIM_EVENTS = Literal["claim.status-category-update", "claim.status-update", "claim.deleted"]


class StoryEvent(BaseModel):
    """One thing that happens to a claim; `after` counts seconds from the event before it."""

    model_config = ConfigDict(extra="forbid")

    after: float = 0.3
    event: CLAIM_EVENTS = "claim.status-category-update"
    category: str | None = None
    name: str | None = None
    label: str | None = None


def default_story() -> list[StoryEvent]:
    return [
        StoryEvent(category="Under Assessment"),
        StoryEvent(
            event="claim.status-update",
            category="Payment Processing",
            name="premium_refund",
            label="Premium Refund",
        ),
        StoryEvent(category="Payment Complete"),
    ]


class Policy(BaseModel):
    """A quote of a package. `can_be_cancelled` None means the field is missing from what we answer."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    price: Decimal = Decimal("22.40")
    refund: Decimal | None = None
    adjustment_fee: Decimal = Decimal(0)
    can_be_cancelled: bool | None = True
    status: str = "CONFIRMED"
    policy_type: str = "event_ticket_protection"
    policy_start: datetime | None = None
    policy_end: datetime | None = None
    claim_amount: Decimal = Decimal(1000)
    confirmed_at: datetime | None = None
    updated_at: datetime | None = None
    cancelled_at: datetime | None = None

    @property
    def is_cancelled(self) -> bool:
        return self.status == "CANCELLED"

    @property
    def refund_value(self) -> Decimal:
        return self.price if self.refund is None else self.refund


@dataclass(kw_only=True)
class Cancellation:
    """A preview that may still be confirmed; the refunds are those it showed."""

    id: str
    refunds: dict[str, Decimal]
    previewed_at: datetime
    confirm_before: datetime
    is_used: bool = False


class Booking(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, arbitrary_types_allowed=True)

    id: str = Field(default_factory=lambda: f"{code()}-{code()}-INS")
    currency: str = "EUR"
    policies: list[Policy] = Field(default_factory=lambda: [Policy()], min_length=1)
    total_refund: Decimal | None = None  # shown instead of the sum: a figure that does not add up
    refund_amount: Decimal | None = None  # a second figure for the same thing, which newer answers carry
    faults: list[Fault] = Field(default_factory=list)
    reject_reasons: bool = False
    claim_story: list[StoryEvent] = Field(default_factory=default_story)
    claim_pending_polls: int = 0
    claim_pending_seconds: float = 0
    claim_fails: str | None = None
    key_mode: KeyMode | None = None  # how our keys are treated for this one; None is as the setting says
    claim_when_cancelled: bool = False  # a product whose cancelled policy may be claimed
    failed_checks: list[str] = Field(default_factory=list)
    refund_answer: RefundAnswer | None = None  # what the partner answers for this one; None is as the setting says
    partner_transaction_id: str | None = None
    first_name: str = "Benedikta"
    last_name: str = "Sikanic"
    email: str = "benedikta.sikanic@example.com"
    security_token: str = Field(default_factory=lambda: f"{code()}-{code()}-{code()}-{code()}")
    signup_token: str = Field(default_factory=lambda: f"{code()}-{code()}-{code()}-{code()}")
    created_at: datetime | None = None
    updated_at: datetime | None = None
    cancellations: dict[str, Cancellation] = Field(default_factory=dict, exclude=True)

    @property
    def status(self) -> str:
        """CANCELLED only when every policy is."""
        alive = [policy.status for policy in self.policies if not policy.is_cancelled]
        return alive[0] if alive else "CANCELLED"

    def policy(self, quote_id: object) -> Policy | None:
        return next((policy for policy in self.policies if policy.id == quote_id), None)

    def fill_dates(self, now: datetime) -> None:
        """Fill in the dates nobody named: sold yesterday, covered for a month."""
        self.created_at = self.created_at or now - timedelta(days=1)
        self.updated_at = self.updated_at or self.created_at
        for policy in self.policies:
            policy.policy_start = policy.policy_start or self.created_at.replace(microsecond=0)
            policy.policy_end = policy.policy_end or policy.policy_start + timedelta(days=30)
            policy.confirmed_at = policy.confirmed_at or self.created_at + timedelta(seconds=10)
            policy.updated_at = policy.updated_at or policy.confirmed_at
            policy.cancelled_at = (policy.cancelled_at or now) if policy.is_cancelled else None


@dataclass(frozen=True, kw_only=True)
class AnsweredRefund:
    """What the partner remembers of a key: what was asked with it, and what was answered."""

    fingerprint: str
    status: int
    reference: str


@dataclass(kw_only=True)
class Claim:
    booking: Booking
    quote_id: str
    claim_type_id: str
    language: str
    section_fields: list[Any]
    receivers: list[dict[str, str]]
    reported_at: datetime
    polls_left: int
    pending_until: datetime
    story: list[StoryEvent]
    category: str = "Submitted"
    name: str = "submitted"
    label: str = "Submitted"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    reference: str = field(default_factory=lambda: f"{code()}-{code()}-CLA")
    status_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    workflow_version_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    processing: str = "processed"
    failure_reason: str | None = None
    last_status_at: datetime | None = None
    is_deleted: bool = False
    held: bytes | None = None  # a webhook that waits to be overtaken by the next

    @property
    def stands(self) -> bool:
        return not self.is_deleted and self.processing != "failed"


def code(letters: str = string.ascii_uppercase + string.digits) -> str:
    return "".join(random.choices(letters, k=5))


def cancellation_id() -> str:
    mixed = string.ascii_letters + string.digits
    return f"{code(mixed)}-{code(mixed)}-{code(mixed)}-CCL"
