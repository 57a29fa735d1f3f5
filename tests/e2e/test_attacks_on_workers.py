"""Story: workers die and wake in the steps refund (call), cancel and await_premium_refund, and doors race with them."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from shared import webhook_events
from shared.lifecycle import TaskName
from tests.simulator import REFUND_SECRET, SimBooking
from tests.world import World, connections
from workers import cancel_booking, cancel_now

CALL = {"mode": "call"}
STORIES: dict[str, dict[str, Any]] = {
    "refund": {"refund": CALL},
    "cancel": {"journey": "cancel_now"},
    "await": {"journey": "claim_then_cancel", "refund": CALL},
}
CLIENT = {
    "refund": ("refunds_or_none", "ask"),
    "cancel": ("xcover", "cancel_now"),
    "await": ("xclaim_or_none", "get_claim"),
}
MOMENTS = ["before the request", "after the answer", "after the commit"]
MODULE: dict[str, Any] = {"refund": cancel_booking, "cancel": cancel_now}
SAYS = {
    "premium": {"event": "claim.status-update", "category": "Payment Processing", "label": "Premium Refund"},
    "paid": {"event": "claim.status-category-update", "category": "Payment Complete"},
    "closed": {"event": "claim.status-category-update", "category": "Declined"},
}


class Killed(BaseException):
    """A worker's death: nothing in the service catches it."""


@pytest.fixture(autouse=True)
def _partner(world: World) -> None:
    world.control.settings(duplicates="accept")
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)


def _die(*_args: Any, **_more: Any) -> None:
    raise Killed


def _nothing() -> None:
    return None


def _once(real: Callable[..., Any], *, before: Callable[[], None], after: Callable[[], None]) -> Callable[..., Any]:
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            return real(*args, **kwargs)
        before()
        answer = real(*args, **kwargs)
        after()
        return answer

    return wrapped


def _patch(
    at: pytest.MonkeyPatch, story: str, *, before: Callable[[], None] = _nothing, after: Callable[[], None] = _nothing
) -> None:
    owner, method = CLIENT[story]
    client = getattr(connections(), owner)
    at.setattr(client, method, _once(getattr(client, method), before=before, after=after))


def _arrive(world: World, row_id: UUID, what: str) -> None:
    """Let XClaim's claim become so, and its webhook be stored."""
    claim, said = world.claim(row_id), SAYS[what]
    world.control.send_event(str(claim.reference), **said, send=False)
    status = {name: said[name] for name in ("category", "name", "label") if name in said}
    raw = json.dumps({"event": said["event"], "payload": {"id": claim.claim_id, "status": status}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})


def _handle_webhooks(world: World) -> None:
    for message in [message for message in world.database.published if message[0] == TaskName.HANDLE_WEBHOOK]:
        world.database.published.remove(message)
        world.run(*message)


def _accepted(world: World, story: str, **spec: Any) -> tuple[SimBooking, UUID]:
    """Return one whose next message runs the step; in `await` the claim reports its Premium Refund."""
    booking = world.booking(claim_story=[], **spec)
    row_id = world.accept(booking, **STORIES[story])
    step = {"await": "await_premium_refund"}.get(story, story)
    while world.row(row_id).next_step != step:
        world.run(*world.database.published.pop(0))
    if story == "await":
        waiting = world.database.published[:]
        world.database.published.clear()
        _arrive(world, row_id, "premium")
        _handle_webhooks(world)
        world.database.published[:] = waiting
    return booking, row_id


def _ended_well(world: World, story: str, row_id: UUID) -> bool:
    row = world.row(row_id)
    unknown = (row.problem or {}).get("type") == "/problems/refund-unknown"
    return row.status == "completed" or (story == "cancel" and row.status == "needs_review" and unknown)


def _next_worker(world: World) -> None:
    world.later(9)
    world.sweep()
    world.settle()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_in_an_immediate_cancel_is_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    _dies_and_is_replaced(world, monkeypatch, "cancel", moment)


@pytest.mark.key_mode("honoured")  # what XCover does with keys decides nothing here
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("story", ["refund", "await"])
def test_a_worker_killed_in_a_step_is_replaced_and_nothing_is_done_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, story: str, moment: str
) -> None:
    _dies_and_is_replaced(world, monkeypatch, story, moment)


