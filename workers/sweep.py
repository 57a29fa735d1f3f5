"""The sweeper: rings for rows that are due and whose message is lost, without making a flood.

Ringing is one conditional UPDATE that moves the row's next ring away, so two sweepers ring no row twice.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError
from sqlalchemy import Integer, case, literal, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from shared.broker import CONNECT_TIMEOUT, QUEUES
from shared.db import Transaction, now_plus
from shared.lifecycle import TASK_OF, Step, TaskName
from shared.models import Cancellation, WebhookDelivery
from shared.transitions import MESSAGE_PATIENCE
from workers.app import app
from workers.runtime import runtime

AT_ONCE = 500
"""Rows rung in one sweep; the next sweep is seconds away."""
LONGEST_PATIENCE = timedelta(minutes=10).total_seconds()
DRAIN_RATE = 20.0
"""Messages a second that workers take at least: a message behind 2,000 others may wait 100 s and not be lost."""

log = structlog.get_logger()


@app.task(name=TaskName.SWEEP)
def sweep() -> None:
    """Ring for every row that is due, in no one's hands, and not rung for lately."""
    patience = max(MESSAGE_PATIENCE, _queued_messages() / DRAIN_RATE)
    with runtime().database.transaction() as tx:
        steps = _ring(tx, Cancellation, Cancellation.next_step, patience)
        events = _ring(tx, WebhookDelivery, literal("webhook"), patience)
        for row_id, step in steps:
            tx.enqueue(TASK_OF[Step(step)], row_id)
        for row_id, _ in events:
            tx.enqueue(TaskName.HANDLE_WEBHOOK, row_id)
    if steps or events:
        log.info("rang", steps=len(steps), webhooks=len(events), patience=patience)


def _ring(
    tx: Transaction, table: Any, step: InstrumentedAttribute[Any] | Any, patience: float
) -> list[tuple[UUID, str]]:
    """Mark due rows as rung and return them with their step; each further ring waits twice as long."""
    due = (
        select(table.id)
        .where(
            table.next_attempt_at <= now_plus(0),
            or_(table.lease_until.is_(None), table.lease_until < now_plus(0)),
            # Behind a long queue a fresh message needs more than the usual patience.
            or_(table.ring_after.is_(None), table.ring_after <= now_plus(MESSAGE_PATIENCE - patience)),
        )
        .order_by(table.next_attempt_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    # Two statements: as a subquery of the UPDATE, PostgreSQL may run the LIMIT once per row and ring for all.
    ids = tx.session.scalars(due).all()
    doublings = case((table.rings > 6, 6), else_=table.rings)
    wait = literal(1).op("<<", return_type=Integer())(doublings) * patience
    capped = case((wait > LONGEST_PATIENCE, LONGEST_PATIENCE), else_=wait)
    rung = (
        update(table)
        .where(table.id.in_(ids))
        .values(rings=table.rings + 1, ring_after=now_plus(capped))
        .returning(table.id, step)
    )
    return [(row.id, row[1]) for row in tx.session.execute(rung, execution_options={"synchronize_session": False})]


def _queued_messages() -> int:
    """Return how many messages wait in all queues; none when Redis does not say."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT)
            client = connection.default_channel.client
            return sum(int(client.llen(queue)) for queue in QUEUES)
    except (OperationalError, OSError) as error:
        log.warning("queues_not_counted", error=type(error).__name__)
        return 0
