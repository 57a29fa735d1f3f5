"""When XClaim is asked about a claim of which it sent nothing: webhooks get lost, and are repeated only so often.

The claim's row holds the schedule, and the sweeper rings for what is due. What an answer changes is `shared.claims`'
business, asking is `workers.poll_claim`'s.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update

from shared.db import Transaction, now_plus
from shared.lifecycle import Status, Step
from shared.models import Cancellation, Claim

WAITS = tuple(
    wait.total_seconds()
    for wait in (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(days=1))
)
"""Seconds before each question in a row that brings no news; the last wait repeats until the claim is closed."""
RAREST = len(WAITS) - 1
SPREAD = 0.2
"""The share by which chance makes a wait longer at most: claims of one burst must not stay one."""
AT_ONCE = 20
"""Claims rung for in one sweep, every few seconds: the steps need most of the 20 requests a second we are allowed."""
RUNG_FOR = 60.0
"""Seconds that a message may wait in its queue before the sweeper rings for the claim again."""
ASKING_FOR = RUNG_FOR + 90.0
"""Seconds that a question has. Until RUNG_FOR before its end, which is longer than a task may run, nobody begins
another: that tells a message that comes twice from the first.
"""


def wait_before_next(polls: int, *, jitter: float) -> float:
    """Return the seconds until the next question after so many in vain; `jitter` from 0 to 1 makes them longer."""
    return WAITS[min(polls, RAREST)] * (1 + SPREAD * jitter)


def start_anew(row: Claim) -> None:
    """Begin the row of waits again for a locked claim: there was news."""
    row.polls = 0
    row.next_poll_at = now_plus(_some_wait(0))


def ring(tx: Transaction, *, at_most: int, partners: Sequence[str]) -> Sequence[UUID]:
    """Mark claims of these partners that are due as rung for and return them, those due for longest first.

    A claim without a time gets its first wait: an operator has just named it, or a release before 0002 opened it.
    """
    if at_most <= 0 or not partners:
        return []
    _give_first_waits(tx, at_most)
    due = (
        select(Claim.id)
        .where(
            *_can_be_asked_about(),
            Claim.partner.in_(partners),
            Claim.next_poll_at <= now_plus(0),
            ~_is_asked_by_its_step(),
        )
        .order_by(Claim.next_poll_at)
        .limit(at_most)
        .with_for_update(skip_locked=True, of=Claim)
    )
    ids = tx.session.scalars(due).all()
    if not ids:
        return []
    rung = update(Claim).where(Claim.id.in_(ids)).values(next_poll_at=now_plus(RUNG_FOR)).returning(Claim.id)
    return tx.session.scalars(rung, execution_options={"synchronize_session": False}).all()


def begin(tx: Transaction, claim_row_id: UUID) -> tuple[Claim, datetime] | None:
    """Take a claim that was rung for; return it with the database's time, or None when there is nothing to ask.

    That is so when it was closed, or asked about since the message was sent.
    """
    taken = (
        update(Claim)
        .where(Claim.id == claim_row_id, *_can_be_asked_about(), Claim.next_poll_at <= now_plus(RUNG_FOR))
        .values(next_poll_at=now_plus(ASKING_FOR))
        .returning(Claim)
    )
    claim = tx.session.scalars(taken, execution_options={"populate_existing": True}).first()
    return None if claim is None else (claim, tx.session.scalars(select(now_plus(0))).one())


def ask_later(tx: Transaction, claim: Claim, *, polls: int) -> None:
    """Write when to ask next about a claim that was begun, unless there was news of it since."""
    begun = update(Claim).where(Claim.id == claim.id, Claim.next_poll_at == claim.next_poll_at)
    later = begun.values(polls=polls, next_poll_at=now_plus(_some_wait(polls)))
    tx.session.execute(later, execution_options={"synchronize_session": False})


def _give_first_waits(tx: Transaction, at_most: int) -> None:
    """Newest first, and few at a time: the claims of an older release must not stand before those of today."""
    without = select(Claim.id).where(*_can_be_asked_about(), Claim.next_poll_at.is_(None)).order_by(Claim.id.desc())
    for claim_row_id in tx.session.scalars(without.limit(at_most).with_for_update(skip_locked=True)).all():
        first = update(Claim).where(Claim.id == claim_row_id).values(next_poll_at=now_plus(_some_wait(0)))
        tx.session.execute(first, execution_options={"synchronize_session": False})


def _can_be_asked_about() -> tuple[ColumnElement[bool], ...]:
    return Claim.closed_at.is_(None), or_(Claim.claim_id.is_not(None), Claim.reference.is_not(None))


def _is_asked_by_its_step() -> ColumnElement[bool]:
    """Tell whether the claim step itself looks at the claim, once a minute at least: it has no use for a second look.

    One that waits for the Premium Refund is asked about here too: that step looks less and less often.
    """
    holder = select(Cancellation.id).where(
        Cancellation.id == Claim.cancellation_id,
        Cancellation.status == Status.IN_PROGRESS,
        Cancellation.next_step == Step.CLAIM,
    )
    return holder.exists()


def _some_wait(polls: int) -> float:
    return wait_before_next(polls, jitter=random.random())  # noqa: S311 - spreads waits, hides nothing
