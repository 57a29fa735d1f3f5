"""The machine: rules that callers, workers, the insurer, operators and misfortune follow, in any order."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.model import contract
from tests.model.acting import Acting
from tests.model.asking import NEWS, Doom, Interruption, Wish, bookings, dooms, insurers, interruptions, wishes
from tests.model.ending import bring_to_an_end
from tests.model.operators import rule_truthfully

picks = st.integers(0, 3)


class Machine(Acting):
    """Every rule does nothing where there is nothing to do it to, so what is drawn never hangs on what happened."""

    @initialize(
        insurer=insurers,
        told=st.lists(bookings, min_size=2, max_size=2),
        first=st.lists(wishes, min_size=1, max_size=2),
        awaits=st.lists(dooms, min_size=1, max_size=2),
    )
    def begin(self, insurer: dict[str, Any], told: list[dict[str, Any]], first: list[Wish], awaits: list[Doom]) -> None:
        self.stage.begin(insurer)
        self.bookings = [self.stage.booking(**spec) for spec in told]
        self.world.interrupted = self.stage.interruptions.struck
        self.world.faulty = self._faulty(told)
        for wish in first:
            self.ask(wish, "http", None)
        for doom in awaits:
            self.lie_in_wait(doom)

    def _faulty(self, told: list[dict[str, Any]]) -> set[str]:
        if any(fault["on"] == "list_claims" for spec in told for fault in spec["faults"]):
            return {booking.id for booking in self.bookings}  # a list of all claims is hit by any booking's fault
        return {booking.id for booking, spec in zip(self.bookings, told, strict=True) if spec["faults"]}

    # callers

    @rule(wish=wishes, door=st.sampled_from(["http", "celery"]), by=interruptions)
    def another_is_asked(self, wish: Wish, door: str, by: Interruption | None) -> None:
        self.ask(wish, door, by)

    @rule(pick=picks, door=st.sampled_from(["http", "celery", "another body"]))
    def it_is_asked_again(self, pick: int, door: str) -> None:
        for asked in self.picked(pick):
            if door == "another body":
                self.ask_something_else(asked)
            else:
                self.send(asked, door, None)

    @rule(
        pick=picks, right=st.sampled_from(["offered", "offered", "offered", "wrong", "earlier"]),
        reference=st.sampled_from(["re_1", "re_1", "re_2"]), by=interruptions,
    )  # fmt: skip
    def a_refund_is_reported(self, pick: int, right: str, reference: str, by: Interruption | None) -> None:
        for asked in self.picked(pick, first="awaiting_refund" if right == "offered" else ""):
            self.report(asked, right, reference, by)

    @rule(pick=picks, by=interruptions)
    def it_is_aborted(self, pick: int, by: Interruption | None) -> None:
        for asked in self.picked(pick):
            self.abort(asked, by)

    # workers

    @rule(times=st.integers(2, 8), doom=st.none() | dooms)
    def messages_are_worked_on(self, times: int, doom: Doom | None) -> None:
        self.lie_in_wait(doom)
        self.work_on(times)

    @rule(times=st.integers(4, 12))
    def all_goes_well_for_a_while(self, times: int) -> None:
        self.work_on(times)

    @rule(pick=picks, is_copy=st.booleans(), doom=st.none() | dooms)
    def one_overtakes(self, pick: int, is_copy: bool, doom: Doom | None) -> None:
        published = self.stage.database.published
        if is_copy and published:
            published.append(published[pick % len(published)])
        self.lie_in_wait(doom)
        self.work(pick)

    @rule(pick=picks, everything=st.booleans())
    def messages_are_lost(self, pick: int, everything: bool) -> None:
        published = self.stage.database.published
        if published:
            del published[0 if everything else pick % len(published) :]

    @rule(seconds=st.sampled_from([3, 12, 70, 660, 660, 3700, 86_400, 49 * 3600, 15 * 86_400]), times=st.integers(0, 4))
    def time_passes(self, seconds: float, times: int) -> None:
        self.stage.later(seconds)
        self.world.elapsed = self.stage.elapsed
        self.stage.sweep()
        self.work_on(times)

    # the insurer

    @rule(pick=picks, news=st.sampled_from([*NEWS, "premium refund"]), is_sent=st.booleans())
    def a_claim_moves(self, pick: int, news: str, is_sent: bool) -> None:
        claims = [claim for booking in self.bookings for claim in self.stage.insurers_claims(booking.id)]
        if claims:
            claim = claims[pick % len(claims)]
            self.tell(claim.id, claim.booking.id, news, is_sent=is_sent)

    @rule(pick=picks, how=st.sampled_from(["once", "once", "kept for later", "forged"]), by=interruptions)
    def a_letter_arrives(self, pick: int, how: str, by: Interruption | None) -> None:
        letters = self.stage.letters.arrived
        if letters and how == "forged":
            assert self.stage.take_letter(letters[pick % len(letters)], signature="0" * 64) == 401
            return
        with self.misfortune(by):
            self.take_letter(pick, keeps=how == "kept for later")

    @rule(
        pick=st.integers(0, 1), what=st.sampled_from(["refund", "refund", "lock", "cancel"]), chance=st.integers(0, 3)
    )
    def the_booking_changes(self, pick: int, what: str, chance: int) -> None:
        if chance == 0 or what == "refund":
            self.change(self.bookings[pick % len(self.bookings)], what)

    # operators

    @rule(pick=picks, looks=st.booleans(), by=interruptions)
    def an_operator_acts(self, pick: int, looks: bool, by: Interruption | None) -> None:
        for asked in self.picked(pick, first="needs_review"):
            if looks:
                rule_truthfully(self.stage, asked)
            else:
                self.retry(asked, by)

    # what must hold

    @invariant()
    def everything_agrees(self) -> None:
        self.judge.look(self.known)
        rows = self.stage.rows_by_id()
        for asked in self.known:
            row = rows.get(asked.id or "")
            if row is not None and row.status in {"needs_review", "rejected"}:
                slug = str((row.problem or {}).get("type")).removeprefix("/problems/")
                assert contract.explained(slug, asked, self.known, self.world), (
                    f"{asked.key}: {row.status} at {row.next_step} for no reason: {row.problem}"
                )

    def teardown(self) -> None:
        if self.bookings:
            bring_to_an_end(self)
