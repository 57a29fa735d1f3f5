"""Story: a worker dies, or sleeps past its lease, at any point of any step. Another goes on; nothing is done twice."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.lifecycle import Step, TaskName
from tests.world import World, connections

SKIP = {"mode": "skip"}
CALLS = {
    Step.LOOK_UP: ("xcover", "get_booking"),
    Step.PREVIEW: ("xcover", "preview"),
    Step.CONFIRM: ("xcover", "confirm"),
    Step.CLAIM: ("xclaim_or_none", "create_claim"),
}


class Killed(BaseException):
    """A worker's death: nothing in the service catches it, so no third beat is written and no message leaves."""


def _once(real: Callable[..., Any], *, before: Callable[[], None], after: Callable[[], None]) -> Callable[..., Any]:
    """Wrap a client's method: on its first call, do something before or after it reaches the insurer."""
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


def _die() -> None:
    raise Killed


def _nothing() -> None:
    return None


def _run_dying(world: World) -> None:
    while world.database.published:
        try:
            world.run(*world.database.published.pop(0))
        except Killed:
            return
    raise AssertionError("nobody died")


@pytest.mark.parametrize("moment", ["before the request", "after the answer"])
@pytest.mark.parametrize("step", list(CALLS))
def test_a_worker_killed_around_its_call_is_replaced_and_nothing_is_done_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, step: Step, moment: str
) -> None:
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 50}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    owner, method = CALLS[step]
    client = getattr(connections(), owner)
    before, after = (_die, _nothing) if moment == "before the request" else (_nothing, _die)
    monkeypatch.setattr(client, method, _once(getattr(client, method), before=before, after=after))

    _run_dying(world)
    assert world.row(row_id).next_step == step

    world.later(9)
    world.sweep()
    world.settle()

    assert world.row(row_id).status == "completed", world.row(row_id).problem
    assert len(world.effects("confirm", booking)) == 1
    assert len(world.effects("claim", booking)) == 1


@pytest.mark.parametrize("step", list(CALLS))
def test_a_worker_that_wakes_past_its_lease_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    booking = world.booking(policies=[{"price": 50}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    owner, method = CALLS[step]
    client = getattr(connections(), owner)
    seen: list[tuple[int, str]] = []

    def someone_else_takes_over() -> None:
        world.later(9)
        world.sweep()
        world.settle()
        row = world.row(row_id)
        seen.append((len(world.timeline(row_id)), row.status))

    monkeypatch.setattr(client, method, _once(getattr(client, method), before=_nothing, after=someone_else_takes_over))
    world.drain()

    assert seen == [(len(world.timeline(row_id)), "completed")]
    assert len(world.effects("confirm", booking)) == 1
    assert len(world.effects("claim", booking)) == 1


def test_every_message_lost_is_rung_for_again(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    for _ in range(12):
        world.database.published.clear()
        world.later(11)
        world.sweep()
        if world.database.published:
            world.run(*world.database.published.pop(0))

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_every_message_sent_twice_does_nothing_twice(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    while world.database.published:
        message = world.database.published.pop(0)
        world.run(*message)
        world.run(*message)

    assert world.row(row_id).status == "completed"
    assert world.control.summary(booking.id)["previews"] == 1
    assert len(world.effects("confirm", booking)) == 1
    assert len(world.effects("claim", booking)) == 1


@pytest.mark.parametrize(
    "task", [TaskName.LOOK_UP, TaskName.PREVIEW, TaskName.REFUND, TaskName.CONFIRM, TaskName.CLAIM]
)
def test_a_message_for_a_step_that_is_not_due_does_nothing(world: World, task: TaskName) -> None:
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()
    before = world.row(row_id)

    world.run(task, row_id)

    after = world.row(row_id)
    assert (after.lease, after.status, after.next_step) == (before.lease, before.status, before.next_step)


def test_an_error_nobody_foresaw_is_tried_again_and_then_shown_to_a_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking()
    row_id = world.accept(booking)

    def broken(*_args: Any, **_more: Any) -> None:
        raise ZeroDivisionError("a customer's name")

    monkeypatch.setattr(connections().xcover, "get_booking", broken)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            world.drain()
        world.later(400)
        world.sweep()

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("internal-error")
    assert "customer" not in str(row.problem)
