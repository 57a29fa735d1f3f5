"""Who is served first while the insurer's rate limit lets only some begin."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from shared import caller_actions, cancellations, turns
from shared.batch_models import Batch
from shared.clock import utc_now
from shared.lifecycle import Step, TaskName
from shared.models import Cancellation
from shared.rate_limit import TurnTooLate
from shared.transitions import MESSAGE_PATIENCE
from tests.embedded import EmbeddedRedis
from tests.simulator import PARTNER_CODE
from tests.world import World, connections
from workers import queues, turn_taking
from workers.app import app

BOOKING = "8WD8Y-LTEKE-INS"


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test knows of another's empty line."""
    monkeypatch.setattr(turn_taking, "_nobody_until", {})


def change(world: World, row_id: UUID, **values: Any) -> UUID:
    with world.database.transaction() as tx:
        tx.session.execute(update(Cancellation).where(Cancellation.id == row_id).values(**values))
    return row_id


def accepted(world: World, *, booking: str = BOOKING, **values: Any) -> UUID:
    """Accept a cancellation whose message nobody has seen."""
    row_id = world.accept(booking, refund={"mode": "skip"})
    world.database.published.clear()
    return change(world, row_id, **values) if values else row_id


def previewed(world: World, seconds: float) -> UUID:
    """One that waits to be confirmed within so many seconds."""
    deadline = utc_now() + timedelta(seconds=seconds)
    return accepted(
        world, next_step="confirm", done_steps=["look_up", "preview", "refund"], preview_expires_at=deadline
    )


def in_bulk(world: World, count: int, *, caller: str, booking: str = BOOKING) -> list[UUID]:
    """Cancellations of a batch, as they are handed over: with a place and without a message."""
    with world.database.transaction() as tx:
        batch = Batch(partner=PARTNER_CODE, caller=caller, idempotency_key=str(uuid4()), fingerprint="", name="show")
        tx.session.add(batch)
        tx.session.flush()
        places = turns.bulk_places(tx, partner=PARTNER_CODE, caller=caller, count=count)
    place = {"batch_id": batch.id, "turn_class": turns.BULK, "ring_after": None, "caller": caller}
    return [accepted(world, booking=booking, **place, turn=turn) for turn in places]


def give_back(world: World, *row_ids: UUID) -> None:
    for row_id in row_ids:
        with world.database.transaction() as tx:
            turns.give_back(tx, row_id)


def served(world: World, count: int = 100) -> list[UUID]:
    with world.database.transaction() as tx:
        return [row_id for row_id, _ in turns.front_of_line(tx, partner=PARTNER_CODE, count=count).to_ring]


def refuse_all(monkeypatch: pytest.MonkeyPatch, *, seconds: float = 9.0) -> None:
    def refuse(*, within: float) -> None:
        raise TurnTooLate(seconds)

    monkeypatch.setattr(connections().limit, "reserve", refuse)


def test_deadlines_come_first_then_single_ones_then_batches(world: World) -> None:
    bulk = in_bulk(world, 2, caller="shop")
    first, second = accepted(world, created_at=utc_now() - timedelta(seconds=60)), accepted(world)
    late, soon = previewed(world, 7200), previewed(world, 3600)
    without_deadline = accepted(world, next_step="cancel", done_steps=["look_up"])
    give_back(world, late, second, without_deadline, soon, first)

    everyone = served(world)
    # Of one second, so in either order.
    assert everyone == [soon, late, without_deadline, first, second, *bulk]


def test_a_callers_large_batch_does_not_keep_anothers_small_one_waiting(world: World) -> None:
    large = in_bulk(world, 20, caller="shop")
    assert served(world, 5) == large[:5]
    for row_id in large[:5]:
        change(world, row_id, turn_class=None, turn=None)
    small = in_bulk(world, 3, caller="other")

    begun = served(world, 8)
    assert set(small) <= set(begun)
    assert begun == [row_id for row_id in begun if row_id in {*large, *small}]


def test_a_batch_that_is_held_is_never_served(world: World) -> None:
    held = in_bulk(world, 2, caller="shop")
    for row_id in held:
        change(world, row_id, turn_class=turns.HELD)
    world.later(3600)
    world.sweep()

    assert served(world) == []
    assert world.database.published == []
    give_back(world, *held)
    assert {world.row(row_id).turn_class for row_id in held} == {turns.HELD}


def test_each_is_rung_for_once_and_again_when_that_was_lost(world: World) -> None:
    (row_id,) = in_bulk(world, 1, caller="shop")

    assert served(world) == [row_id]
    assert served(world) == []
    world.later(MESSAGE_PATIENCE + 1)
    assert served(world) == [row_id]


def test_one_that_is_in_hand_or_not_due_is_not_served(world: World) -> None:
    in_hand, later = in_bulk(world, 2, caller="shop")
    change(world, in_hand, lease_until=utc_now() + timedelta(seconds=8))
    change(world, later, next_attempt_at=utc_now() + timedelta(seconds=60))

    assert served(world) == []


