"""Figures for a look at the whole service: what stands where, what is late, what came and ended hour by hour."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import TypeVar

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shared import callbacks, overview, webhook_events
from shared.db import now_plus
from shared.models import Cancellation, Transition
from tests.world import World

SKIP = {"mode": "skip"}
_Figure = TypeVar("_Figure")


def figure(world: World, ask: Callable[[Session], _Figure]) -> _Figure:
    with world.database.reading() as session:
        return ask(session)


def test_cancellations_are_counted_by_status_with_their_oldest(world: World) -> None:
    first = world.accept(world.booking(), refund=SKIP)
    world.accept(world.booking())
    world.drain()
    world.later(3600)
    world.accept(world.booking(), refund=SKIP)
    counted = figure(world, overview.by_status)
    assert {status: found.count for status, found in counted.items() if found.count} == {
        "completed": 1, "awaiting_refund": 1, "in_progress": 1
    }  # fmt: skip
    assert counted["completed"].oldest == world.row(first).created_at
    assert counted["rejected"].oldest is None
    assert not counted["completed"].is_capped


def test_what_is_beyond_the_cap_is_told_as_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "CAP", 2)
    rows = [world.row(world.accept("B-1-INS", refund=SKIP)) for _ in range(4)]
    found = figure(world, overview.by_status)["in_progress"]
    assert (found.count, found.is_capped, found.oldest) == (3, True, rows[0].created_at)
    assert figure(world, overview.overdue).is_capped


def test_what_is_due_is_late_and_what_waits_for_its_time_is_not(world: World) -> None:
    due, waiting = (world.accept("B-1-INS", refund=SKIP) for _ in range(2))
    with world.database.transaction() as tx:
        later = update(Cancellation).where(Cancellation.id == waiting).values(next_attempt_at=now_plus(600))
        tx.session.execute(later)
    found = figure(world, overview.overdue)
    assert (found.count, found.oldest) == (1, world.row(due).next_attempt_at)


def test_webhooks_and_callbacks_count_until_they_are_handled(world: World) -> None:
    assert (
        figure(world, overview.webhooks) == figure(world, overview.callbacks) == overview.Waiting(count=0, oldest=None)
    )
    row_id = world.accept("B-1-INS", refund=SKIP)
    with world.database.transaction() as tx:
        webhook_events.record(tx, b"{}", source="xclaim", token=None, key_id="first", headers={})
        row = tx.session.get_one(Cancellation, row_id)
        row.callback_url = "https://hooks.example.com/told"
        for number in range(2):  # only the next one of a cancellation waits for its time
            callbacks.record(tx, row, "cancellation.in_progress", status=f"{number}", next_step=None)
    found = [figure(world, overview.webhooks), figure(world, overview.callbacks)]
    assert [one.count for one in found] == [1, 1]
    assert all(one.oldest is not None for one in found)


def test_what_came_and_ended_is_told_hour_by_hour(world: World) -> None:
    faults = [{"on": "get_booking", "do": "error_before", "status": 503}]
    world.accept(world.booking(faults=faults), refund=SKIP)
    world.accept("AAAAA-AAAAA-INS", refund=SKIP)
    world.accept(world.booking(), refund=SKIP)
    world.settle()
    with world.database.transaction() as tx:
        first = world.all(Transition)[0].id
        tx.session.execute(update(Transition).where(Transition.id == first).values(at=now_plus(-3 * 3600)))

    hours = figure(world, overview.hourly)
    assert len(hours) == 24
    assert [later.begins - one.begins for one, later in pairwise(hours)] == [timedelta(hours=1)] * 23
    assert hours[-1].begins <= figure(world, lambda session: session.scalars(select(now_plus(0))).one())
    assert [hour.accepted for hour in hours if hour.accepted] == [1, 2]
    assert sum(hour.postponed for hour in hours) == 1
    ended: dict[str, int] = {}
    for hour in hours:
        for status, count in hour.by_status.items():
            ended[status] = ended.get(status, 0) + count
    assert ended == {"completed": 2, "rejected": 1}


def test_what_is_older_than_the_hours_asked_for_is_left_out(world: World) -> None:
    world.accept(world.booking(), refund=SKIP)
    world.drain()
    with world.database.transaction() as tx:
        tx.session.execute(update(Transition).values(at=now_plus(-7300)))
    hours = figure(world, lambda session: overview.hourly(session, hours=2))
    assert [(hour.accepted, dict(hour.by_status)) for hour in hours] == [(0, {})] * 2
