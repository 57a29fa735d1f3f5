"""Pictures and tables for README.md and docs/: the lifecycle, the invariants, the problems. Pure: text in, text out.

`rewritten` fills the blocks that stand between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable, Sequence

from shared.invariants import INVARIANTS
from shared.lifecycle import ALLOWED, STEPS, STEPS_CLAIM_FIRST, UNFINISHED, Journey, Status, Step
from shared.problem_advice import refusal_table, state_problem_table
from shared.review_advice import rejection_table, review_table

ACCEPTED: dict[Status, str] = {
    Status.IN_PROGRESS: "accepted",
    Status.REJECTED: "unusable message",
}
"""How a cancellation begins."""

ENDED = frozenset(Status) - UNFINISHED - {Status.NEEDS_REVIEW}
"""Statuses that only a report of money can still change."""

CAUSES: dict[tuple[Status, Status], str] = {
    (Status.IN_PROGRESS, Status.IN_PROGRESS): "next step or try",
    (Status.IN_PROGRESS, Status.AWAITING_REFUND): "not reported yet",
    (Status.IN_PROGRESS, Status.AWAITING_PREMIUM_REFUND): "claimed",
    (Status.IN_PROGRESS, Status.COMPLETED): "last step done",
    (Status.IN_PROGRESS, Status.REJECTED): "refused in time",
    (Status.IN_PROGRESS, Status.ABORTED): "abort",
    (Status.IN_PROGRESS, Status.NEEDS_REVIEW): "refused late, or unclear",
    (Status.AWAITING_REFUND, Status.AWAITING_REFUND): "waits on",
    (Status.AWAITING_REFUND, Status.IN_PROGRESS): "reported, or renewed",
    (Status.AWAITING_REFUND, Status.ABORTED): "abort",
    (Status.AWAITING_REFUND, Status.NEEDS_REVIEW): "overdue, or claim closed",
    (Status.AWAITING_REFUND, Status.CLOSED): "close",
    (Status.AWAITING_PREMIUM_REFUND, Status.AWAITING_PREMIUM_REFUND): "waits on",
    (Status.AWAITING_PREMIUM_REFUND, Status.IN_PROGRESS): "news of the claim",
    (Status.AWAITING_PREMIUM_REFUND, Status.NEEDS_REVIEW): "overdue, or claim ended",
    (Status.AWAITING_PREMIUM_REFUND, Status.CLOSED): "close",
    (Status.NEEDS_REVIEW, Status.IN_PROGRESS): "retry, resolve, report",
    (Status.NEEDS_REVIEW, Status.COMPLETED): "resolve done",
    (Status.NEEDS_REVIEW, Status.ABORTED): "abort",
    (Status.NEEDS_REVIEW, Status.NEEDS_REVIEW): "more to review",
    (Status.NEEDS_REVIEW, Status.CLOSED): "close",
    (Status.COMPLETED, Status.NEEDS_REVIEW): "another report",
    (Status.REJECTED, Status.NEEDS_REVIEW): "late report",
    (Status.ABORTED, Status.NEEDS_REVIEW): "late report",
    (Status.CLOSED, Status.NEEDS_REVIEW): "late report",
}
"""What turns one status into another: a label for each pair that `ALLOWED` has."""

PURPOSES: dict[tuple[Step, ...], str] = {
    STEPS[Journey.CANCEL]: "cancel policies; the default without a claim",
    STEPS[Journey.CANCEL_AND_CLAIM]: "cancel policies and claim on another; the default with a claim",
    STEPS_CLAIM_FIRST: "the same, when the claimed policy is itself cancelled: claimed while it is alive",
    STEPS[Journey.CLAIM]: "claim and cancel nothing",
    STEPS[Journey.CANCEL_NOW]: "cancel in one call, without a preview, and refund afterwards",
    STEPS[Journey.CLAIM_THEN_CANCEL]: "claim, and cancel once the claim reports its Premium Refund",
}

WAITS_FOR: dict[str, tuple[Step, ...]] = {
    "the partner": (Step.REFUND,),
    "XClaim": (Step.CLAIM, Step.AWAIT_PREMIUM_REFUND),
}
"""Who is outside, and which steps may wait for them."""

IRREVERSIBLE = frozenset({Step.REFUND, Step.CLAIM, Step.CONFIRM, Step.CANCEL})
"""Steps that pass the point of no return; a refund that nobody is asked for or reports (`skip`) does not."""

_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WAITS = "⌛"


def state_diagram() -> str:
    """Draw the statuses and what may follow what, as Mermaid text; `↻` is a status that may follow itself."""
    lines = ["stateDiagram-v2", "    direction LR", *(f'    state "{status}" as {status}' for status in Status)]
    lines += [f"    {status} : ↻ {CAUSES[status, status]}" for status in Status if status in ALLOWED[status]]
    lines += [f"    [*] --> {status} : {cause}" for status, cause in ACCEPTED.items()]
    for before in Status:
        following = [after for after in Status if after in ALLOWED[before] - {before}]
        lines += [f"    {before} --> {after} : {CAUSES[before, after]}" for after in following]
        if before in ENDED:
            lines.append(f"    {before} --> [*]")
    return "\n".join(lines)


def journey_table() -> str:
    """Return the journeys, their steps in order and their points of no return, as a Markdown table with its key."""
    rows = [
        f"| `{journey}` | {PURPOSES[steps]} | {_chain(steps)} | {_no_way_back(steps)} |" for journey, steps in _orders()
    ]
    waits = "; ".join(" and ".join(f"`{step}`" for step in steps) + f" for {whom}" for whom, steps in WAITS_FOR.items())
    return "\n".join(
        [
            "| journey | what it is for | steps | no way back from |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            f"{_WAITS} may wait for someone outside: {waits}.",
        ]
    )


def invariant_table() -> str:
    """Return what must always hold, and what follows where it does not, as a Markdown table."""
    rows = [
        f"| `{invariant.name}` | {invariant.promise} | {'`needs_review`, alarm' if invariant.find else 'alarm'} |"
        for invariant in INVARIANTS
    ]
    return "\n".join(["| invariant | what must hold | where it does not |", "| --- | --- | --- |", *rows])


def rewritten(text: str) -> str:
    """Return a document with its generated blocks as they are now; raise ValueError for a block nobody draws."""
    blocks = _BLOCK.findall(text)
    unknown = [name for _, name, _ in blocks if name not in _DRAWN]
    if unknown or len(blocks) != text.count("<!-- generated:"):
        raise ValueError(f"a generated block has no <!-- end -->, or a name that nothing draws: {unknown}")
    return _BLOCK.sub(lambda block: f"{block[1]}\n{_DRAWN[block[2]]()}\n\n{block[3]}", text)


def _orders() -> list[tuple[Journey, tuple[Step, ...]]]:
    orders = list(STEPS.items())
    after = list(STEPS).index(Journey.CANCEL_AND_CLAIM) + 1
    return [*orders[:after], (Journey.CANCEL_AND_CLAIM, STEPS_CLAIM_FIRST), *orders[after:]]


def _chain(steps: Sequence[Step]) -> str:
    waiting = {step for waits in WAITS_FOR.values() for step in waits}
    return " → ".join(f"{step} {_WAITS}" if step in waiting else step.value for step in steps)


def _no_way_back(steps: Sequence[Step]) -> str:
    """Name the first step that cannot be taken back, and the next one where the first is a refund nobody makes."""
    first, *others = [step for step in steps if step in IRREVERSIBLE]
    return f"`{first}`; if that is skipped, `{others[0]}`" if first is Step.REFUND else f"`{first}`"


def _fenced_state_diagram() -> str:
    return f"```mermaid\n{state_diagram()}\n```"


_DRAWN: dict[str, Callable[[], str]] = {
    "invariants": invariant_table,
    "journeys": journey_table,
    "refusals": refusal_table,
    "rejections": rejection_table,
    "reviews": review_table,
    "state-problems": state_problem_table,
    "states": _fenced_state_diagram,
}
