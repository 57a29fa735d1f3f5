"""The contract as a small model: what was asked for, what a caller may be answered, how a cancellation may end.

Written from the promises, not from the code. It knows a cancellation only as a caller sees it, and what the machine did
to the world around it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Money = tuple[Decimal, str]

MAY_BECOME = {
    "in_progress": {
        "in_progress", "awaiting_refund", "awaiting_premium_refund", "completed", "rejected", "aborted", "needs_review",
    },
    "awaiting_refund": {"awaiting_refund", "in_progress", "aborted", "needs_review", "closed"},
    "awaiting_premium_refund": {"awaiting_premium_refund", "in_progress", "needs_review", "closed"},
    "needs_review": {"in_progress", "completed", "aborted", "needs_review", "closed"},
    "completed": {"needs_review"},
    "rejected": {"needs_review"},
    "aborted": {"needs_review"},
    "closed": {"needs_review"},
}  # fmt: skip
ENDED = {"completed", "rejected", "aborted", "closed"}
MOVING = {"in_progress", "awaiting_refund", "awaiting_premium_refund"}
NOTHING_DONE = {"rejected", "aborted"}

IRREVERSIBLE = {"refund", "confirm", "cancel", "claim"}
"""Steps whose call, once it is in the timeline, is the committed intent of something irreversible."""
EFFECTS = {"cancel": ["confirm"], "cancel_and_claim": ["confirm", "claim"], "claim": ["claim"],
           "cancel_now": ["cancel"], "claim_then_cancel": ["claim", "confirm"], "dry_run": []}  # fmt: skip

WENT_WRONG = {
    *("outcome-unsettled", "answer-unreadable", "tries-spent", "refund-unknown", "refund-refused", "insurer-refused"),
    "worker-crashed",
}
"""Problems that faults and crashes explain."""
CLAIM_ENDED = {"claim-closed-unpaid", "claim-paid-first", "claim-not-eligible", "claim-duplicated"}


@dataclass
class World:
    """What the machine has done to the world around the service."""

    faulty: set[str] = field(default_factory=set)
    """Bookings with a fault at the insurer's or the partner's."""
    interrupted: set[str] = field(default_factory=set)
    """Cancellations one of whose tasks died, slept or lost the database."""
    repriced: set[str] = field(default_factory=set)
    meddled: set[str] = field(default_factory=set)
    """Bookings that someone else cancelled, or that may not be cancelled any more."""
    claim_news: set[str] = field(default_factory=set)
    """Bookings whose claim was paid, declined or deleted."""
    elapsed: float = 0.0


@dataclass
class Asked:
    """One cancellation, as its caller knows it."""

    key: str
    body: dict[str, Any]
    policies: frozenset[str]
    id: str | None = None
    """Told by the first answer; None until then."""
    reported: Money | None = None
    reports: list[str] = field(default_factory=list)
    """What answered each report: 200, 202 and so on."""
    refunded_at: int | None = None
    """How long the ledger was when a report was accepted."""
    aborted_at: int | None = None
    """How long the ledger was when an abort was answered 200."""
    rulings: list[str] = field(default_factory=list)
    """What operators decided, as `step: resolution`."""
    statuses: list[str] = field(default_factory=list)

    @property
    def booking_id(self) -> str:
        return str(self.body["booking_id"])

    @property
    def journey(self) -> str:
        return "dry_run" if self.body.get("dry_run") else str(self.body["journey"])

    @property
    def mode(self) -> str:
        return str(self.body.get("refund", {}).get("mode", "wait"))

    @property
    def is_refunded_by_hand(self) -> bool:
        """Tell whether an operator vouched for the refund: then figures may differ."""
        return "refund: done" in self.rulings


def abort_answers(seen: dict[str, Any], calls: Collection[str], asked: Asked) -> set[int]:
    """Return what an abort may be answered: before the point of no return 200, else 409."""
    if seen["status"] == "aborted":
        return {200}
    # As seen too: a report can be stored while its answer is still on its way.
    is_reported = asked.reported is not None or "202" in asked.reports or seen["refund"]["reported_at"] is not None
    is_past = bool(IRREVERSIBLE & set(calls)) or is_reported
    return {409} if seen["status"] in ENDED or is_past else {200}


def report_answers(seen: dict[str, Any], told: Money, reference: str, *, earlier: Collection[Money]) -> set[int]:
    """Return what a refund report may be answered."""
    refund, preview = seen["refund"], seen["preview"]
    offered = (Decimal(preview["total_refund"]), preview["currency"]) if preview else None
    if refund["reported_at"] is not None:
        if (Decimal(refund["amount"]), refund["currency"], refund["reference"]) == (*told, reference):
            return {200}
        return {202} if told in earlier and told != offered else {409}
    if seen["status"] in {"aborted", "rejected", "closed"}:
        return {202}  # money that was paid
    if seen["status"] == "completed":
        return {202} if told in earlier and told != offered else {409}
    if "refund" not in seen["steps"] or offered is None:
        return {409}
    if told == offered:
        return {200}
    return {202} if told in earlier else {422}


def explained(problem: str, asked: Asked, others: Collection[Asked], world: World) -> bool:
    """Tell whether what happened explains why a cancellation was rejected or needs a person.

    In a quiet world nothing does, so a service that asks a person too readily is found out.
    """
    shared = [other for other in others if other is not asked and other.policies & asked.policies]
    is_meddled = asked.booking_id in world.meddled
    is_interrupted = any(other.id in world.interrupted for other in (asked, *shared))
    went_wrong = asked.booking_id in world.faulty or is_interrupted or is_meddled
    match problem:
        case "already-in-hand":
            return asked.journey != "dry_run" and any(other.journey != "dry_run" for other in shared)
        case "policy-already-cancelled" | "cancelled-by-someone-else":
            return is_meddled or bool(shared)
        case "policy-cannot-be-cancelled":
            return is_meddled
        case "refund-amount-changed":
            return asked.booking_id in world.repriced
        case "refund-of-another-round" | "refund-after-end":
            return "202" in asked.reports
        case "refund-not-reported":
            return world.elapsed >= 14 * 86400
        case "premium-refund-not-reported":
            return world.elapsed >= 60 * 86400
        case problem if problem in CLAIM_ENDED:
            return asked.booking_id in world.claim_news or bool(shared) or went_wrong
        case problem if problem in WENT_WRONG:
            return went_wrong
    return False
