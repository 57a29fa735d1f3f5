"""The sweeper tells a message that waits from one that is lost by what stands in the real queue."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import redis
from celery import Celery

from shared import broker, cancellations, clock, webhook_events
from shared.broker import BULK_QUEUE, STEPS_QUEUE, WEBHOOKS_QUEUE
from shared.lifecycle import Step, TaskName
from shared.transitions import MESSAGE_PATIENCE
from tests.integration.test_sweeper import change, waiting_rows
from tests.world import World
from workers import queues
from workers.app import app
from workers.queues import oldest_row_ids

BOOKING = "8WD8Y-LTEKE-INS"
STEPS = (STEPS_QUEUE, BULK_QUEUE)
QUEUES = (*STEPS, WEBHOOKS_QUEUE)


@pytest.fixture
def queue(broker: str) -> Iterator[redis.Redis]:
    """The broker as a worker meets it, with no message left by others."""
    with redis.Redis.from_url(broker) as server:
        server.delete(*QUEUES)
        yield server
        server.delete(*QUEUES)


def send(world: World) -> int:
    """Let the messages that were published stand in the real queue; return how many."""
    sent = len(world.database.published)
    assert broker.publish(app, world.database.published)
    world.database.published.clear()
    return sent


def accept(world: World, number: int = 1) -> list[UUID]:
    """Accept cancellations and let their messages wait."""
    ids = [world.accept(BOOKING) for _ in range(number)]
    send(world)
    return ids


def rung(world: World) -> set[UUID]:
    """Sweep once and return the rows that were rung for."""
    world.sweep()
    found = {row_id for _, row_id in world.database.published}
    send(world)
    return found


def work_off(world: World, queue: redis.Redis, number: int) -> int:
    """Take the oldest messages and finish their steps, as a worker does; return how many steps that were."""
    finished = 0
    for _ in range(number):
        name, row_id = next(((name, ids[-1]) for name in STEPS if (ids := oldest_row_ids(name))), ("", None))
        if row_id is None:
            break
        queue.rpop(name)
        step = Step(world.row(row_id).next_step or Step.LOOK_UP)
        with world.database.transaction() as tx:
            held = cancellations.begin_step(tx, row_id, step)
            if held is not None:
                cancellations.finish_step(tx, held, step, "done")
                finished += 1
    return finished


def test_a_row_whose_message_still_waits_is_not_rung_for_however_long_that_takes(
    world: World, queue: redis.Redis
) -> None:
    accept(world, 3)

    for wait in (MESSAGE_PATIENCE + 1, 600, 36_000):
        world.later(wait)
        assert rung(world) == set(), wait


def test_a_row_whose_message_has_left_the_queue_is_rung_for_although_later_ones_wait(
    world: World, queue: redis.Redis
) -> None:
    (lost,) = accept(world)
    queue.rpop(BULK_QUEUE)
    world.later(MESSAGE_PATIENCE)
    waiting = accept(world, 5)
    world.later(MESSAGE_PATIENCE + 1)

    assert rung(world) == {lost}
    world.later(3600)
    assert rung(world) == set()
    assert set(oldest_row_ids(BULK_QUEUE)) == {lost, *waiting}


def test_rows_that_are_due_again_are_rung_for_while_others_wait(world: World, queue: redis.Redis) -> None:
    postponed, crashed, *_ = accept(world, 4)
    for _ in range(2):
        queue.rpop(BULK_QUEUE)
    with world.database.transaction() as tx:
        held = cancellations.begin_step(tx, postponed, Step.LOOK_UP)
        assert held is not None
        cancellations.postpone(tx, held, "later", seconds=30)
    with world.database.transaction() as tx:
        assert cancellations.begin_step(tx, crashed, Step.LOOK_UP) is not None

    world.later(9)
    assert rung(world) == {crashed}
    world.later(22)
    assert rung(world) == {postponed}


def test_after_a_flush_every_due_row_is_rung_for_at_the_next_look(world: World, queue: redis.Redis) -> None:
    ids = accept(world, 20)
    world.later(MESSAGE_PATIENCE + 1)
    assert rung(world) == set()

    queue.delete(BULK_QUEUE)

    assert rung(world) == set(ids)


def test_a_lost_repeat_is_rung_for_again(world: World, queue: redis.Redis) -> None:
    (row_id,) = accept(world)
    for wait in (10.5, 10.5, 10.5, 10.5):
        queue.delete(BULK_QUEUE)
        world.later(wait)
        assert rung(world) == {row_id}, wait
        world.later(0.1)
        assert rung(world) == set()


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"body": 1}', b'{"body": "W10=", "properties": {}}', b"\xff"])
def test_a_message_that_is_not_ours_tells_nothing(world: World, queue: redis.Redis, junk: bytes) -> None:
    queue.rpush(BULK_QUEUE, junk)
    row_id = world.accept(BOOKING)
    world.database.published.clear()
    world.later(MESSAGE_PATIENCE + 1)

    assert rung(world) == {row_id}


def test_messages_of_rows_that_have_moved_on_tell_nothing(world: World, queue: redis.Redis) -> None:
    done, lost = accept(world, 2)
    queue.delete(BULK_QUEUE)
    broker.publish(app, [(TaskName.LOOK_UP, done)] * 3)
    change(world, done, status="completed", next_attempt_at=None, ring_after=None, next_step=None)
    world.later(MESSAGE_PATIENCE + 1)

    assert rung(world) == {lost}


def test_a_webhook_whose_message_still_waits_is_not_rung_for(world: World, queue: redis.Redis) -> None:
    def arrive() -> UUID:
        with world.database.transaction() as tx:
            stored, _ = webhook_events.record(tx, b"{}", source="xclaim", token=None, key_id="first", headers={})
        send(world)
        return stored

    lost = arrive()
    queue.rpop("webhooks")
    world.later(MESSAGE_PATIENCE)
    arrive()
    world.later(3600)

    assert rung(world) == {lost}
    world.later(3600)
    assert rung(world) == set()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_many_waiting_jobs_and_one_slow_worker_make_no_flood(world: World, queue: redis.Redis) -> None:
    """One step in five seconds for 100 jobs of two steps: the last message waits for eight minutes."""
    rows = waiting_rows(world, 100, steps=["look_up", "preview"])
    broker.publish(app, [(TaskName.LOOK_UP, row_id) for row_id in rows])
    messages, finished, seconds = len(rows), 0, 0

    while finished < 2 * len(rows):
        seconds += 25
        with clock.travel(timedelta(seconds=seconds)):
            finished += work_off(world, queue, 5)
            messages += send(world)
            world.sweep()
            messages += send(world)
        assert seconds < 20 * len(rows), "the jobs do not end"

    assert messages == 2 * len(rows)
    assert [queue.llen(name) for name in STEPS] == [0, 0]


@pytest.mark.timeout(30)  # bounds a hang: kombu alone waits six seconds each time
def test_a_broker_that_is_away_when_a_process_first_looks_holds_it_up_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Celery("away", broker="redis://127.0.0.1:1/0") as nobody:
        monkeypatch.setattr(queues, "app", nobody)

        assert [oldest_row_ids(name) for name in broker.QUEUES] == [[]] * len(broker.QUEUES)
        assert queues.is_empty(STEPS_QUEUE)
