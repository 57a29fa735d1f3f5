"""What must hold for every cancellation at all times, whatever crashed: judged on rows, pure.

An invariant looks at all the cancellations of one booking and names those for which it does not hold, with evidence.
What an operator has ruled with his name is no breach: he has seen more than these rows show.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared import milestones
from shared.lifecycle import DRY_RUN, UNFINISHED, Status, Step
from shared.models import Call, Cancellation, Claim, Transition

Evidence = dict[str, Any]
Found = Iterator[tuple[UUID, Evidence]]
"""The cancellations concerned, each with what shows it: JSON, and the same each time it is looked at."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A cancellation with what the invariants ask about it."""

    row: Cancellation
    calls: Sequence[Call] = ()
    claims: Sequence[Claim] = ()
    """Oldest first; the last one is the one it goes by."""
    held: frozenset[str] = frozenset()
    """The policies in its hand."""
    reported: Sequence[Transition] = ()
    """Refund reports, oldest first."""
    rulings: Sequence[Transition] = ()
    """What operators resolved, closed and freed, oldest first."""

    @property
    def done(self) -> frozenset[str]:
        """The steps that are done, or whose call did what it asked for."""
        return frozenset(self.row.done_steps) | {call.step for call in self.calls if call.outcome == "done"}

    @property
    def cancelled(self) -> list[str]:
        """The policies that it has cancelled at the insurer."""
        return [quote["id"] for quote in self.row.quotes] if self.done & {Step.CONFIRM, Step.CANCEL} else []

    @property
    def is_freed_by_hand(self) -> bool:
        """Whether an operator has let others have its policies, or ended it with nothing in its hand."""
        return not self.held and any(ruling.event in {"closed", "policies_freed"} for ruling in self.rulings)

    def was_ruled(self, resolutions: Collection[str], steps: Collection[str | None]) -> bool:
        """Tell whether an operator has resolved one of these steps in one of these ways."""
        return any(
            ruling.details.get("resolution") in resolutions and ruling.from_step in steps for ruling in self.rulings
        )


@dataclass(frozen=True, kw_only=True)
class Invariant:
    """One thing that must hold."""

    name: str
    promise: str
    find: Callable[[Sequence[Case]], Found] | None
    """Names the offenders among a booking's cancellations, which are blocked; None where waiting harms nobody."""


def _one_cancel(cases: Sequence[Case]) -> Found:
    """A policy is cancelled under one key of one cancellation."""
    yield from _twice_done(cases, {Step.CONFIRM, Step.CANCEL})
    by_policy: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        for quote_id in () if case.is_freed_by_hand else case.cancelled:
            by_policy[case.row.partner, quote_id].append(case)
    for (_, quote_id), several in by_policy.items():
        settled_by_hand = [case for case in several if case.was_ruled({"done"}, {Step.CONFIRM, Step.CANCEL})]
        if len(several) - len(settled_by_hand) > 1:
            yield from _all_of(several, quote_id)


def _one_claim(cases: Sequence[Case]) -> Found:
    """A policy has one claim that may be paid or was."""
    yield from _twice_done(cases, {Step.CLAIM})
    by_policy: dict[tuple[str, str], list[tuple[Case, Claim]]] = defaultdict(list)
    for case in cases:
        for claim in () if case.is_freed_by_hand else _counting(case):
            by_policy[claim.partner, claim.quote_id].append((case, claim))
    for (_, quote_id), several in by_policy.items():
        if len(several) > 1:
            names = sorted(str(claim.reference or claim.claim_id) for _, claim in several)
            yield from _all_of([case for case, _ in several], quote_id, claims=names)


def _counting(case: Case) -> list[Claim]:
    """Return the claims that exist at XClaim as far as we know, without those closed unpaid or left behind by hand."""
    named = [claim for claim in case.claims if claim.claim_id or claim.reference]
    alive = [claim for claim in named if milestones.CLAIM_CLOSED_UNPAID not in claim.milestones]
    if not case.was_ruled({"not_done", "amend"}, {Step.CLAIM}):
        return alive
    # Left behind because an operator said so; that it was paid after all is more than the operator knew.
    return [claim for claim in alive if claim is case.claims[-1] or milestones.CLAIM_PAID in claim.milestones]


def _one_refund(cases: Sequence[Case]) -> Found:
    """The partner is asked to pay a customer under one key."""
    yield from _twice_done(cases, {Step.REFUND})


