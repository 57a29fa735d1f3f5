"""How the machine's rules act on the stage, and what each answer must be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from werkzeug.test import TestResponse

from shared.lifecycle import TaskName
from tests.gateway import OPERATOR
from tests.model import contract
from tests.model.asking import BRIEF, ENDING_NEWS, NEWS, SECOND_REFUND, Doom, Interruption, Wish
from tests.model.contract import Asked, Money
from tests.model.interruptions import SENDING, Killed
from tests.model.judge import Judge
from tests.model.stage import SHOP, Stage
from tests.simulator import SimBooking
from workers.app import app

MOST = 4
"""Cancellations in one example."""
LONGEST_WAIT = 700.0
"""Seconds: reading back waits ten minutes."""
BRIEF_WAIT = 1.0
"""Seconds, while a request that nobody can call back may still leave: all together far less than those ten minutes."""


class Acting(RuleBasedStateMachine):
    """What is known, and what can be done; the rules are the machine's."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.known: list[Asked] = []
        self.bookings: list[SimBooking] = []
        self.world = contract.World()
        self.judge = Judge(stage)
        self._longest_wait = LONGEST_WAIT

    def ask(self, wish: Wish, door: str, by: Interruption | None) -> None:
        """Ask for a cancellation under a key of its own."""
        if len(self.known) == MOST:
            return
        booking, number = self.bookings[wish.booking % len(self.bookings)], len(self.known)
        body = wish.body(booking.id, booking.quote_ids, number)
        cancelled = [quote["id"] for quote in body.get("quotes", [])]
        claimed = [body["claim"]["quote_id"]] if "claim" in body else []
        asked = Asked(key=f"order-{number}", body=body, policies=frozenset([*cancelled, *claimed]))
        self.known.append(asked)
        self.send(asked, door, by)

    def ask_something_else(self, asked: Asked) -> None:
        """Send another body under a known key."""
        body = {**asked.body, "metadata": {"order": -1}}
        answer = self.stage.gateway.post("", body, Idempotency_Key=asked.key)
        assert answer.status_code in ({202, 422} if asked.id is None else {422})
        if answer.status_code == 202:  # the first one had never arrived: this is the one that counts
            asked.body, asked.id = body, answer.get_json()["id"]

    def change(self, booking: SimBooking, what: str) -> None:
        """Let a booking change at the insurer's: another refund, a locked policy, a cancellation by someone else."""
        if what == "refund":
            self.stage.control.patch_booking(booking.id, policies=[{"refund": SECOND_REFUND}])
            self.world.repriced.add(booking.id)
            return
        change = {"status": "CANCELLED"} if what == "cancel" else {"can_be_cancelled": False}
        self.stage.control.patch_booking(booking.id, policies=[change])
        self.world.meddled.add(booking.id)

    def all_in(self, status: str) -> list[Asked]:
        """Return those that were in this status when they were last judged."""
        return [asked for asked in self.known if asked.id is not None and asked.statuses[-1:] == [status]]

    def picked(self, pick: int, *, first: str = "") -> list[Asked]:
        """Return one that was accepted, if there is any; one in the status `first` before all others."""
        found = self.all_in(first) or [asked for asked in self.known if asked.id is not None]
        return [found[pick % len(found)]] if found else []

    def tell(self, claim_id: str, booking_id: str, news: str, *, is_sent: bool = True) -> None:
        """Let a claim move on."""
        self.stage.control.send_event(claim_id, **NEWS[news], send=is_sent)
        if news == "premium refund":
            self.judge.note_premium_refund(booking_id)
        if news in ENDING_NEWS:
            self.world.claim_news.add(booking_id)

    def seen(self, asked: Asked) -> dict[str, Any]:
        """Return a cancellation as its caller sees it, and check that this is what the row says."""
        seen: dict[str, Any] = self.stage.gateway.get(f"/{asked.id}").get_json()
        row = self.stage.rows_by_id()[str(asked.id)]
        assert (seen["status"], seen["next_step"], seen["done_steps"], seen["problem"]) == (
            row.status, row.next_step, row.done_steps, row.problem,
        )  # fmt: skip
        return seen

    def answered(self, ask: Callable[[], TestResponse], by: Interruption | None) -> TestResponse | None:
        """Return the answer; None where the caller cannot know what came of it."""
        try:
            with self.misfortune(by):
                answer = ask()
        except Killed:
            return None
        is_away = by is not None and by.how == "away" and answer.status_code == 503
        assert is_away or answer.status_code < 500, answer.text
        return None if is_away else answer

    @contextmanager
    def misfortune(self, by: Interruption | None) -> Iterator[None]:
        """Let the block be interrupted."""
        with self.stage.interrupted(by, lambda moment: self._meanwhile(by, moment)):
            yield

    def lie_in_wait(self, doom: Doom | None) -> None:
        """Let a task be interrupted, now or later."""
        if doom is not None:
            self.stage.lie_in_wait(doom, lambda moment: self._meanwhile(doom, moment))

    def send(self, asked: Asked, door: str, by: Interruption | None) -> None:
        if door == "celery":
            fields = {**asked.body, "idempotency_key": asked.key, "caller": SHOP}
            try:
                with self.misfortune(by if by is None or by.how != "away" else None):
                    app.tasks[TaskName.REQUEST.value](**fields)
            except Killed:
                return  # the message is still in the queue, or was never sent: ask_again sends it
            listed = self.stage.gateway.get(f"?idempotency_key={asked.key}").get_json()["items"]
            assert [item["booking_id"] for item in listed] == [asked.booking_id]
            assert asked.id in {None, listed[0]["id"]}
            asked.id = listed[0]["id"]
            return
        answer = self.answered(lambda: self.stage.gateway.post("", asked.body, Idempotency_Key=asked.key), by)
        if answer is None:
            return
        assert answer.status_code in ({200, 202} if asked.id is None else {200}), answer.text
        told = answer.get_json()["id"]
        assert asked.id in {None, told}, f"{asked.key}: one key, two cancellations"
        asked.id = told

    def work(self, pick: int) -> None:
        """Run one message; where there is none, wait until something is due and the sweeper rings."""
        published = self.stage.database.published
        if not published:
            self.stage.wait_for_work(at_most=self._longest_wait)
        if published:
            self.stage.perform(*published.pop(pick % len(published)))

    def work_on(self, times: int) -> None:
        """Run so many messages, in their order."""
        for _ in range(times):
            self.work(0)

    def take_letter(self, pick: int, *, keeps: bool) -> None:
        letters = self.stage.letters.arrived
        if not letters:
            return
        letter = letters.pop(pick % len(letters))
        is_stored = False
        try:
            answer = self.stage.take_letter(letter)
            assert answer in {200, 503}
            is_stored = answer == 200
        except Killed:
            pass
        if keeps or not is_stored:
            letters.append(letter)

    def abort(self, asked: Asked, by: Interruption | None) -> None:
        expected = contract.abort_answers(self.seen(asked), self.stage.intended(str(asked.id)), asked)
        answer = self.answered(lambda: self.stage.gateway.post(f"/{asked.id}/abort"), by)
        if answer is None:
            return
        if by is None:
            assert answer.status_code in expected, f"{asked.key}: {answer.text}, not {expected}"
        if answer.status_code == 200:
            asked.aborted_at = len(self.stage.ledger())

    def report(self, asked: Asked, right: str, reference: str, by: Interruption | None) -> None:
        seen, earlier = self.seen(asked), self._earlier_offers(asked)
        told = _figure(seen, right, earlier)
        expected = contract.report_answers(seen, told, reference, earlier=earlier)
        body = {"amount": f"{told[0]:f}", "currency": told[1], "reference": reference}
        answer = self.answered(lambda: self.stage.gateway.post(f"/{asked.id}/refund", body), by)
        self.note_report(asked, body, answer)
        if answer is not None and by is None:
            assert answer.status_code in expected, f"{asked.key}: {answer.text}, not {expected}"

    def note_report(self, asked: Asked, body: dict[str, str], answer: TestResponse | None) -> None:
        """Remember what a report led to; one whose answer was lost may have been taken."""
        refund = self.seen(asked)["refund"]
        is_stored = refund["reported_at"] is not None and refund["reference"] == body["reference"]
        if answer is not None:
            asked.reports.append(str(answer.status_code))
        elif is_stored:
            asked.reports.append("202")
        if is_stored and asked.reported is None:
            asked.reported = (Decimal(refund["amount"]), refund["currency"])
            asked.refunded_at = len(self.stage.ledger())

    def _earlier_offers(self, asked: Asked) -> list[Money]:
        calls = [call for call in self.stage.calls(self.stage.rows_by_id()[str(asked.id)].id) if call.step == "preview"]
        rounds = sorted(calls, key=lambda call: call.round)
        offers = [call.answer for call in rounds if call.answer and "total_refund" in call.answer]
        return [(Decimal(offer["total_refund"]), offer["currency"]) for offer in offers]

    def retry(self, asked: Asked, by: Interruption | None) -> None:
        """Have an operator take it up again, whatever it is at."""
        answer = self.answered(lambda: self.stage.gateway.post(f"/{asked.id}/retry", token=OPERATOR), by)
        assert answer is None or answer.status_code in {200, 409}

    def _meanwhile(self, by: Interruption | None, moment: str) -> None:
        """Let the others go on while one sleeps; briefly where its request is as good as gone."""
        before = self._longest_wait
        if moment in SENDING:
            self._longest_wait = BRIEF_WAIT
        try:
            for what in by.meanwhile if by else ():
                if self._longest_wait != BRIEF_WAIT or what in BRIEF:
                    self._go_on(what)
        finally:
            self._longest_wait = before

    def _go_on(self, what: str) -> None:
        acts: dict[str, Callable[[], object]] = {
            "lease ends": lambda: self.stage.later(9),
            "a quarter of an hour": lambda: self.stage.later(900),
            "work": lambda: self.work(0),
            "a copy": self._work_on_a_copy,
            "much work": lambda: self.work_on(6),
            "abort": self._abort_the_first,
            "report": self._report_the_first,
            "letter": lambda: self.take_letter(0, keeps=False),
        }
        acts[what]()

    def _abort_the_first(self) -> None:
        for asked in self.picked(0):
            self.abort(asked, None)

    def _report_the_first(self) -> None:
        for asked in self.picked(0):
            self.report(asked, "offered", "re_1", None)

    def _work_on_a_copy(self) -> None:
        message = self.stage.interruptions.sleeper()
        if message is not None:
            self.stage.perform(*message)


def _figure(seen: dict[str, Any], right: str, earlier: list[Money]) -> Money:
    preview = seen["preview"]
    if right == "wrong" or preview is None:
        return (Decimal("99.99"), "EUR")
    if right == "earlier" and earlier:
        return earlier[0]
    return (Decimal(preview["total_refund"]), preview["currency"])
