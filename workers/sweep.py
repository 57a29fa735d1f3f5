"""The sweeper: rings for rows that are due and whose message is lost, without making a flood.

Ringing is one conditional UPDATE that moves the row's next ring away, so two sweepers ring no row twice. A message
that merely waits is told from one that is lost by the queue's order: whatever was rung for before the oldest
message that still waits has left the queue.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, func, literal, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from shared import callbacks, claim_polls, pauses, turns
from shared.broker import BULK_QUEUE, CALLBACKS_QUEUE, STEPS_QUEUE, WEBHOOKS_QUEUE
from shared.db import Transaction, now_plus
from shared.lifecycle import TASK_OF, Step, TaskName
from shared.models import Cancellation
from shared.transitions import MESSAGE_PATIENCE
from shared.webhook_models import WebhookDelivery
from workers import turn_taking
from workers.app import app
from workers.queues import oldest_row_ids
from workers.runtime import runtime

AT_ONCE = 500
"""Rows rung in one sweep; the next sweep is seconds away."""
LOOKED_AT = (STEPS_QUEUE, BULK_QUEUE, WEBHOOKS_QUEUE, CALLBACKS_QUEUE)
DISORDER = 5.0
"""Seconds by which messages may stand in the queue in another order than their rows were rung for."""

log = structlog.get_logger()


@app.task(name=TaskName.SWEEP)
def sweep() -> None:
    """Ring for every row that is due, in no one's hands, and whose last message has left its queue."""
    waiting = {queue: oldest_row_ids(queue) for queue in LOOKED_AT}
    with runtime().database.transaction() as tx:
        steps = _ring_steps(tx, waiting[STEPS_QUEUE], Cancellation.next_step != Step.LOOK_UP)
        steps += _ring_steps(tx, waiting[BULK_QUEUE], Cancellation.next_step == Step.LOOK_UP)
        in_line = turn_taking.ring_for_lines(tx)
        events = _ring(tx, WebhookDelivery, literal("webhook"), waiting[WEBHOOKS_QUEUE])
        at_most = max(claim_polls.AT_ONCE - len(waiting[WEBHOOKS_QUEUE]), 0)
        polls = claim_polls.ring(tx, at_most=at_most, partners=turn_taking.answering_about_claims())
        for row_id, step in steps:
            tx.enqueue(TASK_OF[Step(step)], row_id)
        for row_id, _ in events:
            tx.enqueue(TaskName.HANDLE_WEBHOOK, row_id)
        for row_id in polls:
            tx.enqueue(TaskName.POLL_CLAIM, row_id)
        for row_id in callbacks.ring(tx, at_most=callbacks.AT_ONCE - len(waiting[CALLBACKS_QUEUE])):
            tx.enqueue(TaskName.DELIVER_CALLBACK, row_id)
    if steps or events or polls or in_line:
        log.info("rang", steps=len(steps), webhooks=len(events), polls=len(polls), in_line=in_line)


def _ring_steps(tx: Transaction, waiting: Sequence[UUID], of_queue: ColumnElement[bool]) -> list[tuple[UUID, str]]:
    """Ring for the steps of one queue; those that wait in a partner's line are rung for in their order instead."""
    is_nobodys = Cancellation.partner.not_in(runtime().settings.partner_codes)
    in_no_line = or_(Cancellation.turn_class.is_(None), and_(is_nobodys, Cancellation.turn_class < turns.HELD))
    return _ring(tx, Cancellation, Cancellation.next_step, waiting, of_queue, in_no_line, pauses.not_paused())


def _ring(
    tx: Transaction,
    table: Any,
    step: InstrumentedAttribute[Any] | Any,
    waiting: Sequence[UUID],
    *only: ColumnElement[bool],
) -> list[tuple[UUID, str]]:
    """Mark due rows as rung and return them with their step."""
    due = (
        select(table.id)
        .where(*_is_due(table), *only, _is_lost(table, _oldest_ring(tx, table, waiting)))
        .order_by(table.next_attempt_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    # Two statements: as a subquery of the UPDATE, PostgreSQL may run the LIMIT once per row and ring for all.
    ids = tx.session.scalars(due).all()
    rung = (
        update(table)
        .where(table.id.in_(ids))
        .values(rings=table.rings + 1, ring_after=now_plus(MESSAGE_PATIENCE))
        .returning(table.id, step)
    )
    return [(row.id, row[1]) for row in tx.session.execute(rung, execution_options={"synchronize_session": False})]


def _is_due(table: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        table.next_attempt_at <= now_plus(0),
        or_(table.lease_until.is_(None), table.lease_until < now_plus(0)),
    )


def _oldest_ring(tx: Transaction, table: Any, waiting: Sequence[UUID]) -> datetime | None:
    """Return when the oldest message that still waits was rung for, by the database's clock; None when none does."""
    if not waiting:
        return None
    ring_after = tx.session.scalar(select(func.min(table.ring_after)).where(table.id.in_(waiting), *_is_due(table)))
    return None if ring_after is None else ring_after - timedelta(seconds=MESSAGE_PATIENCE)


def _is_lost(table: Any, oldest: datetime | None) -> ColumnElement[bool]:
    """Never rung for; or its patience is over, and no message that was rung for as early still waits."""
    until = [table.ring_after <= now_plus(0)]
    if oldest is not None:
        until.append(table.ring_after < oldest + timedelta(seconds=MESSAGE_PATIENCE - DISORDER))
    return or_(table.ring_after.is_(None), and_(*until))
