"""A step waits for its turn at the insurer's rate limit before it takes its row, and gives its place in the worker back
when that turn is too far away. Each that has had its turn rings for the next in line.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from sqlalchemy import select

from shared import turns
from shared.broker import STEPS_QUEUE
from shared.db import AWAY, Transaction
from shared.lifecycle import TASK_OF, Step
from shared.models import Cancellation
from shared.rate_limit import Turn, TurnTooLate
from workers import queues
from workers.partners import XCLAIM, Partner, PartnerUnknown
from workers.runtime import runtime

LIMITED = frozenset({Step.LOOK_UP, Step.PREVIEW, Step.CONFIRM, Step.CANCEL})
"""Steps that begin with a request to XCover."""
SOON, BULK_PATIENCE, PATIENCE = (0.05, 1.0), (0.2, 1.5), (0.4, 2.5)
"""Seconds, or requests' times if those are longer, for which a step waits for its turn in a worker: a new cancellation
while others that have begun wait for a worker, a new one of a batch, and anything else.

Less than a step's own time would leave turns unused.
"""
LONGEST_PATIENCE = 2.0
"""Seconds."""
ON_THEIR_WAY = 0.3
"""Seconds of requests for which messages to those in line may be on their way."""
FEWEST, MOST = 3, 200
"""Messages that may be on their way, however slow or fast the insurer."""
LOOK_EVERY = 1.0
"""Seconds between two looks for waiting rows while there are none."""

log = structlog.get_logger()

_nobody_until: dict[str, float] = {}
"""By partner, until when nobody is looked for in its line: one worker process, one idea of whether anybody waits."""


@contextmanager
def taking(step: Step, cancellation_id: UUID) -> Iterator[bool]:
    """Wait for the step's turn; give False, with the row given back, when it does not come soon.

    Nor does it while XCover answers nobody, unless the step is the one that finds out whether it does again.
    """
    partner = _partner(cancellation_id) if step in LIMITED else None
    if partner is None:
        yield True
        return
    has_run = False
    try:
        with partner.breaker.turn() as may_send:
            turn = _reserved(partner, step, cancellation_id) if may_send else None
            if turn is not None:
                has_run = True
                with partner.limit.reserved(turn):
                    yield True
                return
        _give_back(partner, cancellation_id)
        yield False
    finally:
        if has_run:
            _ring_for_next(partner)


def ring_for_lines(tx: Transaction) -> int:
    """Ring for those at the front of each partner's line that were not rung for, and return how many that were.

    The sweeper's part, or nothing would begin.
    """
    waiting = turns.partners_in_line(tx.session)
    partners = [_connected(code) for code in runtime().settings.partner_codes if code in waiting]
    return sum(len(_ring_for_line(tx, partner).to_ring) for partner in partners if partner is not None)


def answering_about_claims() -> list[str]:
    """Return the partners whose XClaim can be asked now, as far as is known."""
    claiming = [settings.xcover_partner_code for settings in runtime().settings.partners() if settings.claims_enabled]
    partners = [partner for code in claiming if (partner := _connected(code)) is not None]
    return [partner.code for partner in partners if not partner.breakers[XCLAIM].is_open()]


def _ring_for_line(tx: Transaction, partner: Partner) -> turns.Front:
    is_away = partner.breaker.is_open()
    count = 1 if is_away else min(max(round(ON_THEIR_WAY / partner.limit.interval), FEWEST), MOST)
    front = turns.front_of_line(tx, partner=partner.code, count=count, probing=is_away)
    for row_id, step in front.to_ring:
        tx.enqueue(TASK_OF[Step(step)], row_id)
    return front


def _partner(cancellation_id: UUID) -> Partner | None:
    """Return whose turn the step waits for; None when that partner has none, as the step will see."""
    settings = runtime().settings
    code: str | None = settings.xcover_partner_code
    if len(settings.partner_codes) > 1:
        with runtime().database.reading() as session:
            code = session.scalar(select(Cancellation.partner).where(Cancellation.id == cancellation_id))
    return None if code is None else _connected(code)


def _connected(code: str) -> Partner | None:
    """Return a partner's connections; None when there are none to be had, which its own steps will tell."""
    try:
        return runtime().partner(code)
    except PartnerUnknown:
        return None
    except Exception as error:
        log.exception("partner_not_connected", partner=code, error=type(error).__name__, next="its steps need a person")
        return None


def _reserved(partner: Partner, step: Step, cancellation_id: UUID) -> Turn | None:
    """Return the step's turn; None when it is too far away to wait for in a worker."""
    if step is not Step.LOOK_UP:
        return _turn_within(partner, PATIENCE)
    turn = _turn_within(partner, SOON)
    if turn is None and queues.is_empty(STEPS_QUEUE):
        turn = _turn_within(partner, BULK_PATIENCE if _is_of_batch(cancellation_id) else PATIENCE)
    return turn


def _turn_within(partner: Partner, patience: tuple[float, float]) -> Turn | None:
    seconds, requests = patience
    try:
        return partner.limit.reserve(within=min(max(seconds, requests * partner.limit.interval), LONGEST_PATIENCE))
    except TurnTooLate:
        return None


def _is_of_batch(cancellation_id: UUID) -> bool:
    with runtime().database.reading() as session:
        return session.scalar(select(Cancellation.batch_id).where(Cancellation.id == cancellation_id)) is not None


def _give_back(partner: Partner, cancellation_id: UUID) -> None:
    with runtime().database.transaction() as tx:
        turns.give_back(tx, cancellation_id)
    _nobody_until.pop(partner.code, None)


def _ring_for_next(partner: Partner) -> None:
    """Let as many begin as may, unless others that have begun wait for a worker: the last of those will do it.

    If the insurer was just asked too much, that is when it may be asked again: by then all others have given back.
    """
    rest = partner.limit.seconds_of_rest()
    if rest > LONGEST_PATIENCE:
        return  # the sweeper rings
    time.sleep(rest)
    if time.monotonic() < _nobody_until.get(partner.code, 0.0) or not queues.is_empty(STEPS_QUEUE):
        return
    try:
        with runtime().database.transaction() as tx:
            if not _ring_for_line(tx, partner).waiting:
                _nobody_until[partner.code] = time.monotonic() + LOOK_EVERY
    except AWAY as error:
        log.warning("next_not_rung", error=type(error).__name__, next="the sweeper rings")