def test_whatever_begins_or_ends_waits_for_no_turn_any_more(world: World) -> None:
    begun, ended = in_bulk(world, 2, caller="shop")
    with world.database.transaction() as tx:
        assert cancellations.begin_step(tx, begun, Step.LOOK_UP) is not None
    with world.database.transaction() as tx:
        caller_actions.abort(tx, ended, actor="caller:shop")

    assert [world.row(row_id).turn_class for row_id in (begun, ended)] == [None, None]


def test_a_step_that_gets_no_turn_takes_nothing_and_leaves_no_trace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_id = accepted(world)
    refuse_all(monkeypatch)
    world.run(TaskName.LOOK_UP, row_id)

    row = world.row(row_id)
    assert (row.turn_class, row.lease, row.tries, row.lease_until) == (turns.SINGLE, 0, 0, None)
    assert [line.event for line in world.timeline(row_id)] == ["accepted"]
    assert world.database.published == []


def test_a_step_that_had_its_turn_rings_for_the_next_in_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = in_bulk(world, 2, caller="shop")
    other = accepted(world)
    world.run(TaskName.LOOK_UP, other)

    assert [row_id for task, row_id in world.database.published if task is TaskName.LOOK_UP] == [first, second]


def test_a_new_one_gives_way_while_others_that_have_begun_wait_for_a_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedRedis() as own:
        world.configure(xcover_rate_limit=5, redis_url=own.url)
        new, begun = accepted(world), accepted(world, booking=world.booking().id)
        world.run(TaskName.LOOK_UP, begun)
        connections().limit.reserve(within=2)
        for are_waiting in (True, False):
            monkeypatch.setattr(queues, "is_empty", lambda _queue, are_waiting=are_waiting: not are_waiting)
            world.run(TaskName.LOOK_UP, new)
            assert (world.row(new).next_step == "look_up") is are_waiting
            if are_waiting:
                world.run(TaskName.PREVIEW, begun)

    assert world.row(begun).next_step == "refund"


def test_a_message_that_waits_for_a_worker_is_seen(broker: str) -> None:
    queue = f"of-this-test-{uuid4()}"
    with app.pool.acquire(block=True) as connection:
        redis = connection.default_channel.client
        assert queues.is_empty(queue)
        redis.lpush(queue, "a message")
        assert not queues.is_empty(queue)
        redis.delete(queue)


def test_the_sweeper_rings_for_the_first_in_line_and_for_none_of_the_rest(world: World) -> None:
    rows = in_bulk(world, 40, caller="shop")
    world.configure(xcover_rate_limit=20)
    world.later(MESSAGE_PATIENCE + 1)
    world.sweep()

    rung = [row_id for _, row_id in world.database.published]
    assert rung == rows[: len(rung)]
    assert 1 <= len(rung) <= 6


def test_what_waits_in_the_line_of_a_partner_that_is_configured_no_more_is_rung_for_all_the_same(world: World) -> None:
    (left,), (held,) = in_bulk(world, 1, caller="shop"), in_bulk(world, 1, caller="shop")
    change(world, left, partner="FORMER")
    change(world, held, partner="FORMER", turn_class=turns.HELD)
    world.sweep()

    assert [row_id for _, row_id in world.database.published] == [left]


def test_a_bulk_of_cancellations_is_carried_to_its_end_by_one_ring_after_the_other(world: World) -> None:
    rows = []
    for number in range(12):
        rows += in_bulk(world, 1, caller=f"shop-{number % 3}", booking=world.booking().id)
    world.sweep()
    world.drain()

    assert {world.row(row_id).status for row_id in rows} == {"completed"}


def test_what_the_insurer_answers_with_429_stops_everything_for_as_long_as_it_says(world: World) -> None:
    with EmbeddedRedis() as own:  # what rests there rests for everybody
        world.configure(xcover_rate_limit=1000, redis_url=own.url)
        world.control.settings(rate_limit=1, retry_after=30)
        rows = [accepted(world, booking=world.booking().id) for _ in range(2)]
        for row_id in rows:
            world.run(TaskName.LOOK_UP, row_id)
        with pytest.raises(TurnTooLate) as refused:
            connections().limit.reserve(within=1)

    assert 20 < refused.value.seconds <= 30
    assert sorted(world.row(row_id).next_step or "" for row_id in rows) == ["look_up", "preview"]
    assert {world.row(row_id).tries for row_id in rows} == {0}


def test_one_that_was_answered_429_rings_for_the_next_when_the_insurer_may_be_asked_again(world: World) -> None:
    with EmbeddedRedis() as own:
        world.configure(xcover_rate_limit=1000, redis_url=own.url)
        world.control.settings(rate_limit=1, retry_after=1)
        begun, turned_away = accepted(world, booking=world.booking().id), accepted(world)
        in_line = in_bulk(world, 1, caller="shop")
        world.run(TaskName.LOOK_UP, begun)
        world.database.published.clear()
        change(world, in_line[0], ring_after=None)
        world.run(TaskName.LOOK_UP, turned_away)
        connections().limit.reserve(within=0.1)

    assert world.row(turned_away).next_step == "look_up"
    assert [row_id for _, row_id in world.database.published] == in_line