def _refunded_first(cases: Sequence[Case]) -> Found:
    """A confirm comes after a refund that was reported, called for, skipped, or of nothing."""
    for case in cases:
        row = case.row
        if Step.CONFIRM not in case.done:
            continue
        is_paid = row.refund_reported_at is not None or row.refund_mode == "skip" or row.preview_total == 0
        if not is_paid or Step.REFUND not in row.done_steps:
            yield row.id, {"refund_mode": row.refund_mode, "refund_done": Step.REFUND in row.done_steps}


def _refunded_as_confirmed(cases: Sequence[Case]) -> Found:
    """The refund that was reported is the one that was confirmed."""
    for case in cases:
        row = case.row
        if Step.CONFIRM not in case.done or row.refund_amount is None or _is_settled_by_hand(case):
            continue
        if (row.refund_amount, row.refund_currency) != (row.preview_total, row.preview_currency):
            reported = f"{row.refund_amount:f} {row.refund_currency}"
            yield row.id, {"reported": reported, "confirmed": f"{row.preview_total} {row.preview_currency}"}


def _is_settled_by_hand(case: Case) -> bool:
    """Tell whether a person was shown the difference: what followed was that person's to decide."""
    was_shown = any(report.to_status == Status.NEEDS_REVIEW for report in case.reported)
    return was_shown or case.was_ruled({"done"}, {Step.REFUND, None})


def _one_holder(cases: Sequence[Case]) -> Found:
    """Whoever works on a policy holds it, and whoever ended without touching it does not."""
    for case in cases:
        row = case.row
        if row.status in UNFINISHED and Step.LOOK_UP in row.done_steps:
            missing = _needed(case) - case.held
            if missing:
                yield row.id, {"not_held": sorted(missing)}
        is_over = row.status in {Status.REJECTED, Status.ABORTED}
        is_over |= row.status == Status.CLOSED and row.irreversible_at is None
        if is_over and case.held:
            yield row.id, {"held_for_nothing": sorted(case.held)}


def _needed(case: Case) -> set[str]:
    """Return the policies that it must hold: all of them, but for a claimed one whose claim came to nothing."""
    if case.row.journey == DRY_RUN:
        return set()
    needed = {quote["id"] for quote in case.row.quotes} | {case.row.claim_quote_id or ""}
    closed = case.claims and milestones.CLAIM_CLOSED_UNPAID in case.claims[-1].milestones
    return needed - {"", case.row.claim_quote_id if closed else ""}


def _twice_done(cases: Sequence[Case], steps: Collection[str]) -> Found:
    for case in cases:
        rounds = sorted((call.step, call.round) for call in case.calls if call.step in steps and call.outcome == "done")
        if len(rounds) > 1:
            yield case.row.id, {"calls_done": [f"{step} {number}" for step, number in rounds]}


def _all_of(several: Sequence[Case], quote_id: str, **more: Any) -> Found:
    ids = sorted({str(case.row.id) for case in several})
    for one in ids:
        yield UUID(one), {"quote_id": quote_id, "cancellations": ids, **more}


MOVING = "moving"
INVARIANTS = (
    Invariant(name="one_cancel", promise="A policy is cancelled once", find=_one_cancel),
    Invariant(name="one_claim", promise="A policy has one claim that may be paid", find=_one_claim),
    Invariant(name="one_refund", promise="A customer's refund is called for once", find=_one_refund),
    Invariant(
        name="refunded_first",
        promise="Nothing is confirmed before its refund is reported, called for or skipped",
        find=_refunded_first,
    ),
    Invariant(
        name="refunded_as_confirmed",
        promise="The refund that was reported is the one that was confirmed",
        find=_refunded_as_confirmed,
    ),
    Invariant(name="one_holder", promise="Every policy in hand has one holder, who needs it", find=_one_holder),
    Invariant(
        name=MOVING,
        promise="Whatever is unfinished is being worked on, or has its next attempt in the future",
        find=None,
    ),
)


def broken(cases: Sequence[Case]) -> dict[UUID, dict[str, Evidence]]:
    """Return what does not hold for one booking's cancellations: by cancellation, by invariant."""
    found: dict[UUID, dict[str, Evidence]] = defaultdict(dict)
    for invariant in INVARIANTS:
        for cancellation_id, evidence in invariant.find(cases) if invariant.find else ():
            found[cancellation_id][invariant.name] = {**found[cancellation_id].get(invariant.name, {}), **evidence}
    return dict(found)
