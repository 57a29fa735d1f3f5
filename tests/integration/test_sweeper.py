"""The sweeper rings for what is due and lost, and never makes a flood."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, update

from shared import cancellations, webhook_events
from shared.cancellations import LEASE_SECONDS
from shared.clock import utc_now
from shared.columns import new_id
from shared.lifecycle import TASK_OF, Step, TaskName
from shared.models import Cancellation
from shared.transitions import MESSAGE_PATIENCE
from tests.world import World
from workers import sweep

ENDED = {"next_attempt_at": None, "ring_after": None}


def waiting_rows(world: World, number: int, **changes: Any) -> list[UUID]:
    """Store many cancellations that are due for their look-up and were just rung for, oldest first."""
    now = utc_now()
    rows = [
        {
            "id": new_id(), "partner": "ABCDE", "caller": "shop", "idempotency_key": f"key-{count}",
            "fingerprint": "", "booking_id": "8WD8Y-LTEKE-INS", "journey": "cancel", "request": {}, "metadata_": {},
            "status": "in_progress", "steps": ["look_up"], "done_steps": [], "next_step": "look_up", "quotes": [],
            "refund_mode": "wait", "next_attempt_at": now + timedelta(milliseconds=count),
            "ring_after": now + timedelta(seconds=MESSAGE_PATIENCE), **changes,
        }
        for count in range(number)
    ]  # fmt: skip
    with world.database.transaction() as tx:
        tx.session.execute(insert(Cancellation), rows)
    return [row["id"] for row in rows]


def change(world: World, row_id: UUID, **values: Any) -> None:
    """Bring a row to where a test needs it."""
    with world.database.transaction() as tx:
        tx.session.execute(update(Cancellation).where(Cancellation.id == row_id).values(**values))


def begin(world: World, row_id: UUID) -> Cancellation:
    """Take a row in hand, as a worker does."""
    with world.database.transaction() as tx:
        held = cancellations.begin_step(tx, row_id, Step.LOOK_UP)
    assert held is not None
    return held


def delivery(world: World, raw: bytes = b"{}") -> UUID:
    """Store a verified webhook, as the gateway does; its message is lost."""
    with world.database.transaction() as tx:
        stored, _ = webhook_events.record(tx, raw, source="xclaim", token=None, key_id="first", headers={})
    world.database.published.clear()
    return stored


def lost_message(world: World) -> UUID:
    """Accept a cancellation whose message is lost."""
    row_id = world.accept("8WD8Y-LTEKE-INS")
    world.database.published.clear()
    return row_id


def rung(world: World) -> list[tuple[TaskName, UUID]]:
    """Sweep once and return what was rung."""
    world.database.published.clear()
    world.sweep()
    return list(world.database.published)


def test_a_lost_message_is_rung_for_after_its_patience_and_not_before(world: World) -> None:
    row_id = lost_message(world)

    assert rung(world) == []
    world.later(MESSAGE_PATIENCE - 1)
    assert rung(world) == []
    world.later(1.5)
    assert rung(world) == [(TaskName.LOOK_UP, row_id)]
    assert rung(world) == []


def test_a_ring_that_was_lost_too_is_repeated_after_its_patience(world: World) -> None:
    row_id = lost_message(world)
    world.later(MESSAGE_PATIENCE + 0.5)
    assert rung(world) == [(TaskName.LOOK_UP, row_id)]

    for wait in (10, 10, 10, 10):
        world.later(wait - 1)
        assert rung(world) == [], wait
        world.later(1.5)
        assert rung(world) == [(TaskName.LOOK_UP, row_id)], wait


def test_a_step_that_was_begun_is_rung_for_without_delay_when_it_is_due_again(world: World) -> None:
    row_id = lost_message(world)
    for wait in (10.5, 10.5, 10.5):
        world.later(wait)
        rung(world)
    held = begin(world, row_id)
    with world.database.transaction() as tx:
        cancellations.postpone(tx, held, "later", seconds=30)

    world.later(29)
    assert rung(world) == []
    world.later(1.5)
    assert rung(world) == [(TaskName.LOOK_UP, row_id)]


def test_an_expired_lease_is_rung_for_at_once_and_a_live_one_is_not(world: World) -> None:
    row_id = lost_message(world)
    begin(world, row_id)

    world.later(LEASE_SECONDS - 1)
    assert rung(world) == []
    world.later(1.5)
    assert rung(world) == [(TaskName.LOOK_UP, row_id)]


def test_a_renewed_lease_is_not_rung_for(world: World) -> None:
    row_id = lost_message(world)
    held = begin(world, row_id)
    world.later(LEASE_SECONDS - 1)
    with world.database.transaction() as tx:
        cancellations.renew_lease(tx, held)

    world.later(LEASE_SECONDS - 1)

    assert rung(world) == []


@pytest.mark.parametrize("step", Step)
def test_the_step_that_is_next_is_rung_for(world: World, step: Step) -> None:
    row_id = lost_message(world)
    change(world, row_id, next_step=step.value)
    world.later(MESSAGE_PATIENCE + 1)

    assert rung(world) == [(TASK_OF[step], row_id)]


def test_a_wait_for_a_refund_is_rung_for_when_its_offer_is_to_be_renewed(world: World) -> None:
    row_id = lost_message(world)
    held = begin(world, row_id)
    with world.database.transaction() as tx:
        cancellations.await_refund(tx, held, "waits", seconds=3600)
    change(world, row_id, next_step="refund")

    world.later(3599)
    assert rung(world) == []
    world.later(2)
    assert rung(world) == [(TaskName.REFUND, row_id)]


@pytest.mark.parametrize("status", ["completed", "rejected", "aborted", "needs_review"])
def test_what_has_ended_or_waits_for_a_person_is_never_rung_for(world: World, status: str) -> None:
    row_id = lost_message(world)
    change(world, row_id, status=status, **ENDED)

    world.later(10**6)

    assert rung(world) == []


def test_two_sweeps_at_once_ring_a_row_once(world: World) -> None:
    rows = waiting_rows(world, 300)
    world.later(MESSAGE_PATIENCE + 1)
    barrier = Barrier(4)

    def one(_number: int) -> None:
        barrier.wait()
        world.sweep()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(4)))

    assert Counter(row_id for _, row_id in world.database.published) == dict.fromkeys(rows, 1)


def test_a_sweep_rings_the_longest_due_first_and_leaves_the_rest_to_the_next(world: World) -> None:
    rows = waiting_rows(world, sweep.AT_ONCE + 20)
    world.later(MESSAGE_PATIENCE + 1)

    assert {row_id for _, row_id in rung(world)} == set(rows[: sweep.AT_ONCE])
    assert {row_id for _, row_id in rung(world)} == set(rows[sweep.AT_ONCE :])


def test_a_webhook_whose_message_is_lost_is_rung_for_after_its_patience(world: World) -> None:
    stored = delivery(world)

    assert rung(world) == []
    world.later(MESSAGE_PATIENCE + 0.5)
    assert rung(world) == [(TaskName.HANDLE_WEBHOOK, stored)]
    world.later(MESSAGE_PATIENCE - 1)
    assert rung(world) == []
    world.later(1.5)
    assert rung(world) == [(TaskName.HANDLE_WEBHOOK, stored)]
    world.later(MESSAGE_PATIENCE - 1)
    assert rung(world) == []


def test_every_delivery_of_the_same_body_is_rung_for(world: World) -> None:
    both = {delivery(world), delivery(world)}
    world.later(MESSAGE_PATIENCE + 1)

    assert {row_id for _, row_id in rung(world)} == both


def test_a_webhook_in_hand_is_rung_for_when_its_lease_has_run_out(world: World) -> None:
    stored = delivery(world)
    with world.database.transaction() as tx:
        webhook_events.begin_handling(tx, stored)

    world.later(LEASE_SECONDS - 1)
    assert rung(world) == []
    world.later(1.5)
    assert rung(world) == [(TaskName.HANDLE_WEBHOOK, stored)]


def test_a_postponed_webhook_is_rung_for_when_it_is_due(world: World) -> None:
    stored = delivery(world)
    with world.database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, stored)
        assert taken is not None
        webhook_events.postpone(tx, taken[0], "not yet", seconds=60)

    world.later(59)
    assert rung(world) == []
    world.later(1.5)
    assert rung(world) == [(TaskName.HANDLE_WEBHOOK, stored)]


def test_a_handled_webhook_is_never_rung_for(world: World) -> None:
    stored = delivery(world)
    with world.database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, stored)
        assert taken is not None
        webhook_events.mark_handled(tx, taken[0], "done", outcome="unchanged")

    world.later(10**6)

    assert rung(world) == []
