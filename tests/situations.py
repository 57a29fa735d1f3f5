"""Cancellations brought to where they wait for something, each by the steps themselves: one function a situation."""

from typing import Any
from uuid import UUID

from sqlalchemy import update

from shared import batches, caller_actions, cancellations, pauses, turns
from shared.batch_models import Batch
from shared.lifecycle import Step
from shared.models import Cancellation
from tests.simulator import PARTNER_CODE, REFUND_SECRET
from tests.world import World
from workers import presence

SKIP = {"mode": "skip"}
DAY = 86_400.0


def change(world: World, row_id: UUID, **values: Any) -> UUID:
    with world.database.transaction() as tx:
        tx.session.execute(update(Cancellation).where(Cancellation.id == row_id).values(**values))
    return row_id


def accepted(world: World, **body: Any) -> UUID:
    return world.accept(world.booking(), **{"refund": SKIP, **body})


def step_by_step(world: World, row_id: UUID, until: str) -> UUID:
    while world.row(row_id).next_step != until:
        world.run(*world.database.published.pop(0))
    return row_id


def before_confirm(world: World, **spec: Any) -> UUID:
    return step_by_step(world, world.accept(world.booking(**spec), refund=SKIP), "confirm")


def drained(world: World, row_id: UUID) -> UUID:
    world.drain()
    return row_id


def just_accepted(world: World) -> UUID:
    return accepted(world)


def message_lost(world: World) -> UUID:
    row_id = accepted(world)
    world.later(30)
    return row_id


def nobody_rings(world: World) -> UUID:
    row_id = accepted(world)
    world.later(600)
    return row_id


def no_worker(world: World) -> UUID:
    presence._told.clear()
    presence.note("celery@here", kind="worker")
    return nobody_rings(world)


def in_hand(world: World) -> UUID:
    row_id = before_confirm(world)
    with world.database.transaction() as tx:
        assert cancellations.begin_step(tx, row_id, Step.CONFIRM)
    return row_id


def rung_in_vain(world: World) -> UUID:
    row_id = message_lost(world)
    world.sweep()
    world.later(600)
    return row_id


def crashed(world: World) -> UUID:
    row_id = in_hand(world)
    world.later(20)
    return row_id


def postponed(world: World) -> UUID:
    faults = [{"on": "get_booking", "do": "error_before", "status": 503, "times": 2}]
    row_id = drained(world, world.accept(world.booking(faults=faults), refund=SKIP))
    world.later(30)
    world.sweep()
    return drained(world, row_id)


def unknown_confirm(world: World) -> UUID:
    return drained(world, before_confirm(world, faults=[{"on": "confirm", "do": "act_then_drop"}]))


def unknown_claim(world: World) -> UUID:
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "drop_before"}])
    return drained(world, world.accept(booking, claim={}, refund=SKIP))


def claim_pending(world: World) -> UUID:
    booking = world.booking(policies=[{"price": 50}], claim_pending_seconds=3600)
    return drained(world, world.accept(booking, claim={}, refund=SKIP))


def in_line(world: World) -> UUID:
    world.configure(xcover_rate_limit=2)
    row_ids = [accepted(world) for _ in range(4)]
    world.database.published.clear()
    with world.database.transaction() as tx:
        for row_id in row_ids:
            turns.give_back(tx, row_id)
    change(world, row_ids[-1], turn=2**40)
    return row_ids[-1]


def nobody_answers(world: World) -> UUID:
    world.control.settings(outage=503)
    row_ids = [accepted(world) for _ in range(6)]
    return drained(world, row_ids[0])


def paused_everything(world: World) -> UUID:
    with world.database.transaction() as tx:
        pauses.pause(tx, by="operator:anna", note="looking into it")
    return accepted(world)


def paused_step_of_partner(world: World) -> UUID:
    row_id = before_confirm(world)
    with world.database.transaction() as tx:
        pauses.pause(tx, partner=PARTNER_CODE, step=Step.CONFIRM, by="operator:anna")
        pauses.pause(tx, partner="OTHER", by="operator:bert")
    return row_id


def batch_paused(world: World) -> UUID:
    row_id = accepted(world)
    with world.database.transaction() as tx:
        batch = Batch(partner=PARTNER_CODE, caller="shop", idempotency_key="b", fingerprint="", name="show.csv")
        tx.session.add(batch)
        tx.session.flush()
    change(world, row_id, batch_id=batch.id, turn_class=turns.BULK, turn=1)
    batches.pause(world.database, batch.id)
    return row_id


def partner_gone(world: World) -> UUID:
    return change(world, accepted(world), partner="GONE")


def awaiting_refund(world: World) -> UUID:
    return drained(world, world.accept(world.booking()))


def refund_promised(world: World) -> UUID:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    world.control.settings(refund_answer="accepted")
    return drained(world, accepted(world, refund={"mode": "call"}))


def unknown_refund(world: World) -> UUID:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    booking = world.booking(faults=[{"on": "refund", "do": "act_then_drop"}])
    return drained(world, world.accept(booking, refund={"mode": "call"}))


def awaiting_refund_paused(world: World) -> UUID:
    row_id = awaiting_refund(world)
    with world.database.transaction() as tx:
        pauses.pause(tx, step=Step.REFUND, by="operator:anna")
    return row_id


def awaiting_refund_to_the_end(world: World) -> UUID:
    world.control.settings(preview_validity=30 * DAY)
    return drained(world, world.accept(world.booking()))


def awaiting_premium_refund(world: World) -> UUID:
    row_id = world.accept(world.booking(claim_story=[]), journey="claim_then_cancel", refund=SKIP)
    world.settle()
    return row_id


def needs_review(world: World) -> UUID:
    world.configure(xcover_api_secret="wrong")
    return drained(world, accepted(world))


def needs_review_with_offer(world: World) -> UUID:
    row_id = before_confirm(world)
    world.configure(xcover_api_secret="wrong")
    return drained(world, row_id)


def rejected(world: World) -> UUID:
    return drained(world, world.accept("AAAAA-AAAAA-INS", refund=SKIP))


def aborted(world: World) -> UUID:
    row_id = accepted(world)
    with world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")
    return row_id


def closed(world: World) -> UUID:
    row_id = needs_review(world)
    world.resolve(row_id, "close", note="done by hand")
    return row_id


def completed(world: World) -> UUID:
    return drained(world, accepted(world))


def completed_with_claim(world: World) -> UUID:
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.settle()
    return row_id


def dry_run(world: World) -> UUID:
    return drained(world, accepted(world, dry_run=True))
