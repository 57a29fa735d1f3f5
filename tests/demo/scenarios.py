"""What the demo plays: each cancellation with what goes wrong on its way, and how it must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CANCEL = ("look_up", "preview", "refund", "confirm")
CLAIM_AFTER = (*CANCEL, "claim")
CLAIM_FIRST = ("look_up", "preview", "claim", "refund", "confirm")
BOTH_MILESTONES = frozenset({"premium_refund", "claim_paid"})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One cancellation: how it is asked for, what happens to it, and what must come of it."""

    name: str
    # asked for
    policies: tuple[Mapping[str, Any], ...] = ({},)
    """What the insurer knows of each policy, beyond the usual."""
    booking: Mapping[str, Any] = field(default_factory=dict)
    """What it knows of the booking."""
    is_known: bool = True
    quotes: tuple[int, ...] = ()
    """Policies to cancel, by position; none named means the service chooses."""
    claim: Mapping[str, Any] | None = None
    claimed: int | None = None
    """The policy to claim, by position."""
    reason: str | None = None
    refund: Literal["wait", "skip"] = "skip"
    door: Literal["http", "celery"] = "http"
    is_sent_twice: bool = False
    rival_of: str | None = None
    """Sent for the booking of the scenario of that name, while it waits for its refund."""
    # goes wrong
    faults: tuple[Mapping[str, Any], ...] = ()
    # done by the partner while it waits for the refund
    partner: Literal["refunds", "aborts"] = "refunds"
    # must come of it
    ends: str = "completed"
    problem: str | None = None
    steps: tuple[str, ...] = CANCEL
    confirms: int = 1
    claims: int = 0
    milestones: frozenset[str] = frozenset()

    @property
    def journey(self) -> str:
        """The journey it is asked to follow."""
        return "cancel" if self.claim is None else "cancel_and_claim"

    @property
    def what_goes_wrong(self) -> str:
        """The faults in words, for the table."""
        return ", ".join(_in_words(fault) for fault in self.faults)


def _in_words(fault: Mapping[str, Any]) -> str:
    times = f" x{fault['times']}" if fault.get("times", 1) > 1 else ""
    after = f" ({fault['retry_after']} s)" if "retry_after" in fault else ""
    return f"{fault['on']}: {fault['do']}{after}{times}".replace("_", " ")


def claims(name: str, *, steps: tuple[str, ...] = CLAIM_FIRST, **facts: Any) -> Scenario:
    """Describe a cancellation with a claim that is paid."""
    usual = {"claim": {}, "claims": 1, "milestones": BOTH_MILESTONES}
    return Scenario(name=name, steps=steps, **{**usual, **facts})


def stopped(name: str, problem: str, **facts: Any) -> Scenario:
    """Describe one that ends before anything irreversible."""
    usual = {"ends": "rejected", "steps": (), "confirms": 0}
    return Scenario(name=name, problem=problem, **{**usual, **facts})


def on(operation: str, do: str, **more: Any) -> tuple[Mapping[str, Any], ...]:
    """Describe one fault."""
    return ({"on": operation, "do": do, **more},)


TWO: tuple[Mapping[str, Any], ...] = ({}, {"policy_type": "cancel_for_any_reason"})

