"""The judge: after every rule the insurer's ledger, the rows and the model must agree."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from shared.models import Call, Cancellation
from tests.model.contract import EFFECTS, ENDED, MAY_BECOME, MOVING, Asked
from tests.model.stage import Stage

CANCELLED = {"confirm", "cancel"}
PAID = {"refund", "refund_promised"}
JUDGED = CANCELLED | PAID | {"claim"}
GONE_UNPAID = {"Declined", "Withdrawn", "Closed"}


class Judge:
    """Looks at what is new since it last looked."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._judged = 0
        self._premium_refunds: set[str] = set()

    def note_premium_refund(self, booking_id: str) -> None:
        """Remember that a booking's claim has reported its Premium Refund."""
        self._premium_refunds.add(booking_id)

    def look(self, known: Sequence[Asked]) -> None:
        """Judge everything; `AssertionError` names what is wrong."""
        rows = self._stage.rows_by_id()
        ledger = self._stage.ledger()
        by_id = {asked.id: asked for asked in known if asked.id is not None}
        if len(ledger) > self._judged:
            calls = self._stage.calls_by_key()
            for number in range(self._judged, len(ledger)):
                if ledger[number]["kind"] in JUDGED:
                    self._judge_effect(number, ledger, calls, rows, by_id)
            self._judged = len(ledger)
            self._nothing_twice(ledger, rows, by_id)
        for asked in known:
            if asked.id is not None:
                assert asked.id in rows, f"{asked.key}: accepted, and lost"
                _note_status(asked, rows[asked.id])
        self._one_holder(rows)

    def _judge_effect(
        self, number: int, ledger: list[dict[str, Any]], calls: dict[str, Call], rows: dict[str, Cancellation],
        known: dict[str, Asked],
    ) -> None:  # fmt: skip
        effect = ledger[number]
        call = calls.get(effect["key"])
        assert call is not None, f"sent under a key that was not committed before: {effect}"
        row = rows[str(call.cancellation_id)]
        asked = known.get(str(row.id))
        if asked is None:
            return  # its caller was not answered yet: nothing is known of it but that nothing is done twice
        assert effect["booking"] == asked.booking_id, f"another booking's: {effect}"
        before = asked.aborted_at is None or number < asked.aborted_at
        assert before, f"{asked.key}: abort was answered 200, then {effect}"
        if effect["kind"] in PAID:
            assert asked.mode == "call", f"{asked.key}: nobody was to be asked for a refund: {effect}"
            told = asked.refunded_at
            assert told is None or number < told, f"{asked.key}: asked for although the refund was reported: {effect}"
        if effect["kind"] in CANCELLED:
            assert set(effect["quotes"]) <= asked.policies, f"{asked.key}: a policy nobody named: {effect}"
            self._cancelled_in_order(effect, ledger[:number], row, asked)

    def _cancelled_in_order(
        self, effect: dict[str, Any], before: list[dict[str, Any]], row: Cancellation, asked: Asked
    ) -> None:
        if effect["kind"] == "confirm" and not asked.is_refunded_by_hand:
            amount = (Decimal(effect["amount"]), effect["currency"])
            paid = [
                (Decimal(one["amount"]), one["currency"])
                for one in before
                if one["kind"] == "refund" and one["cancellation"] == asked.id
            ]
            settled = [*paid, *([asked.reported] if asked.reported else [])]
            is_settled = asked.mode == "skip" or (amount[0] == 0 and not settled) or settled[-1:] == [amount]
            assert is_settled, f"{asked.key}: confirmed {amount} with {settled} refunded"
        steps = list(row.steps)
        if "claim" in steps and "confirm" in steps and steps.index("claim") < steps.index("confirm"):
            is_claimed = any(one["kind"] == "claim" and one["booking"] == asked.booking_id for one in before)
            assert is_claimed, f"{asked.key}: confirmed before its claim"
        if asked.journey == "claim_then_cancel" and "await_premium_refund: done" not in asked.rulings:
            assert asked.booking_id in self._premium_refunds, f"{asked.key}: confirmed without a Premium Refund"

    def _nothing_twice(
        self, ledger: list[dict[str, Any]], rows: dict[str, Cancellation], known: dict[str, Asked]
    ) -> None:
        cancelled = Counter(
            (one["booking"], quote) for one in ledger if one["kind"] in CANCELLED for quote in one["quotes"]
        )
        refunded = Counter(one["cancellation"] for one in ledger if one["kind"] in PAID)
        claimed: Counter[tuple[str, str]] = Counter()
        for booking_id in {one["booking"] for one in ledger if one["kind"] == "claim"}:
            standing = [
                claim for claim in self._stage.insurers_claims(booking_id)
                if not claim.is_deleted and claim.category not in GONE_UNPAID
            ]  # fmt: skip
            claimed.update((booking_id, claim.quote_id) for claim in standing)
        for what, counted in (("cancelled", cancelled), ("refunded", refunded), ("claimed", claimed)):
            twice = {which: times for which, times in counted.items() if times > 1}
            assert not twice, f"{what} more than once: {twice}"

    def _one_holder(self, rows: dict[str, Cancellation]) -> None:
        held = self._stage.holders()
        twice = [policy for policy, holders in Counter(policy for policy, _ in held).items() if holders > 1]
        assert not twice, f"in two hands: {twice}"
        for policy, holder in held:
            status = rows[holder].status
            assert status not in {"rejected", "aborted"}, f"{policy} is still held by one that is {status}"

    def agrees_at_the_end(self, asked: Asked, row: Cancellation) -> None:
        """Judge one that has ended against the ledger."""
        assert row.status in ENDED, f"{asked.key}: still {row.status} at {row.next_step}: {row.problem}"
        calls = self._stage.calls(row.id)
        keys, absent = {call.key for call in calls}, {call.key for call in calls if call.outcome == "not_done"}
        effects = [one for one in self._stage.ledger() if one.get("key") in keys and one["kind"] in JUDGED]
        if row.status in {"rejected", "aborted"} or asked.journey == "dry_run":
            assert not effects, f"{asked.key}: {row.status}, and yet {effects}"
        if row.status != "completed":
            return
        done = Counter(one["kind"] for one in effects if not (one["key"] in absent and self._is_deleted(one)))
        for kind in EFFECTS[asked.journey]:
            is_ruled = any(ruling.startswith((kind, "claim")) for ruling in asked.rulings)
            assert done[kind] == 1 or is_ruled, f"{asked.key}: completed with {kind} done {done[kind]} times"
        if asked.mode == "call" and row.preview_total and not asked.reported and "refund: done" not in asked.rulings:
            assert done["refund"] == 1, f"{asked.key}: completed, and the partner refunded {done['refund']} times"

    def _is_deleted(self, effect: dict[str, Any]) -> bool:
        """Tell of a claim deleted at the insurer's: while its answer was lost nobody could know of it."""
        claim = self._stage.simulator.state.find_claim(effect["reference"]) if effect["kind"] == "claim" else None
        return claim is not None and claim.is_deleted

    def history(self) -> None:
        """Judge every line of history: a chain without a gap, of changes that the contract allows."""
        lines: dict[str, list[Any]] = {}
        for line in self._stage.transitions():
            lines.setdefault(str(line.cancellation_id), []).append(line)
        for cancellation_id, told in lines.items():
            assert told[0].event == "accepted", f"{cancellation_id} begins with {told[0].event}"
            for one, following in pairwise(told):
                assert one.to_status == following.from_status, f"{cancellation_id}: a gap before {following.event}"
            for line in told[1:]:
                is_note = line.from_status == line.to_status and line.from_step == line.to_step
                is_allowed = is_note or line.to_status in MAY_BECOME[line.from_status]
                assert is_allowed, f"{line.from_status} became {line.to_status} by {line.event}"


def _note_status(asked: Asked, row: Cancellation) -> None:
    waits = row.status in MOVING
    assert waits == (row.next_attempt_at is not None), f"{asked.key}: {row.status}, next at {row.next_attempt_at}"
    if asked.statuses[-1:] != [row.status]:
        asked.statuses.append(row.status)
