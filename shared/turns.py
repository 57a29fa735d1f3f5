"""The order in which cancellations get their turn at an insurer that limits requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, and_, case, cast, func, or_, select, update
from sqlalchemy.orm import Session

from shared import pauses
from shared.db import Transaction, now_plus
from shared.lifecycle import DRY_RUN, Step
from shared.models import Cancellation
from shared.transitions import MESSAGE_PATIENCE

PROMISED, SINGLE, BULK, HELD = 0, 1, 2, 9
"""Classes of service, served in this order: money or a deadline is at stake; asked for one by one; in bulk; not now."""
LATEST = 2**62
"""The place of a promise without a deadline."""
_IN_LINE = (Cancellation.turn_class, Cancellation.turn)
UNSYNCHRONIZED = {"synchronize_session": False}


def give_back(tx: Transaction, cancellation_id: UUID) -> None:
    """Let a due row that no worker holds wait for its turn; those next in line are rung for as turns come up.

    What has begun goes by its deadline, the rest by the place it has, or by when it came.
    """
    is_past_look_up = and_(Cancellation.next_step != Step.LOOK_UP, Cancellation.journey != DRY_RUN)
    has_begun = or_(is_past_look_up, Cancellation.irreversible_at.is_not(None))
    deadline = func.coalesce(_seconds(tx, Cancellation.preview_expires_at), LATEST)
    tx.session.execute(
        update(Cancellation)
        .where(Cancellation.id == cancellation_id, *_is_free(), func.coalesce(Cancellation.turn_class, 0) != HELD)
        .values(
            turn_class=case((has_begun, PROMISED), (Cancellation.batch_id.is_not(None), BULK), else_=SINGLE),
            turn=case(
                (has_begun, deadline),
                (Cancellation.batch_id.is_not(None), func.coalesce(Cancellation.turn, 0)),
                else_=_seconds(tx, Cancellation.created_at),
            ),
            ring_after=None,
        ),
        execution_options=UNSYNCHRONIZED,
    )


@dataclass(frozen=True, kw_only=True)
class Front:
    """The front of a partner's line: how many wait there, and which of them are to be rung for, each with its step."""

    waiting: int
    to_ring: Sequence[tuple[UUID, str]]


def partners_in_line(session: Session) -> set[str]:
    """Return the partners of whom anybody stands in line."""
    return set(session.scalars(select(Cancellation.partner).where(Cancellation.turn_class < HELD).distinct()))


def front_of_line(tx: Transaction, *, partner: str, count: int, probing: bool = False) -> Front:
    """Take those of the first `count` rows in line that were not rung for yet.

    So there are never more messages on their way than that, and whoever comes to the front of the line passes the rest.
    While the insurer answers nobody and is only `probing`, the first is who has not asked for longest: one whose own
    request is what goes unanswered must not be the probe each time.
    """
    first = (
        select(Cancellation.id, Cancellation.ring_after <= now_plus(0))
        .where(Cancellation.partner == partner, Cancellation.turn_class < HELD, *_is_free(), pauses.not_paused())
        .order_by(*((Cancellation.begun_at.asc().nulls_first(),) if probing else ()), *_IN_LINE)
        .limit(count)
    )
    found = tx.session.execute(first).all()
    ids = [row_id for row_id, is_overdue in found if is_overdue is not False]
    if not ids:
        return Front(waiting=len(found), to_ring=[])
    unrung = or_(Cancellation.ring_after.is_(None), Cancellation.ring_after <= now_plus(0))
    locked = select(Cancellation.id).where(Cancellation.id.in_(ids), Cancellation.turn_class < HELD, unrung)
    # Whoever else rings for the same rows at this moment has them locked, and they are rung for.
    taken = tx.session.scalars(locked.with_for_update(skip_locked=True)).all()
    rung = (
        update(Cancellation)
        .where(Cancellation.id.in_(taken))
        .values(rings=Cancellation.rings + 1, ring_after=now_plus(MESSAGE_PATIENCE))
        .returning(Cancellation.id, Cancellation.next_step)
    )
    steps = {row.id: row.next_step for row in tx.session.execute(rung, execution_options=UNSYNCHRONIZED)}
    to_ring = [(row_id, steps[row_id]) for row_id in ids if steps.get(row_id)]
    return Front(waiting=len(found), to_ring=to_ring)


def bulk_places(tx: Transaction, *, partner: str, caller: str, count: int) -> list[int]:
    """Return the next places of a caller among those asked for in bulk, fair between callers.

    A caller's places follow its own last one; one that has none waiting begins where the service stands.
    """
    waiting = (Cancellation.partner == partner, Cancellation.turn_class == BULK)
    last = tx.session.scalar(select(func.max(Cancellation.turn)).where(*waiting, Cancellation.caller == caller))
    if last is None:
        last = tx.session.scalar(select(func.min(Cancellation.turn)).where(*waiting)) or 0
    return list(range(last + 1, last + 1 + count))


def _is_free() -> tuple[Any, ...]:
    return (
        Cancellation.next_attempt_at <= now_plus(0),
        or_(Cancellation.lease_until.is_(None), Cancellation.lease_until < now_plus(0)),
    )


def _seconds(tx: Transaction, time: Any) -> Any:
    """Return a time as whole seconds since 1970, on either database."""
    if tx.session.get_bind().dialect.name == "sqlite":
        return cast(func.strftime("%s", time), BigInteger)
    return cast(func.extract("epoch", time), BigInteger)
