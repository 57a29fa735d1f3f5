"""What must hold when the storm is over: our rows beside what the simulator says and what was sent. Reads alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.rows import Rows
from tests.simulator.client import SimulatorControl
from tests.storm.events import CLAIM_CLOSED_UNPAID, CLAIM_PAID, PREMIUM_REFUND, STATES, UNKNOWN
from tests.storm.sending import Sent, Tale

CLAIMS = """
SELECT c.claim_id, c.reference, c.status, c.status_name, c.milestones, x.status AS holder
FROM claims c JOIN cancellations x ON x.id = c.cancellation_id
"""
LINES = """
SELECT c.claim_id, t.event, t.details -> 'milestones'
FROM transitions t JOIN claims c ON c.cancellation_id = t.cancellation_id
WHERE t.event IN ('claim_milestone', 'claim_category_unknown')
"""
UNANSWERED = "SELECT count(*) FROM webhook_deliveries WHERE outcome IS NULL OR handled_at IS NULL"
STRANGE = """
SELECT outcome, verdict, count(*) FROM webhook_deliveries
WHERE outcome NOT IN ('applied', 'unchanged') OR claim_id IS NULL GROUP BY 1, 2
"""
SHOWN = 5
"""Of each kind of finding."""


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A claim of ours at the end."""

    reference: str
    status: str | None
    status_name: str | None
    milestones: Mapping[str, str]
    holder: str
    """Its cancellation's status."""


def judge(rows: Rows, insurer: SimulatorControl, tales: Sequence[Tale], sent: Sent) -> list[str]:
    """Return everything that is not as it should be."""
    found = [*sent.failed, *_stored(rows, sent)]
    found += [f"{count} deliveries {outcome}: {verdict}" for outcome, verdict, count in rows.read(STRANGE)]
    ours = {values[0]: _ours(*values[1:]) for values in rows.read(CLAIMS)}
    told = {one["id"]: one for one in insurer.claims()}
    lines: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for claim_id, event, reached in rows.read(LINES):
        lines[claim_id].update((event, word) for word in reached or [""])
    for tale in tales:
        row = ours.get(tale.made.claim_id)
        if row is None:
            found.append(f"{tale.made.reference} has no row")
            continue
        wrong = [*_state(row, told[tale.made.claim_id]), *_milestones(tale, row), *_lines(tale, row, lines)]
        found += [f"{row.reference} {why}" for why in [*wrong, *_holder(tale, row)]]
    return found


def confirmed_twice(insurer: SimulatorControl) -> list[str]:
    """Return the bookings that were confirmed more than once."""
    confirms = Counter(effect["booking"] for effect in insurer.effects("confirm"))
    return [f"{booking} was confirmed {count} times" for booking, count in confirms.items() if count > 1]


def _ours(reference: str, status: str | None, status_name: str | None, milestones: dict[str, str], holder: str) -> Ours:
    return Ours(
        reference=reference, status=status, status_name=status_name, milestones=milestones, holder=holder
    )  # fmt: skip


def _stored(rows: Rows, sent: Sent) -> Iterator[str]:
    stored = {bytes(raw) for (raw,) in rows.read("SELECT raw FROM webhook_bodies")}
    for raw in list(sent.bodies - stored)[:SHOWN]:
        yield f"answered 200 and not stored: {raw!r}"
    for raw in list(stored - sent.bodies)[:SHOWN]:
        yield f"stored and never sent: {raw!r}"
    deliveries = rows.read("SELECT count(*) FROM webhook_deliveries")[0][0]
    if not sent.taken <= deliveries <= sent.taken + sent.unanswered:
        yield f"{deliveries} deliveries for {sent.taken} answers of 200 and {sent.unanswered} lost answers"
    unanswered = rows.read(UNANSWERED)[0][0]
    if unanswered:
        yield f"{unanswered} deliveries have no outcome"


def _state(row: Ours, told: Mapping[str, Any]) -> Iterator[str]:
    if row.status != told["category"]:
        yield f"is {row.status}, the simulator says {told['category']}"
    # A reading by reference tells the category alone: what is known of the name may be an earlier one of the same.
    names = {state.name for state in STATES if state.category == told["category"]}
    if row.status_name not in {None, told["category"].lower().replace(" ", "_"), *names}:
        yield f"is named {row.status_name}, the simulator says {told['name']} of {told['category']}"


def _milestones(tale: Tale, row: Ours) -> Iterator[str]:
    """Compare with what happened: only a claim that is already paid may leave out that it was closed."""
    happened = {state.milestone for state in tale.happened if state.milestone}
    reached = set(row.milestones)
    lacking = happened - reached
    paid, closed = row.milestones.get(CLAIM_PAID), row.milestones.get(CLAIM_CLOSED_UNPAID)
    if CLAIM_PAID in reached:
        lacking -= {CLAIM_CLOSED_UNPAID}
    if lacking or reached - happened:
        yield f"lacks {sorted(lacking)}, has never reached {sorted(reached - happened)}"
    if paid is not None and closed is not None and closed > paid:
        yield f"was closed unpaid at {closed} after it was paid at {paid}"


def _lines(tale: Tale, row: Ours, lines: Mapping[str, Counter[tuple[str, str]]]) -> Iterator[str]:
    """Each milestone has one line, whoever found it."""
    written = lines.get(tale.made.claim_id, Counter())
    for milestone in {PREMIUM_REFUND, CLAIM_PAID, CLAIM_CLOSED_UNPAID}:
        times = written["claim_milestone", milestone]
        if times != (milestone in row.milestones):
            yield f"has {times} lines of {milestone}, which it {'has' if milestone in row.milestones else 'lacks'}"
    alarms = written["claim_category_unknown", ""]
    is_unknown = any(state.category == UNKNOWN for state in tale.happened)
    if alarms != is_unknown:
        yield f"was alarmed on {alarms} times for the category {UNKNOWN}, and was {'' if is_unknown else 'never '}so"


def _holder(tale: Tale, row: Ours) -> Iterator[str]:
    if not tale.made.is_awaited:
        if row.holder != "completed":
            yield f"belongs to a cancellation that was completed and is {row.holder}"
        return
    allowed = {"completed", "needs_review"} if row.milestones else {"awaiting_premium_refund"}
    if row.holder not in allowed or (row.holder == "completed" and PREMIUM_REFUND not in row.milestones):
        yield f"belongs to a waiting cancellation that is {row.holder} with {sorted(row.milestones) or 'no milestones'}"
