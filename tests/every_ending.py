"""Every state the contract gives a cancellation, each written as a real row with all that belongs to it.

A state is named `status/step`, `!` past the point of no return, `+word` for a variant. What may happen to it is not
this module's business.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from shared import intake
from shared.cancellation_request import parse
from shared.clock import utc_now
from shared.db import Transaction, now_plus
from shared.models import Call, Cancellation, Claim, Reservation
from shared.problems import problem
from tests.simulator import CLAIM_TYPE_ID, PARTNER_CODE
from tests.world import World

PREVIEWED, EARLIER, CURRENCY = Decimal("22.40"), Decimal("30.00"), "EUR"
REFERENCE = "re_1"

# The contract's journeys (§2): name in the request, steps, which policies are cancelled, and which is claimed.
JOURNEYS = {
    "cancel": ("cancel", "look_up preview refund confirm", ["q1"], None),
    "last": ("cancel_and_claim", "look_up preview refund confirm claim", ["q1"], "q2"),
    "first": ("cancel_and_claim", "look_up preview claim refund confirm", ["q1"], "q1"),
    "claim": ("claim", "look_up claim", [], "q1"),
    "now": ("cancel_now", "look_up cancel", ["q1"], None),
    "then": ("claim_then_cancel", "look_up claim await_premium_refund preview refund confirm", ["q1"], "q1"),
    "dry": ("cancel", "look_up preview", ["q1"], None),
}

# previewed: twice, the amount changed. renewing: again at its preview. reported, otherwise: a refund is stored, of the
# present or the first round's amount. claimed, pending, failed: there is a named claim. unpaid: it is closed unpaid.
# unknown, refused: what came of the step's own call. running: a worker holds it. skip, call: the refund's mode.
# others: another cancellation has the policy's claim. late: the refund was reported after an abort.
STATES_TABLE = """
in_progress/look_up                            cancel
in_progress/preview                            cancel
in_progress/preview+running                    cancel  running
in_progress/preview+renewed                    cancel  previewed
in_progress/preview+dry                        dry
in_progress/preview!                           first   previewed claimed
in_progress/preview!+reported                  cancel  previewed reported
in_progress/preview!+then                      then    claimed
in_progress/refund                             cancel  previewed
in_progress/refund!                            first   previewed claimed
in_progress/refund!+call                       cancel  previewed call unknown
in_progress/confirm                            cancel  previewed skip
in_progress/confirm!                           cancel  previewed skip unknown
in_progress/confirm!+reported                  cancel  previewed reported unknown
in_progress/confirm!+first                     first   previewed reported claimed
in_progress/claim                              claim
in_progress/claim!                             claim   unknown
in_progress/claim+first                        first   previewed
in_progress/claim!+first                       first   previewed pending
in_progress/claim!+last                        last    previewed reported pending
in_progress/cancel                             now
in_progress/cancel!                            now     unknown
in_progress/await_premium_refund!              then    claimed
awaiting_refund/refund                         cancel  previewed
awaiting_refund/refund!                        first   previewed claimed
awaiting_premium_refund/await_premium_refund!  then    claimed
needs_review/look_up                           cancel  problem=tries-spent
needs_review/preview                           cancel  problem=figures-disagree
needs_review/preview+dry                       dry     problem=tries-spent
needs_review/preview!                          first   previewed claimed problem=insurer-refused
needs_review/refund                            cancel  previewed problem=refund-not-reported
needs_review/refund!                           first   previewed claimed unpaid problem=claim-closed-unpaid
needs_review/refund!+call                      cancel  previewed call refused problem=refund-refused
needs_review/refund!+changed                   cancel  previewed otherwise problem=refund-amount-changed
needs_review/confirm                           cancel  previewed skip problem=tries-spent
needs_review/confirm!                          cancel  previewed skip unknown problem=outcome-unsettled
needs_review/confirm!+last                     last    previewed reported unknown problem=outcome-unsettled
needs_review/claim                             claim   others problem=claim-duplicated
needs_review/claim!                            claim   unknown problem=outcome-unsettled
needs_review/claim!+first                      first   previewed unknown problem=outcome-unsettled
needs_review/claim!+refused                    first   previewed refused problem=insurer-refused
needs_review/claim!+failed                     claim   failed problem=claim-failed
needs_review/cancel                            now     problem=worker-crashed
needs_review/cancel!                           now     unknown problem=outcome-unsettled
needs_review/await_premium_refund!             then    claimed problem=premium-refund-not-reported
needs_review/await_premium_refund!+unpaid      then    claimed unpaid problem=claim-closed-unpaid
needs_review/-!+late                           cancel  previewed reported late problem=refund-after-end
needs_review/-!+all                            cancel  previewed reported problem=figures-disagree
completed/-!                                   cancel  previewed reported
completed/-!+skipped                           cancel  previewed skip
completed/-!+claim                             claim   claimed
completed/-+dry                                dry     previewed
rejected/-                                     cancel  problem=insurer-refused
aborted/-                                      cancel  previewed
closed/-                                       cancel  previewed
closed/-!                                      first   previewed claimed
"""


@dataclass(frozen=True, kw_only=True)
class State:
    """One line of the table, read."""

    name: str
    status: str
    step: str | None
    is_past: bool
    """Past the point of no return."""
    journey: str
    facts: frozenset[str] = field(default_factory=frozenset)
    problem: str | None = None

    @property
    def steps(self) -> list[str]:
        """The journey, in its order."""
        return JOURNEYS[self.journey][1].split()

    @property
    def done(self) -> list[str]:
        """What is done: what comes before the step, and a claim that does not come again with a new preview."""
        if self.status == "completed" or (self.step is None and self.problem == "figures-disagree"):
            return self.steps
        if self.step is None:
            done = {"look_up", "preview"} if "previewed" in self.facts else set()
        else:
            done = set(self.steps[: self.steps.index(self.step)])
        done |= {"claim"} if "claimed" in self.facts else set()
        return [step for step in self.steps if step in done]

    @property
    def held(self) -> set[str]:
        """The policies in its hand."""
        _, _, cancelled, claimed = JOURNEYS[self.journey]
        is_freed = "late" in self.facts or (self.status in {"rejected", "aborted", "closed"} and not self.is_past)
        if "look_up" not in self.done or is_freed or self.journey == "dry":
            return set()
        return {*cancelled, *([claimed] if claimed else [])} - ({claimed} if "unpaid" in self.facts else set())


def _read(line: str) -> State:
    name, journey, *facts = line.split()
    status, _, place = name.partition("+")[0].partition("/")
    step = place.rstrip("!")
    slug = next((fact.removeprefix("problem=") for fact in facts if fact.startswith("problem=")), None)
    return State(
        name=name, status=status, step=None if step == "-" else step, is_past=place.endswith("!"), journey=journey,
        facts=frozenset(fact for fact in facts if "=" not in fact), problem=slug,
    )  # fmt: skip


STATES = {state.name: state for state in map(_read, STATES_TABLE.strip().splitlines())}


def matching(pattern: str) -> list[str]:
    """Return the states a pattern of the table stands for."""
    return [name for name in STATES if fnmatchcase(name, pattern)]


def write(world: World, state: State) -> UUID:
    """Accept a cancellation and bring its row into a state, with its calls, its claim and its reservations."""
    booking_id = f"B-{uuid4()}"
    with world.database.transaction() as tx:
        row = _accepted(tx, world, state, booking_id)
        _write_row(row, state)
        tx.session.flush()
        add = partial(_add_call, tx, row.id)
        if "previewed" in state.facts:
            for number, amount in enumerate([PREVIEWED] if state.journey == "dry" else [EARLIER, PREVIEWED], start=1):
                add("preview", number, "done", answer={"total_refund": str(amount), "currency": CURRENCY})
        elif state.problem == "figures-disagree":
            add("preview", 1, "done", answer={"total_refund": "22.405", "currency": CURRENCY})
        for step in {"confirm", "cancel", "claim"} & set(state.done):
            add(step, 1, "done")
        if state.step and (ended := state.facts & {"unknown", "refused", "pending", "failed"}):
            outcome = next(iter(ended))
            add(state.step, 1, "done" if outcome in {"pending", "failed"} else outcome)
        _add_claim(tx, world, row, state)
        for quote_id in sorted(state.held):
            _reserve(tx, row, quote_id)
    world.database.published.clear()
    return row.id


def _accepted(tx: Transaction, world: World, state: State, booking_id: str) -> Cancellation:
    journey, _, cancelled, claimed = JOURNEYS[state.journey]
    body: dict[str, Any] = {"booking_id": booking_id, "journey": journey}
    if journey in {"cancel", "cancel_and_claim", "claim_then_cancel"}:
        body |= {"refund": {"mode": "skip" if "skip" in state.facts else "wait"}}
        body |= {"quotes": [{"id": quote_id} for quote_id in cancelled]}
    if claimed:
        body |= {"claim": {"quote_id": claimed}}
    if state.journey == "dry":
        body |= {"dry_run": True}
    request = parse(body, settings=world.settings)
    row_id, _ = intake.accept(tx, request, sent=body, caller="shop", key=f"key-{booking_id}")
    return tx.session.get_one(Cancellation, row_id)


def _write_row(row: Cancellation, state: State) -> None:
    _, _, cancelled, claimed = JOURNEYS[state.journey]
    now = utc_now()
    row.status, row.next_step, row.steps, row.done_steps = state.status, state.step, state.steps, state.done
    row.quotes, row.claim_quote_id = [{"id": one, "reason_for_cancellation": None} for one in cancelled], claimed
    row.irreversible_at = now if state.is_past else None
    row.lease, row.begun_at, row.tries, row.ring_after = 3, now, 1, None
    waits = {"in_progress": 300, "awaiting_refund": 3600, "awaiting_premium_refund": 60}
    seconds = waits.get(state.status)
    row.next_attempt_at = None if seconds is None else now + timedelta(seconds=seconds)
    row.problem = problem(state.problem, "As written by a test.") if state.problem else None
    if "running" in state.facts:
        row.lease_until, row.next_attempt_at = now + timedelta(seconds=8), now
    if state.status.startswith("awaiting"):
        row.waiting_since = now
    if state.status == "completed":
        row.completed_at = now
    if "call" in state.facts:
        row.refund_mode = "call"
    if "previewed" in state.facts:
        row.round = 3 if state.step == "preview" else 1 if state.journey == "dry" else 2
        row.preview_cancellation_id, row.preview_total, row.preview_currency = "P-2", PREVIEWED, CURRENCY
        row.preview_confirm_before = row.preview_expires_at = now + timedelta(days=7)
        row.previewed_from, row.previewed_until = now - timedelta(seconds=4), now
    if state.facts & {"reported", "otherwise"}:
        row.refund_amount, row.refund_currency = EARLIER if "otherwise" in state.facts else PREVIEWED, CURRENCY
        row.refund_reference, row.refund_reported_at = REFERENCE, now


def _add_call(tx: Transaction, row_id: UUID, step: str, number: int, outcome: str, **more: Any) -> None:
    tx.session.add(
        Call(
            cancellation_id=row_id, step=step, round=number, key=str(uuid4()), fingerprint="0" * 64, request={},
            attempts=1, outcome=outcome, is_doubtful=outcome == "unknown", first_sent_at=now_plus(0),
            last_sent_at=now_plus(0), answer_status={"refused": 422, "done": 200}.get(outcome), **more,
        )
    )  # fmt: skip


def _add_claim(tx: Transaction, world: World, row: Cancellation, state: State) -> None:
    is_named = bool(state.facts & {"claimed", "pending", "failed"})
    if "others" in state.facts:
        row = _accepted(tx, world, state, f"{row.booking_id}-2")
        row.booking_id = row.booking_id.removesuffix("-2")
    elif not is_named and not (state.step == "claim" and state.is_past):
        return
    claim = Claim(
        partner=PARTNER_CODE, cancellation_id=row.id, booking_id=row.booking_id,
        quote_id=JOURNEYS[state.journey][3], claim_type_id=CLAIM_TYPE_ID, webhook_token=f"token-{row.id}",
        is_processed="claimed" in state.facts, milestones={},
    )  # fmt: skip
    if is_named:  # XClaim gives the id with the end of its processing
        claim.claim_id = f"claim-{row.id}" if claim.is_processed else None
        claim.reference, claim.status = f"CLM-{row.id}", "Submitted"
    if "await_premium_refund" in state.done:
        claim.milestones = {"premium_refund": "2026-01-01T00:00:00Z"}
    if "unpaid" in state.facts:
        claim.milestones, claim.closed_at = {"claim_closed_unpaid": "2026-01-01T00:00:00Z"}, utc_now()
    tx.session.add(claim)


def _reserve(tx: Transaction, row: Cancellation, quote_id: str) -> None:
    tx.session.add(
        Reservation(
            partner=PARTNER_CODE, booking_id=row.booking_id, quote_id=quote_id, cancellation_id=row.id,
        )
    )  # fmt: skip
