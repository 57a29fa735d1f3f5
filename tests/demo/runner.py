"""Plays scenarios side by side until each has ended, and judges each against what was expected of it."""

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

import httpx

from tests.demo.command_line import CommandLine
from tests.demo.judging import differences
from tests.demo.partner import Partner, Unexpected
from tests.demo.run import FINAL, Run, body_of
from tests.demo.scenario import Scenario
from tests.simulator.client import SimulatorControl

TIME_LIMIT = 100.0
"""Seconds for everything; what has not ended by then is reported as such."""
MILESTONE_WAIT = 15.0
"""Seconds after the end in which a claim's last webhooks may still arrive."""
LOOK_EVERY = 0.4


class Show:
    """Everything that is played, one look at a time."""

    def __init__(
        self, scenarios: Sequence[Scenario], *, partner: Partner, operator: CommandLine, insurer: SimulatorControl
    ) -> None:
        self._partner = partner
        self._operator = operator
        self._insurer = insurer
        self.runs: list[Run] = []
        for scenario in scenarios:
            self.runs.append(self._prepare(scenario))

    def play(self, *, check: Callable[[], None]) -> Iterator[None]:
        """Send everything, then look again and again; yields after each look. `check` raises to end early."""
        first = [run for run in self.runs if run.scenario.rival_of is None]
        waiting = deque(sorted(first, key=lambda run: -run.scenario.length))
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
        if self._is_with_operator(run):
            return
        try:
            seen = self._partner.see(run.resource["id"]) if run.resource else self._partner.find(run.key)
        except httpx.TransportError:
            return  # the next look will tell
        if seen is None:
            return
        run.resource = seen
        if run.scenario.operator and not run.has_operator_decided and run.status == run.scenario.operator_at:
            self._call_operator(run)
            return
        if run.status == "awaiting_refund" and not run.has_acted:
            self._act(run)
        if run.status in FINAL:
            run.ended_at = run.ended_at or time.monotonic()
            has_all = run.scenario.milestones <= run.milestones or run.status != "completed"
            run.is_over = has_all or time.monotonic() - run.ended_at > MILESTONE_WAIT

    def _call_operator(self, run: Run) -> None:
        if run.resource and self._operator.start(run.resource["id"], run.scenario.operator):
            run.stopped_by = run.problem

    def _is_with_operator(self, run: Run) -> bool:
        if not run.resource or run.has_operator_decided or not self._operator.has_started(run.resource["id"]):
            return False
        code = self._operator.result(run.resource["id"])
        run.has_operator_decided = code is not None
        if code:
            said = self._operator.output(run.resource["id"])
            run.differs.append(f"cfar {run.scenario.operator[0]} ended with {code}: {said}")
        return code is None

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
        ledger = self._insurer.ledger()
        promised = Counter(one["booking"] for one in ledger["effects"] if one["kind"] == "refund_promised")
        for run in self.runs:
            if run.scenario.rival_of is None:
                run.counts = {**ledger["summary"].get(run.booking_id, {}), "promises": promised[run.booking_id]}
            if run.resource:
                run.events = self._partner.timeline(run.resource["id"])
            run.differs += differences(run)