def _dies_and_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch, story: str, moment: str) -> None:
    booking, row_id = _accepted(world, story)
    with monkeypatch.context() as dying:
        match moment:
            case "before the request":
                _patch(dying, story, before=_die)
            case "after the answer":
                _patch(dying, story, after=_die)
            case _:
                dying.setattr(world.database, "_publish", _die)
        with suppress(Killed):
            world.drain()
        world.database.published.clear()

    world.later(11)  # a fresh message has ten seconds, a lease eight
    world.sweep()
    world.settle()

    assert _ended_well(world, story, row_id), world.row(row_id).problem
    assert len(world.effects("cancel" if story == "cancel" else "confirm", booking)) == 1
    assert len(world.effects("refund", booking)) == (0 if story == "cancel" else 1)


@pytest.mark.parametrize("when", ["before its request", "after its answer"])
def test_a_worker_that_wakes_past_its_lease_in_an_immediate_cancel_sends_and_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    _wakes_too_late(world, monkeypatch, "cancel", when)


@pytest.mark.key_mode("honoured")
@pytest.mark.parametrize(
    ("story", "when"),
    [("refund", "before its request"), ("refund", "after its answer"), ("await", "after its answer")],
)
def test_a_worker_that_wakes_past_its_lease_sends_and_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, story: str, when: str
) -> None:
    _wakes_too_late(world, monkeypatch, story, when)


def _wakes_too_late(world: World, monkeypatch: pytest.MonkeyPatch, story: str, when: str) -> None:
    booking, row_id = _accepted(world, story)
    seen: list[tuple[int, str, int]] = []

    def state() -> tuple[int, str, int]:
        return len(world.timeline(row_id)), world.row(row_id).status, len(world.control.requests())

    def someone_else_takes_over() -> None:
        _next_worker(world)
        seen.append(state())

    if when == "after its answer":
        _patch(monkeypatch, story, after=someone_else_takes_over)
    else:
        module = MODULE[story]
        fence = _once(module.stop_if_lost, before=someone_else_takes_over, after=_nothing)
        monkeypatch.setattr(module, "stop_if_lost", fence)
    world.drain()

    assert seen == [state()]
    assert _ended_well(world, story, row_id), world.row(row_id).problem
    assert len(world.effects("cancel" if story == "cancel" else "confirm", booking)) == 1
    assert len(world.effects("refund", booking)) == (0 if story == "cancel" else 1)


@pytest.mark.key_mode("honoured")
@pytest.mark.parametrize("amount", ["22.40", "22.41"])
@pytest.mark.parametrize("answer", ["paid", "accepted", "refuse", "act_then_drop", "drop_before", "before its request"])
def test_a_report_that_comes_while_the_partner_is_being_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: str, amount: str
) -> None:
    faults = [{"on": "refund", "do": answer}] if answer in {"refuse", "act_then_drop", "drop_before"} else []
    spec: dict[str, Any] = {"refund_answer": answer} if answer in {"paid", "accepted"} else {}
    _, row_id = _accepted(world, "refund", faults=faults, **spec)

    def report() -> None:
        world.report_refund(row_id, amount, "EUR")

    if answer == "before its request":
        fence = _once(MODULE["refund"].stop_if_lost, before=report, after=_nothing)
        monkeypatch.setattr(MODULE["refund"], "stop_if_lost", fence)
    else:
        _patch(monkeypatch, "refund", before=report)
    world.drain()
    world.settle()

    row, requests = world.row(row_id), world.control.requests(operation="refund")
    assert len({request["key"] for request in requests}) <= 1
    if amount == "22.40":
        assert (row.status, row.refund_reference) == ("completed", "re_1")
        assert len(requests) == (0 if answer == "before its request" else 1)
    else:
        assert row.refund_reference != "re_1"
        assert any(line.event == "refund_report_refused" for line in world.timeline(row_id))
        assert row.status == {"accepted": "awaiting_refund", "refuse": "needs_review"}.get(answer, "completed")


@pytest.mark.parametrize("behind", [360, -360])
@pytest.mark.parametrize("fault", ["act_then_drop", "drop_before"])
def test_an_immediate_cancel_is_judged_right_by_an_insurer_whose_clock_is_six_minutes_off(
    world: World, behind: int, fault: str
) -> None:
    world.control.settings(clock_offset_seconds=-behind)
    booking = world.booking(faults=[{"on": "cancel", "do": fault}, {"on": "cancel", "do": "refuse", "status": 409}])
    row_id = world.accept(booking, journey="cancel_now")
    world.settle()

    assert _ended_well(world, "cancel", row_id), world.row(row_id).problem
    assert len(world.effects("cancel", booking)) == 1
