"""What must have come of everything: each cancellation by itself, and all of them by what they show of the contract."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from shared.lifecycle import STEPS, STEPS_CLAIM_FIRST, Journey, Status
from tests.demo.run import FINAL, Run

JOURNEYS: dict[tuple[Journey, tuple[str, ...]], str] = {
    (Journey.CANCEL, STEPS[Journey.CANCEL]): "cancel",
    (Journey.CANCEL_AND_CLAIM, STEPS[Journey.CANCEL_AND_CLAIM]): "cancel_and_claim (claimed last)",
    (Journey.CANCEL_AND_CLAIM, STEPS_CLAIM_FIRST): "cancel_and_claim (claimed first)",
    **{(journey, steps): journey.value for journey, steps in STEPS.items() if journey is not Journey.CANCEL_AND_CLAIM},
}
"""The contract's rows, each with its name."""


def differences(run: Run) -> list[str]:
    """Return everything that is not as it should be, each in words."""
    if run.resource is None:
        return ["it was never accepted"]
    if run.status not in FINAL:
        return [f"it has not ended: {run.status}, next {run.resource['next_step']}, {run.problem}"]
    wanted = run.scenario
    compared: dict[str, tuple[Any, Any]] = {
        "status": (wanted.ends, run.status),
        "problem": (wanted.problem, run.problem),
        "steps": (wanted.steps, run.done_steps),
        "milestones": (wanted.milestones, run.milestones),
        "problem that the operator found": (wanted.stops, run.stopped_by),
        "refunds called for": (wanted.refunds + wanted.promises, len(run.refund_calls)),
    }
    if wanted.rival_of is None:
        compared |= {
            f"{name} in the ledger": (should, run.counts.get(name, 0)) for name, should in wanted.ledger.items()
        }
    if "refund" in run.done_steps and wanted.refund != "skip":
        preview, refund = run.resource["preview"] or {}, run.resource["refund"]
        is_paid = preview.get("total_refund", "").strip("0.") != ""  # a refund of nothing is not reported
        compared["refund"] = (preview.get("total_refund") if is_paid else None, refund["amount"])
    return [f"{name}: {_shown(is_)}, not {_shown(should)}" for name, (should, is_) in compared.items() if should != is_]


def journeys_seen(runs: Sequence[Run]) -> Counter[str]:
    """Count how many went each journey of the contract from its first step to its last, by their timelines."""
    seen: Counter[str] = Counter(dict.fromkeys(JOURNEYS.values(), 0))
    for run in runs:
        if run.resource and run.status == Status.COMPLETED:
            name = JOURNEYS.get((Journey(run.resource["journey"]), run.steps_in_time))
            seen.update([name] if name else [])
    return seen


def statuses_seen(runs: Sequence[Run]) -> Counter[str]:
    """Count how many were in each status of the contract at some time, by their timelines."""
    seen: Counter[str] = Counter({status.value: 0 for status in Status})
    for run in runs:
        seen.update(set(run.statuses))
    return seen


def _shown(value: Any) -> str:
    if isinstance(value, frozenset | tuple):
        return " → ".join(value if isinstance(value, tuple) else sorted(value)) or "none"
    return "none" if value is None else str(value)
