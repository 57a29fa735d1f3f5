"""A batch is carried to its end like cancellations that are sent one by one."""

import pytest

from shared import batches
from shared.bulk_intake import Line
from shared.cancellation_request import parse
from tests.simulator import PARTNER_CODE, SimBooking
from tests.world import World

pytestmark = pytest.mark.key_mode("honoured")


def hand_over(world: World, bookings: list[SimBooking], *, caller: str = "shop") -> None:
    """Open a batch of a cancellation for each booking, as the gateway does."""
    sent = [{"booking_id": booking.id, "refund": {"mode": "skip"}} for booking in bookings]
    lines = {
        place: Line(key=f"ticket-{place}", sent=body, request=parse(body, settings=world.settings))
        for place, body in enumerate(sent)
    }
    with world.database.transaction() as tx:
        batch, _ = batches.open_batch(
            tx, sent={}, name="show", expected=None, caller=caller, partner=PARTNER_CODE, key="batch-1"
        )
        batches.add(tx, batch.id, lines, actor=f"caller:{caller}")


def test_every_cancellation_of_a_batch_is_completed_once(world: World) -> None:
    bookings = [world.booking() for _ in range(5)]
    hand_over(world, bookings)
    assert world.database.published == []

    world.sweep()
    world.settle()

    assert {row.status for row in world.rows()} == {"completed"}
    assert [len(world.effects("confirm", booking)) for booking in bookings] == [1] * 5


def test_what_is_held_is_not_begun_until_it_is_resumed(world: World) -> None:
    hand_over(world, [world.booking() for _ in range(3)])
    batch_id = world.rows()[0].batch_id
    assert batch_id is not None
    batches.pause(world.database, batch_id)

    world.later(3600)
    world.sweep()
    world.drain()
    assert {(row.next_step, row.lease) for row in world.rows()} == {("look_up", 0)}

    batches.resume(world.database, batch_id)
    world.sweep()
    world.settle()
    assert {row.status for row in world.rows()} == {"completed"}
