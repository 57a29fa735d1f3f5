"""One scenario while it is played, and what is known of it so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.lifecycle import Journey
from tests.demo.partner import Resource
from tests.demo.scenario import Scenario

FINAL = frozenset({"completed", "rejected", "aborted", "needs_review", "closed"})


@dataclass(kw_only=True)
class Run:
    """One scenario while it is played."""

    scenario: Scenario
    booking_id: str
    quote_ids: tuple[str, ...]
    key: str
    resource: Resource | None = None
    started_at: float = 0.0
    ended_at: float | None = None
    is_over: bool = False
    has_acted: bool = False
    """The partner has."""
    has_operator_decided: bool = False
    stopped_by: str | None = None
    """The problem that the operator found."""
    counts: dict[str, int] = field(default_factory=dict)
    """What the insurer and the partner's endpoint did for its booking."""
    events: Sequence[dict[str, Any]] = ()
    """Its timeline, read at the end."""
    differs: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.resource["status"]) if self.resource else "sent"

    @property
    def done_steps(self) -> tuple[str, ...]:
        return tuple(self.resource["done_steps"]) if self.resource else ()

    @property
    def problem(self) -> str | None:
        problem = self.resource["problem"] if self.resource else None
        return str(problem["type"]).rpartition("/")[2] if problem else None

    @property
    def milestones(self) -> frozenset[str]:
        return frozenset(self.resource["claim"]["milestones"]) if self.resource else frozenset()

    @property
    def has_claim(self) -> bool:
        claim = self.resource["claim"] if self.resource else {}
        return bool(claim.get("id") or claim.get("reference"))

    @property
    def refund_calls(self) -> list[dict[str, Any]]:
        """The calls to the partner's endpoint that were answered with a yes."""
        return [event for event in self._of_kind("call") if event["step"] == "refund" and event["outcome"] == "done"]

    @property
    def statuses(self) -> list[str]:
        """Every status it was in."""
        return [event["to_status"] for event in self._of_kind("transition")]

    @property
    def steps_in_time(self) -> tuple[str, ...]:
        """The steps in the order in which they were done; some are by their own event, such as a refund report."""
        moves = [(event["from_step"], event["to_step"]) for event in self._of_kind("transition")]
        return tuple(before for before, after in moves if before is not None and before != after)

    @property
    def seconds(self) -> float | None:
        return None if self.ended_at is None else self.ended_at - self.started_at

    def _of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


def body_of(run: Run) -> dict[str, Any]:
    """Return the request's body."""
    scenario = run.scenario
    body: dict[str, Any] = {"booking_id": run.booking_id, "refund": {"mode": scenario.refund}}
    body["metadata"] = {"scenario": scenario.name}
    if scenario.quotes:
        reason = {"reason_for_cancellation": scenario.reason} if scenario.reason else {}
        body["quotes"] = [{"id": run.quote_ids[position], **reason} for position in scenario.quotes]
    if scenario.claim is not None:
        named = {} if scenario.claimed is None else {"quote_id": run.quote_ids[scenario.claimed]}
        body |= {"journey": Journey.CANCEL_AND_CLAIM, "claim": {**scenario.claim, **named}}
    return body | ({"journey": scenario.journey} if scenario.journey else {})
