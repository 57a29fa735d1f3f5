"""The end of every example: misfortune stops, time moves on, and each cancellation must come to an end that agrees."""

from typing import TYPE_CHECKING, Any

from tests.gateway import OPERATOR
from tests.model.contract import ENDED, Asked
from tests.model.operators import close, rule_truthfully

if TYPE_CHECKING:
    from tests.model.machine import Machine

LAST_TURNS = 3
"""Turns in which what still lies in wait may come."""
ROUNDS = 12
"""Turns that partner, claim department and operators take once everything works again."""
PATIENCE = 4
"""Turns before operators stop ruling and close."""


def bring_to_an_end(machine: "Machine") -> None:
    """Let everything work, let everybody do what they are waited for, and judge."""
    stage = machine.stage
    stage.interruptions.make_haste()
    for _ in range(LAST_TURNS):
        machine.work_on(8)
        machine.everything_agrees()
        for asked in machine.all_in("awaiting_refund"):
            _refund(machine, asked, machine.seen(asked))
    stage.interruptions.calm()
    for booking in machine.bookings:
        stage.repair(booking)
    for asked in machine.known:
        machine.send(asked, "http", None)
    for turn in range(ROUNDS):
        _deliver(machine)
        stage.settle(rounds=60)
        machine.everything_agrees()
        waiting = [asked for asked in machine.known if machine.seen(asked)["status"] not in ENDED]
        if not waiting and not stage.unhandled():
            break
        for asked in waiting:
            _do_what_is_waited_for(machine, asked, is_late=turn >= PATIENCE)
    stage.settle_webhooks()
    machine.everything_agrees()
    rows = stage.rows_by_id()
    assert len(rows) == len(machine.known), "more cancellations than were asked for"
    for asked in machine.known:
        machine.judge.agrees_at_the_end(asked, rows[str(asked.id)])
    machine.judge.history()
    stage.ended.update(f"ended as {rows[str(asked.id)].status}: {asked.journey}" for asked in machine.known)
    stage.ended.update(f"effects: {effect['kind']}" for effect in stage.ledger())


def _deliver(machine: "Machine") -> None:
    letters = machine.stage.letters.arrived
    while letters:
        assert machine.stage.take_letter(letters.pop(0)) == 200


def _do_what_is_waited_for(machine: "Machine", asked: Asked, *, is_late: bool) -> None:
    stage, seen = machine.stage, machine.seen(asked)
    if seen["status"] == "awaiting_refund":
        _refund(machine, asked, seen)
    elif seen["status"] == "awaiting_premium_refund":
        if is_late:
            close(stage, asked)
            return
        claim = stage.simulator.state.find_claim(seen["claim"]["reference"])
        if claim is not None and not claim.is_deleted:
            machine.tell(claim.id, asked.booking_id, "premium refund")
    elif seen["status"] == "needs_review" and is_late:
        close(stage, asked)
    elif seen["status"] == "needs_review" and asked.rulings:
        stage.gateway.post(f"/{asked.id}/retry", token=OPERATOR)
        rule_truthfully(stage, asked)
    elif seen["status"] == "needs_review":
        rule_truthfully(stage, asked)


def _refund(machine: "Machine", asked: Asked, seen: dict[str, Any]) -> None:
    preview = seen["preview"]
    body = {"amount": preview["total_refund"], "currency": preview["currency"], "reference": "re_end"}
    answer = machine.stage.gateway.post(f"/{asked.id}/refund", body)
    machine.note_report(asked, body, answer)
    assert answer.status_code == 200, answer.text