PLAIN = (
    Scenario(name="cancel, partner refunds", refund="wait"),
    Scenario(name="cancel, nothing to wait for"),
    Scenario(name="refund of zero passes", refund="wait", policies=({"refund": "0"},)),
    Scenario(name="two policies, partner refunds", refund="wait", policies=({}, {})),
    Scenario(name="one policy of two", policies=({}, {}), quotes=(0,)),
    Scenario(name="with a reason", quotes=(0,), reason="No longer travelling"),
    Scenario(
        name="yen have no minor units",
        refund="wait",
        booking={"currency": "JPY"},
        policies=({"price": "2240"},),
    ),
    Scenario(name="asked for through Celery", door="celery"),
    Scenario(name="sent twice, one key", is_sent_twice=True),
    Scenario(name="sent twice, partner refunds", is_sent_twice=True, refund="wait"),
    Scenario(
        name="aborted while it waits",
        refund="wait",
        partner="aborts",
        ends="aborted",
        steps=("look_up", "preview"),
        confirms=0,
    ),
    claims("claim first: the only policy"),
    claims("claim first, partner refunds", refund="wait"),
    claims("claim after: another policy", policies=TWO, claimed=1, steps=CLAIM_AFTER),
    claims("claim after, partner refunds", policies=TWO, claimed=1, steps=CLAIM_AFTER, refund="wait"),
    claims("before_confirm asked for", policies=TWO, claimed=1, claim={"when": "before_confirm"}),
    claims(
        "after_confirm asked for",
        claim={"when": "after_confirm"},
        booking={"claim_when_cancelled": True},
        steps=CLAIM_AFTER,
    ),
)

REFUSED = (
    stopped("cannot be cancelled", "policy-cannot-be-cancelled", policies=({"can_be_cancelled": False},)),
    stopped("already cancelled", "policy-already-cancelled", policies=({"status": "CANCELLED"},)),
    stopped("unknown booking", "booking-not-found", is_known=False),
    stopped("claim not eligible", "claim-not-eligible", claim={}, booking={"failed_checks": ["fraud_list"]}),
    stopped("claim which policy?", "claim-policy-ambiguous", claim={}, policies=TWO),
    Scenario(name="has a rival", refund="wait"),
    stopped("second for one policy", "already-in-hand", rival_of="has a rival"),
    claims(
        "claim cannot be processed",
        booking={"claim_fails": "The policy document is missing."},
        ends="needs_review",
        problem="claim-failed",
        steps=("look_up", "preview"),
        confirms=0,
        milestones=frozenset(),
    ),
)

FAULTY = (
    Scenario(name="throttled, told when", faults=on("get_booking", "throttle", retry_after=1), refund="wait"),
    Scenario(name="throttled, not told", faults=on("preview", "throttle")),
    Scenario(name="slow preview", faults=on("preview", "slow", seconds=2.0)),
    Scenario(name="preview fails", faults=on("preview", "error_before")),
    Scenario(name="preview's answer lost", faults=on("preview", "act_then_drop")),
    Scenario(name="confirm fails", faults=on("confirm", "error_before"), refund="wait"),
    Scenario(name="confirm's answer lost", faults=on("confirm", "act_then_drop"), refund="wait"),
    Scenario(name="confirmed, says 502", faults=on("confirm", "act_then_error")),
    Scenario(name="confirm's answer cut off", faults=on("confirm", "garbled")),
    Scenario(name="confirm locked", faults=on("confirm", "locked")),
    claims("claim throttled", faults=on("create_claim", "throttle", retry_after=1)),
    claims("claim's answer lost", faults=on("create_claim", "act_then_drop")),
    claims(
        "claimed, says 502",
        faults=on("create_claim", "act_then_error"),
        policies=TWO,
        claimed=1,
        steps=CLAIM_AFTER,
    ),
    claims("claim takes its time", booking={"claim_pending_polls": 2}),
    claims("webhook twice", faults=on("webhook", "twice", times=3)),
    claims("webhook late", faults=on("webhook", "late", seconds=2.0)),
    claims("webhooks out of order", faults=on("webhook", "out_of_order")),
    claims("webhook before the answer", faults=on("webhook", "before_answer")),
    claims(
        "everything at once",
        refund="wait",
        is_sent_twice=True,
        faults=(
            *on("preview", "act_then_error"),
            *on("create_claim", "act_then_drop"),
            *on("confirm", "throttle", retry_after=1),
            *on("webhook", "twice"),
        ),
    ),
)

ALL = (*PLAIN, *REFUSED, *FAULTY)

A_HANDFUL = tuple(
    one
    for one in ALL
    if one.name
    in {
        "cancel, nothing to wait for",
        "claim first, partner refunds",
        "claim after: another policy",
        "confirm's answer lost",
        "webhook twice",
        "unknown booking",
    }
)
