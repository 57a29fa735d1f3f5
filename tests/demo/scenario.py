"""What a scenario of the demo says: how it is asked for, what happens to it, and what must come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.lifecycle import STEPS_CLAIM_FIRST, Journey, steps_of

CANCEL = steps_of(Journey.CANCEL)
CLAIM_AFTER = steps_of(Journey.CANCEL_AND_CLAIM)
CLAIM_FIRST = STEPS_CLAIM_FIRST
CLAIM_ALONE = steps_of(Journey.CLAIM)
CANCEL_NOW = steps_of(Journey.CANCEL_NOW)
CLAIM_THEN_CANCEL = steps_of(Journey.CLAIM_THEN_CANCEL)
BOTH_MILESTONES = frozenset({"premium_refund", "claim_paid"})
PREMIUM_REFUND = (
    {"category": "Under Assessment"},
    {
        "after": 3.0,
        "event": "claim.status-update",
        "category": "Payment Processing",
        "name": "premium_refund",
        "label": "Premium Refund",
    },
)
"""What happens to a claim whose policy may then be cancelled."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One cancellation: how it is asked for, what happens to it, and what must come of it."""

    name: str
    # asked for
    journey: Journey | None = None
    """Named in the request; None leaves it to the default."""
    policies: tuple[Mapping[str, Any], ...] = ({},)
    """What the insurer knows of each policy, beyond the usual."""
    booking: Mapping[str, Any] = field(default_factory=dict)
    """What it knows of the booking, and what its partner answers when called for the refund."""
    is_known: bool = True
    quotes: tuple[int, ...] = ()
    """Policies to cancel, by position; none named means the service chooses."""
    claim: Mapping[str, Any] | None = None
    claimed: int | None = None
    """The policy to claim, by position."""
    reason: str | None = None
    refund: Literal["wait", "call", "skip"] = "skip"
    door: Literal["http", "celery"] = "http"
    is_sent_twice: bool = False
    rival_of: str | None = None
    """Sent for the booking of the scenario of that name, while it waits for its refund."""
    # goes wrong
    faults: tuple[Mapping[str, Any], ...] = ()
    # done by the partner while it waits for the refund
    partner: Literal["refunds", "aborts"] = "refunds"
    # done by an operator, once
    operator: tuple[str, ...] = ()
    """Arguments of `cfar`; {id} and {claim_fields} are filled in."""
    operator_at: str = "needs_review"
    """The status in which the operator acts."""
    stops: str | None = None
    """The problem that the operator finds."""
    # must come of it
    ends: str = "completed"
    problem: str | None = None
    steps: tuple[str, ...] = CANCEL
    confirms: int = 1
    claims: int = 0
    cancels: int = 0
    refunds: int = 0
    """Paid by the partner's endpoint."""
    promises: int = 0
    """Taken by the partner's endpoint, to be reported."""
    milestones: frozenset[str] = frozenset()

    @property
    def ledger(self) -> Mapping[str, int]:
        """What the insurer and the partner's endpoint must have done, each counted."""
        return {name: getattr(self, name) for name in ("confirms", "claims", "cancels", "refunds", "promises")}

    @property
    def length(self) -> int:
        """How long it takes, roughly: the longest are sent first, so that all end sooner."""
        held_up = (self.faults, self.operator, self.refund == "wait", "claim_pending_polls" in self.booking)
        return len(self.steps) + 2 * sum(map(bool, held_up))

    @property
    def what_goes_wrong(self) -> str:
        """The faults in words, for the table."""
        return ", ".join(_in_words(fault) for fault in self.faults)

    @property
    def what_is_done_about_it(self) -> str:
        """The operator's part in words, for the table."""
        if not self.operator:
            return ""
        command, *rest = self.operator
        decided = rest[1] if command == "resolve" else command
        return f"{self.stops}, operator: {decided}" if self.stops else f"operator: {decided}"


def _in_words(fault: Mapping[str, Any]) -> str:
    times = f" x{fault['times']}" if fault.get("times", 1) > 1 else ""
    after = f" ({fault['retry_after']} s)" if "retry_after" in fault else ""
    return f"{fault['on']}: {fault['do']}{after}{times}".replace("_", " ")


def claims(name: str, *, steps: tuple[str, ...] = CLAIM_FIRST, **facts: Any) -> Scenario:
    """Describe a cancellation with a claim that is paid."""
    usual = {"claim": {}, "claims": 1, "milestones": BOTH_MILESTONES}
    return Scenario(name=name, steps=steps, **{**usual, **facts})


def claims_then_cancels(name: str, *story: Mapping[str, Any], **facts: Any) -> Scenario:
    """Describe one whose policy is cancelled once the claim has reported its Premium Refund, or as told."""
    usual = {
        "journey": Journey.CLAIM_THEN_CANCEL,
        "booking": {"claim_story": list(story or PREMIUM_REFUND)},
        "steps": CLAIM_THEN_CANCEL,
        "claims": 1,
        "milestones": frozenset({"premium_refund"}),
    }
    return Scenario(name=name, **{**usual, **facts})


def cancels_now(name: str, **facts: Any) -> Scenario:
    """Describe an immediate cancellation."""
    usual = {"journey": Journey.CANCEL_NOW, "steps": CANCEL_NOW, "confirms": 0, "cancels": 1}
    return Scenario(name=name, **{**usual, **facts})


def calls(name: str, **facts: Any) -> Scenario:
    """Describe a cancellation whose refund the partner's endpoint pays when called."""
    return Scenario(name=name, refund="call", **{"refunds": 1, **facts})


def stopped(name: str, problem: str, **facts: Any) -> Scenario:
    """Describe one that ends before anything irreversible."""
    usual = {"ends": "rejected", "steps": (), "confirms": 0}
    return Scenario(name=name, problem=problem, **{**usual, **facts})


def on(operation: str, do: str, **more: Any) -> tuple[Mapping[str, Any], ...]:
    """Describe one fault."""
    return ({"on": operation, "do": do, **more},)


def resolve(resolution: str, note: str, *options: str) -> tuple[str, ...]:
    """Return the arguments of an operator's decision."""
    return ("resolve", "{id}", resolution, "--note", note, *options)
