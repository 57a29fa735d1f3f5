"""A step waits for its turn at the insurer's rate limit before it takes its row, and gives its place in the worker back
when that turn is too far away. Each that has had its turn rings for the next in line.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from shared import turns
from shared.db import AWAY, Transaction
from shared.lifecycle import TASK_OF, Step
from shared.models import Cancellation
from shared.rate_limit import TurnTooLate
from workers.runtime import runtime

LIMITED = frozenset({Step.LOOK_UP, Step.PREVIEW, Step.CONFIRM, Step.CANCEL})
"""Steps that begin with a request to XCover."""
BULK_PATIENCE, PATIENCE = 1.5, 2.5
"""Requests' times for which a new cancellation of a batch, and anything else, waits for its turn in a worker."""
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.05, 2.0
"""Seconds."""
ON_THEIR_WAY = 0.15
"""Seconds of requests, and three at least, for which messages to those in line may be on their way."""
LOOK_EVERY = 1.0
"""Seconds between two looks for waiting rows while there are none."""

log = structlog.get_logger()

_nobody_until = 0.0


@contextmanager
def taking(step: Step, cancellation_id: UUID) -> Iterator[bool]:
    """Wait for the step's turn; give False, with the row given back, when it does not come soon."""
    if step not in LIMITED:
        yield True
        return
    is_granted = _waited(step, cancellation_id)
    if not is_granted:
        yield False
        return
    try:
        with runtime().limit.prepaid():
            yield True
    finally:
        _ring_for_next()


def ring_for_line(tx: Transaction) -> turns.Front:
    """Ring for those at the front of the line that were not rung for: the sweeper's part, or nothing would begin."""
    count = max(round(ON_THEIR_WAY / runtime().limit.interval), 3)
    front = turns.front_of_line(tx, partner=runtime().settings.xcover_partner_code, count=count)
    for row_id, step in front.to_ring:
        tx.enqueue(TASK_OF[Step(step)], row_id)
    return front


def _waited(step: Step, cancellation_id: UUID) -> bool:
    patience, bulk_patience = _seconds(PATIENCE), _seconds(BULK_PATIENCE)
    if step is not Step.LOOK_UP:
        is_granted = _is_granted(patience)
    else:
        is_granted = _is_granted(bulk_patience) or (not _is_of_batch(cancellation_id) and _is_granted(patience))
    if not is_granted:
        _give_back(cancellation_id)
    return is_granted


def _seconds(requests: float) -> float:
    return min(max(requests * runtime().limit.interval, SHORTEST_PATIENCE), LONGEST_PATIENCE)


def _is_granted(patience: float) -> bool:
    try:
        runtime().limit.wait_for_turn(within=patience)
    except TurnTooLate:
        return False
    return True


def _is_of_batch(cancellation_id: UUID) -> bool:
    with runtime().database.reading() as session:
        row = session.get(Cancellation, cancellation_id)
        return row is not None and row.batch_id is not None


def _give_back(cancellation_id: UUID) -> None:
    global _nobody_until  # noqa: PLW0603 - one worker process, one idea of whether anybody waits
    with runtime().database.transaction() as tx:
        turns.give_back(tx, cancellation_id)
    _nobody_until = 0.0


def _ring_for_next() -> None:
    global _nobody_until  # noqa: PLW0603 - see above
    if time.monotonic() < _nobody_until:
        return
    try:
        with runtime().database.transaction() as tx:
            if not ring_for_line(tx).waiting:
                _nobody_until = time.monotonic() + LOOK_EVERY
    except AWAY as error:
        log.warning("next_not_rung", error=type(error).__name__, next="the sweeper rings")
