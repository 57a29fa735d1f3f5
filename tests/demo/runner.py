"""Plays scenarios side by side until each has ended, and judges each against what was expected of it."""

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.demo.partner import Partner, Resource, Unexpected
from tests.demo.scenarios import Scenario
from tests.simulator.client import SimulatorControl

TIME_LIMIT = 80.0
"""Seconds for everything; what has not ended by then is reported as such."""
MILESTONE_WAIT = 15.0
"""Seconds after the end in which a claim's last webhooks may still arrive."""
LOOK_EVERY = 0.4
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
    counts: dict[str, int] = field(default_factory=dict)
    """What the insurer did for its booking."""
    differs: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.resource["status"]) if self.resource else "sent"

    @property
    def done_steps(self) -> tuple[str, ...]:
        return tuple(self.resource["done_steps"]) if self.resource else ()

    @property
    def milestones(self) -> frozenset[str]:
        return frozenset(map(_name_of, self.resource["claim"]["milestones"])) if self.resource else frozenset()

    @property
    def seconds(self) -> float | None:
        return None if self.ended_at is None else self.ended_at - self.started_at


class Show:
    """Everything that is played, one look at a time."""

    def __init__(self, scenarios: Sequence[Scenario], *, partner: Partner, insurer: SimulatorControl) -> None:
        self._partner = partner
        self._insurer = insurer
        self.runs: list[Run] = []
        for scenario in scenarios:
            self.runs.append(self._prepare(scenario))

    def play(self, *, check: Callable[[], None]) -> Iterator[None]:
        """Send everything, then look again and again; yields after each look. `check` raises to end early."""
        waiting = deque(run for run in self.runs if run.scenario.rival_of is None)
        until = time.monotonic() + TIME_LIMIT
        while not all(run.is_over for run in self.runs) and time.monotonic() < until:
            for _ in range(min(4, len(waiting))):  # a few at a time, as they would come
                self._send(waiting.popleft())
            check()
            for run in self.runs:
                if run.started_at and not run.is_over:
                    self._look(run)
            yield
            time.sleep(0.05 if waiting else LOOK_EVERY)
        self._judge_all()

    def _prepare(self, scenario: Scenario) -> Run:
        rival = next((run for run in self.runs if run.scenario.name == scenario.rival_of), None)
        booking_id = "DEMO0-ABSNT-INS"
        quote_ids: tuple[str, ...] = ()
        if rival is not None:
            booking_id, quote_ids = rival.booking_id, rival.quote_ids
        elif scenario.is_known:
            quote_ids = tuple(str(uuid.uuid4()) for _ in scenario.policies)
            policies = [
                {"id": quote_id, **policy} for quote_id, policy in zip(quote_ids, scenario.policies, strict=True)
            ]
            faults = [dict(fault) for fault in scenario.faults]
            booking_id = self._insurer.add_booking(policies=policies, faults=faults, **scenario.booking).id
        return Run(scenario=scenario, booking_id=booking_id, quote_ids=quote_ids, key=f"demo-{uuid.uuid4()}")

    def _send(self, run: Run) -> None:
        body, scenario = body_of(run), run.scenario
        run.started_at = time.monotonic()
        if scenario.door == "celery":
            self._partner.ask_through_celery(body, run.key)
            return
        try:
            run.resource = self._partner.ask(body, run.key)
            if scenario.is_sent_twice:
                again = self._partner.ask(body, run.key, expected=200)
                if again["id"] != run.resource["id"]:
                    run.differs.append("the same key gave two cancellations")
        except Unexpected as unexpected:
            run.differs.append(str(unexpected))
            run.is_over = run.resource is None

    def _look(self, run: Run) -> None:
        try:
            seen = self._partner.see(run.resource["id"]) if run.resource else self._partner.find(run.key)
        except httpx.TransportError:
            return  # the next look will tell
        if seen is None:
            return
        run.resource = seen
        if run.status == "awaiting_refund" and not run.has_acted:
            self._act(run)
        if run.status in FINAL:
            run.ended_at = run.ended_at or time.monotonic()
            has_all = run.scenario.milestones <= run.milestones or run.status != "completed"
            run.is_over = has_all or time.monotonic() - run.ended_at > MILESTONE_WAIT

    def _act(self, run: Run) -> None:
        rivals = [rival for rival in self.runs if rival.scenario.rival_of == run.scenario.name]
        for rival in rivals:
            if not rival.started_at:
                self._send(rival)
        if not all(rival.is_over for rival in rivals):
            return  # it is held up until its rivals have been turned away
        run.has_acted = True
        resource = run.resource or {}
        try:
            if run.scenario.partner == "aborts":
                self._partner.abort(resource["id"])
            else:
                self._partner.report_refund(resource)
        except Unexpected as unexpected:
            run.differs.append(str(unexpected))

    def _judge_all(self) -> None:
        ledger = self._insurer.ledger()["summary"]
        for run in self.runs:
            run.counts = dict(ledger.get(run.booking_id, {})) if run.scenario.rival_of is None else {}
            run.differs += differences(run)


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
        body |= {"journey": scenario.journey, "claim": {**scenario.claim, **named}}
    return body


def differences(run: Run) -> list[str]:
    """Return everything that is not as it should be, each in words."""
    if run.resource is None:
        return ["it was never accepted"]
    if run.status not in FINAL:
        return [f"it has not ended: {run.status}, next {run.resource['next_step']}, {_slug(run.resource)}"]
    wanted = run.scenario
    compared: dict[str, tuple[Any, Any]] = {
        "status": (wanted.ends, run.status),
        "problem": (wanted.problem, _slug(run.resource)),
        "steps": (wanted.steps, run.done_steps),
        "milestones": (wanted.milestones, run.milestones),
    }
    if wanted.rival_of is None:
        compared["confirms at the insurer"] = (wanted.confirms, run.counts.get("confirms", 0))
        compared["claims at the insurer"] = (wanted.claims, run.counts.get("claims", 0))
        compared["immediate cancels"] = (0, run.counts.get("cancels", 0))
    if run.has_acted and wanted.partner == "refunds":
        preview, refund = run.resource["preview"] or {}, run.resource["refund"]
        compared["refund"] = (preview.get("total_refund"), refund["amount"])
    return [f"{name}: {_shown(is_)}, not {_shown(should)}" for name, (should, is_) in compared.items() if should != is_]


def _slug(resource: Resource) -> str | None:
    problem = resource["problem"]
    return str(problem["type"]).rpartition("/")[2] if problem else None


def _name_of(milestone: Any) -> str:
    return str(milestone["name"]) if isinstance(milestone, dict) else str(milestone)


def _shown(value: Any) -> str:
    if isinstance(value, frozenset | tuple):
        return " → ".join(value if isinstance(value, tuple) else sorted(value)) or "none"
    return "none" if value is None else str(value)
