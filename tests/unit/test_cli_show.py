"""`cfar show`: a cancellation's story, readable at any width."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from shared import cancellations
from shared.cancellations import await_premium_refund, begin_step, finish_step
from shared.db import now_plus
from shared.lifecycle import Step
from tests.gateway import OPERATOR, Gateway
from tests.terminal import Terminal, on_a_file
from webhook_gateway import display
from webhook_gateway.display_hints import hints

AT = "2026-01-02T03:04:05.678901Z"
CALL: dict[str, Any] = {
    "kind": "call", "at": AT, "step": "confirm", "round": 1, "outcome": "unknown", "is_doubtful": True, "attempts": 2,
    "answer_status": 504, "key": "k-1", "last_sent_at": "2026-01-02T03:05:06.000000Z",
}  # fmt: skip
LINE: dict[str, Any] = {
    "kind": "transition", "at": AT, "event": "postponed", "from_status": "in_progress", "to_status": "in_progress",
    "from_step": "confirm", "to_step": "confirm", "actor": "worker", "reason": "the insurer is away", "details": {},
}  # fmt: skip
WEBHOOK: dict[str, Any] = {
    "kind": "webhook", "at": AT, "event": "claim.updated", "category": "Claim Paid", "status_name": None,
    "verdict": None,
}  # fmt: skip


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path) -> Iterator[Terminal]:
    with on_a_file(sqlite_template, tmp_path) as opened:
        yield opened


@pytest.fixture
def gateway(terminal: Terminal) -> Gateway:
    return terminal.gateway


def shown(gateway: Gateway, found: str, *, width: int = 160) -> str:
    """Return what `cfar show` prints in a terminal of this width."""
    console = Console(width=width, highlight=False)
    item, events = (gateway.get(f"/{found}{path}").get_json() for path in ("", "/events"))
    with console.capture() as captured:
        display.show_one(console, item, events["items"])
    return captured.get()


def told(*events: dict[str, Any], width: int = 120) -> list[str]:
    """Return the lines of a timeline, white space aside."""
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        display.show_events(console, list(events))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def bring(gateway: Gateway, found: str, *steps: Step, **values: Any) -> None:
    for step in steps:
        with gateway.database.transaction() as tx:
            held = begin_step(tx, UUID(found), step)
            assert held is not None
            finish_step(tx, held, step, "done by a test", **values)


def test_the_whole_journey_is_shown_with_what_is_done_and_what_is_next(gateway: Gateway) -> None:
    found = gateway.accept_previewed(journey="cancel_and_claim")

    assert "✓ look_up  ✓ preview  → refund  confirm  claim" in shown(gateway, found)


def test_a_claim_made_first_is_done_although_the_preview_before_it_is_taken_again(gateway: Gateway) -> None:
    found = gateway.accept(journey="claim_then_cancel", refund={"mode": "skip"})
    bring(gateway, found, Step.LOOK_UP, Step.CLAIM, Step.AWAIT_PREMIUM_REFUND)

    assert "✓ look_up  ✓ claim  ✓ await_premium_refund  → preview  refund  confirm" in shown(gateway, found)


def test_one_that_waits_for_its_premium_refund_says_what_it_waits_for(gateway: Gateway) -> None:
    found = gateway.accept(journey="claim_then_cancel", refund={"mode": "skip"})
    bring(gateway, found, Step.LOOK_UP, Step.CLAIM)
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(found), Step.AWAIT_PREMIUM_REFUND)
        assert held is not None
        await_premium_refund(tx, held, "waits", seconds=60)

    assert "Waits until XClaim reports the Premium Refund of the claim" in shown(gateway, found)


def test_an_immediate_cancellation_shows_its_refund_and_nothing_to_confirm(gateway: Gateway) -> None:
    found = gateway.accept(journey="cancel_now")
    bring(gateway, found, Step.LOOK_UP)
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(found), Step.CANCEL)
        assert held is not None
        finish_step(
            tx,
            held,
            Step.CANCEL,
            "cancelled",
            preview_total=Decimal("22"),
            preview_currency="EUR",
            completed_at=now_plus(0),
        )

    said = shown(gateway, found)

    assert "22.00 EUR" in said
    assert "confirm" not in said
    assert "None" not in said


def test_what_is_confirmed_or_ended_is_not_said_to_be_confirmed_yet(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()
    assert "22.40 EUR, to be confirmed before 2021-01-08 18:19:04 UTC" in shown(gateway, found)

    gateway.post(f"/{found}/resolve", {"resolution": "done", "note": "n", "evidence": "e"}, token=OPERATOR)

    assert "to be confirmed" not in shown(gateway, found)


def test_one_that_needs_review_says_why_and_what_may_be_pressed(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()

    said = shown(gateway, found)

    assert "outcome-unsettled: Nobody can tell." in said
    assert f"cfar retry {found}\n" in said
    assert f"cfar resolve {found} done|not_done|close --note" in said


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_command_to_copy_is_never_broken(gateway: Gateway, width: int) -> None:
    parked, waiting = gateway.parked_at_confirm(key="a"), gateway.accept_previewed(key="b")

    assert f"cfar resolve {parked} done|not_done|close --note <why> [--evidence NAME=VALUE]\n" in shown(
        gateway, parked, width=width
    )
    assert f"cfar refund {waiting} --amount 22.40 --currency EUR --reference" in shown(gateway, waiting, width=width)


@pytest.mark.parametrize(
    ("step", "done", "commands"),
    [
        ("look_up", [], ["retry", "resolve close"]),
        ("preview", ["look_up"], ["retry", "resolve not_done|close"]),
        ("claim", ["look_up", "preview", "refund", "confirm"], ["retry", "resolve done|not_done|amend|close"]),
        (None, ["look_up"], ["resolve close"]),
        (None, ["look_up", "preview", "refund", "confirm", "claim"], ["resolve done|close"]),
    ],
)
def test_only_what_can_work_at_its_step_is_offered(step: str | None, done: list[str], commands: list[str]) -> None:
    steps = ["look_up", "preview", "refund", "confirm", "claim"]
    item = {"status": "needs_review", "id": "ID", "steps": steps, "done_steps": done, "next_step": step}

    offered = [command.replace("cfar ", "").replace("ID ", "").replace(" ID", "") for _, command in hints(item, [])]

    offered = [command.removesuffix(" [--evidence NAME=VALUE]") for command in offered]
    assert [command.removesuffix(" --note <why>") for command in offered] == commands


def test_a_closed_one_says_who_closed_it_and_why(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()
    gateway.post(f"/{found}/resolve", {"resolution": "close", "note": "settled by telephone"}, token=OPERATOR)

    said = shown(gateway, found)

    assert "Closed by operator:anna: settled by telephone" in said
    assert "Nobody can tell." in said
    assert "cfar re" not in said


def test_a_refund_that_is_asked_for_says_so(terminal: Terminal) -> None:
    asking = Gateway(terminal.gateway.database, refund_url="https://shop.example/refund")
    found = asking.accept_previewed(refund={"mode": "call"})

    said = shown(asking, found)

    assert "call: the caller's endpoint is asked to pay" in said
    assert "The refund endpoint was asked to pay and will report." in said


def test_a_reported_refund_is_shown_with_its_name(gateway: Gateway) -> None:
    said = shown(gateway, gateway.parked_at_confirm())

    assert "wait: 22.40 EUR as re_123, reported 20" in said


@pytest.mark.parametrize("width", [100, 160])
def test_no_line_is_wider_than_the_terminal_but_a_command(gateway: Gateway, width: int) -> None:
    found = gateway.parked_at_confirm(metadata={"note": "word " * 60})

    lines = [line for line in shown(gateway, found, width=width).splitlines() if "cfar " not in line]

    assert max(len(line) for line in lines) <= width


def test_what_others_wrote_cannot_steer_the_terminal(gateway: Gateway) -> None:
    found = gateway.accept(metadata={"note": "\x1b[2J[bold]x", "\x07": {"deep": "\x9b"}})
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(found), Step.LOOK_UP)
        assert held is not None
        cancellations.park(tx, held, "insurer-refused", "it said \x1b]0;owned\x07")

    said = shown(gateway, found)

    assert not any(char in said for char in "\x1b\x07\x9b")
    assert "[bold]x" in said


def test_times_of_the_same_second_can_be_told_apart() -> None:
    lines = told({**LINE, "at": "2026-01-02T03:04:05.001999Z"}, {**LINE, "at": "2026-01-02T03:04:05.002000Z"}, LINE,
                 {**LINE, "at": "2026-01-03T00:00:00.000000Z"})  # fmt: skip

    days = ("2026-01-02 UTC", "2026-01-03 UTC")
    assert [line.split(" postponed")[0] for line in lines] == [
        days[0], "03:04:05.001", "03:04:05.002", "03:04:05.678", days[1], "00:00:00.000",
    ]  # fmt: skip


def test_a_long_reason_stays_in_its_column() -> None:
    console = Console(width=100, highlight=False)
    with console.capture() as captured:
        display.show_events(console, [{**LINE, "reason": "word " * 50}])

    _, first, *rest = captured.get().splitlines()

    column = first.index("word")
    assert len(rest) >= 2
    assert all(line[:column].isspace() and line[column:].startswith("word") for line in rest)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, "call confirm unknown, answered 504, in doubt; sent 2 times, last at 03:05:06, key k-1"),
        ({"outcome": "done", "answer_status": 200, "is_doubtful": False, "attempts": 1},
         "call confirm done, answered 200; sent once, key k-1"),
        ({"outcome": "sent", "answer_status": None, "is_doubtful": False, "attempts": 1, "round": 3},
         "call confirm (round 3) sent; sent once, key k-1"),
    ],
)  # fmt: skip
def test_a_call_is_told_with_its_outcome_its_answer_and_its_attempts(change: dict[str, Any], line: str) -> None:
    assert told({**CALL, **change})[1:] == [f"03:04:05.678 {line}"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, "postponed confirm the insurer is away"),
        ({"event": "accepted", "from_status": None, "from_step": None, "reason": "accepted", "actor": "caller:shop"},
         "accepted by caller:shop"),
        ({"event": "step_done", "reason": "confirmed"}, "✓ confirm confirmed"),
        ({"event": "step_done", "to_status": "completed", "reason": "all"}, "✓ confirm → completed all"),
        ({"event": "needs_review", "to_status": "needs_review"}, "needs_review confirm the insurer is away"),
        ({"event": "refund_report_refused", "reason": "No.", "actor": "caller:shop", "from_step": None,
          "details": {"amount": "1.00", "currency": "EUR", "reference": "r"}},
         "refund_report_refused No.; 1.00 EUR as r (caller:shop)"),
        ({"event": "resolved", "from_status": "needs_review", "reason": "Why", "actor": "operator:anna",
          "details": {"resolution": "done", "evidence": {"a": "b", "c": [1]}, "was": {"detail": "x"}}},
         "resolved confirm → in_progress Why; evidence: a=b, c=[1] (operator:anna)"),
        ({"event": "needs_review", "to_status": "needs_review", "details": {"evidence": {"a": 1}}},
         "needs_review confirm the insurer is away"),
    ],
)  # fmt: skip
def test_a_transition_is_told_with_its_step_reason_and_actor(change: dict[str, Any], line: str) -> None:
    assert told({**LINE, **change}, width=160)[1:] == [f"03:04:05.678 {line}"]


def test_a_webhook_is_told_with_what_became_of_it() -> None:
    assert told(WEBHOOK, {**WEBHOOK, "verdict": "asked XClaim"})[1:] == [
        "03:04:05.678 webhook claim.updated Claim Paid: not handled yet",
        "03:04:05.678 webhook claim.updated Claim Paid: asked XClaim",
    ]


def test_a_refused_message_is_shown_with_the_fields_that_are_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    item = {
        "booking_id": "", "id": "ID", "status": "rejected", "journey": "cancel", "steps": [], "done_steps": [],
        "next_step": None, "quotes": [], "preview": None,
        "claim": {"reference": None, "status": None, "milestones": []},
        "refund": {"mode": "wait", "reported_at": None}, "next_attempt_at": None, "attempts": 0, "metadata": {},
        "idempotency_key": "k#refused-1", "created_at": AT, "completed_at": None,
        "problem": {"title": "The request is not valid", "detail": "Nothing was accepted; wrong or unknown: colour.",
                    "errors": [{"field": "colour", "problem": "Extra inputs are not permitted"}]},
    }  # fmt: skip

    display.show_one(display.terminal(), item)

    assert "colour: Extra inputs are not permitted" in capsys.readouterr().out


def test_an_immediate_cancel_that_is_completed_says_whom_to_pay_what(gateway: Gateway) -> None:
    item = gateway.get(f"/{gateway.accept_previewed()}").get_json()

    told = hints({**item, "journey": "cancel_now", "status": "completed"}, [])

    assert told == [("Refund the customer 22.40 EUR: nobody else does.", "")]
