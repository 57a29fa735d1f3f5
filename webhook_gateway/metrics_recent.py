"""Figures of what happened in the last five minutes, by the database's clock.

Gauges, not counters: what is counted are rows, which retention removes, and Prometheus takes a counter that falls for
one that began anew. Ids begin with the time, so a few minutes are a short range of the primary key, however many rows
there are. Quantiles are told and no histogram: the database sees everything, so there is nothing to add up.
"""

from collections import defaultdict
from typing import Any

from prometheus_client import Metric
from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.orm import Session, aliased

from shared.db import now_plus
from shared.insurer.errors import InsurerError
from shared.invariant_checks import floor_before
from shared.lifecycle import Status
from shared.models import Call, Cancellation, Transition
from shared.operations_models import AuditEntry
from webhook_gateway.metrics_families import gauge, gauges, quantiles

WINDOW = 300.0
"""Seconds; longer than the time between two scrapes, or what falls between them is seen by none."""
SKEW = 120.0
"""Seconds by which the clock of a host that gives ids may differ from the database's."""
MEASURED = 2_000
"""Steps at most whose durations are looked up."""

ENDINGS = (Status.COMPLETED, Status.REJECTED, Status.ABORTED, Status.NEEDS_REVIEW, Status.CLOSED)
OUTCOMES = {
    "step_done": "done",
    "postponed": "postponed",
    "preview_renewed": "renewed",
    "awaiting_refund": "waits",
    "awaiting_premium_refund": "waits",
    "needs_review": "needs_review",
    "rejected": "rejected",
}
"""What a line of the history means for the step that it ends."""
SERVICES = {"preview": "xcover", "confirm": "xcover", "cancel": "xcover", "claim": "xclaim", "refund": "partner"}

_UNEXPECTED, _WAITING = "unexpected", "waiting"


def changes(session: Session) -> list[Metric]:
    """Tell what was accepted, what ended and how, how steps ended, and why they are tried again."""
    line = Transition
    error = case((line.event == "postponed", line.details["error"].as_string()), else_=None)
    is_unexpected = case((line.event == "postponed", line.reason.startswith("unexpected error:")), else_=literal(False))  # noqa: FBT003
    kinds = (line.event, line.from_status, line.to_status, line.from_step, error, is_unexpected)
    ended = dict.fromkeys(((str(status),) for status in ENDINGS), 0.0)
    steps: dict[tuple[str, ...], float] = defaultdict(float)
    retries: dict[tuple[str, ...], float] = {("throttled",): 0.0}
    for event, before, after, step, cause, is_bug, number in session.execute(
        select(*kinds, func.count()).where(*lately(line, line.at)).group_by(*kinds)
    ):
        if after != before and (after,) in ended:
            ended[(after,)] += number
        if step and event in OUTCOMES:
            steps[step, OUTCOMES[event]] += number
        if event == "postponed":
            name = (_UNEXPECTED if is_bug else _CAUSES.get(cause, _WAITING),)
            retries[name] = retries.get(name, 0.0) + number
    return [
        _accepted(session),
        gauges("cfar_ended_5m", "Cancellations that came to this status in five minutes.", ["status"], ended),
        gauges("cfar_steps_5m", "How steps ended in five minutes.", ["step", "outcome"], steps),
        gauges("cfar_retries_5m", "Steps put off in five minutes, by cause.", ["cause"], retries),
    ]


def calls(session: Session) -> list[Metric]:
    """Tell what came of the requests that were first made lately."""
    found: dict[tuple[str, ...], float] = defaultdict(float)
    kinds = (Call.step, Call.outcome)
    recent = select(*kinds, func.count()).where(*lately(Call, Call.first_sent_at)).group_by(*kinds)
    for step, outcome, number in session.execute(recent):
        found[SERVICES.get(step, "xcover"), step, outcome] += number
    about = "Requests with an effect first made in five minutes, as they stand now."
    return [gauges("cfar_calls_5m", about, ["service", "step", "outcome"], found)]


def durations(session: Session) -> list[Metric]:
    """Tell how long steps took that were done lately, waits and repeats included."""
    done, entry = Transition, aliased(Transition)
    entered = (
        select(func.max(entry.at))
        .where(
            entry.cancellation_id == done.cancellation_id,
            entry.at <= done.at,
            entry.to_step == done.from_step,
            entry.from_step.is_distinct_from(entry.to_step),
        )
        .scalar_subquery()
    )
    newest = select(done.from_step, done.at, entered).where(done.event == "step_done", *lately(done, done.at))
    took: dict[str, list[float]] = defaultdict(list)
    for step, at, since in session.execute(newest.order_by(done.id.desc()).limit(MEASURED)):
        if step and since is not None:
            took[step].append((at - since).total_seconds())
    values = {(step, share): value for step, each in took.items() for share, value in quantiles(each).items()}
    about = f"Seconds from a step's beginning to its end, waits included; of the last {MEASURED} in five minutes."
    return [gauges("cfar_step_seconds", about, ["step", "quantile"], values)]


def audited(session: Session) -> list[Metric]:
    """Tell what persons did, by action."""
    recent = select(AuditEntry.action, func.count()).where(*lately(AuditEntry, AuditEntry.at))
    values = {(action,): float(number) for action, number in session.execute(recent.group_by(AuditEntry.action))}
    return [gauges("cfar_audit_entries_5m", "What persons did in five minutes, by action.", ["action"], values)]


def lately(table: Any, at: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the condition under which a row came in the last five minutes; `at` is its time."""
    return table.id > floor_before(WINDOW + SKEW), at >= now_plus(-WINDOW)


def _accepted(session: Session) -> Metric:
    recent = select(func.count()).where(*lately(Cancellation, Cancellation.created_at))
    return gauge("cfar_accepted_5m", "Cancellations accepted in five minutes.", session.scalar(recent) or 0)


def _kinds(kind: type[InsurerError]) -> dict[str, str]:
    """Return every name of an error with what it is called here: `OutcomeUnknown` is `outcome_unknown`."""
    plain = "".join(f"_{char.lower()}" if char.isupper() else char for char in kind.__name__).removeprefix("_")
    found = {kind.__name__: plain}
    for narrower in kind.__subclasses__():
        found |= _kinds(narrower)
    return found


_CAUSES = _kinds(InsurerError)
