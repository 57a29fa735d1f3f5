"""Looking at rows for broken invariants, in bounded slices, and blocking the cancellations concerned.

What is read without a lock may be half written: it only says where to look, and `block` judges again under the lock.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, defer

from shared.cancellations import park
from shared.columns import new_id
from shared.db import Database, Transaction, now_plus
from shared.invariants import INVARIANTS, MOVING, Case, Evidence, broken
from shared.lifecycle import Status
from shared.models import Call, Cancellation, Claim, Reservation, Transition
from shared.transitions import lock

SLUG = "invariant-broken"
SLICE = 200
"""Cancellations looked at in one reading: with what belongs to them some two thousand rows."""
OVERDUE_AFTER = timedelta(minutes=15).total_seconds()
RINGS_WITHOUT_ANSWER = 3
"""A row is rung for again only when its message has left the queue: no queue explains so many."""

_ACTOR = "invariants"
_RULED = ("resolved", "closed", "policies_freed")
_REPORTED = "refund_reported"


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """Unfinished cancellations that are due and in no one's hands."""

    stuck: int
    """How many of them were rung for again and again, and nobody came."""
    oldest_seconds: float


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A few cancellations to look at, and where the next slice begins."""

    ids: Sequence[UUID]
    last: UUID | None
    """The last id that was read; None when there was nothing left to read."""


def floor_before(seconds: float) -> UUID:
    """Return an id older than every one given in the last `seconds`: ids begin with the time on the giver's clock."""
    milliseconds = max((new_id().int >> 80) - int(seconds * 1000), 0)
    return UUID(int=milliseconds << 80)


def changed_after(session: Session, floor: UUID, *, limit: int) -> Slice:
    """Return the cancellations of the transitions that follow `floor`, which is a range of the primary key."""
    of_them = select(Transition.id, Transition.cancellation_id).where(Transition.id > floor)
    lines = session.execute(of_them.order_by(Transition.id).limit(limit)).all()
    return Slice(ids=sorted({line[1] for line in lines}), last=lines[-1][0] if lines else None)


def all_after(session: Session, floor: UUID | None, *, limit: int = SLICE) -> Slice:
    """Return the cancellations that follow one, oldest first."""
    ids = select(Cancellation.id).order_by(Cancellation.id).limit(limit)
    found = session.scalars(ids if floor is None else ids.where(Cancellation.id > floor)).all()
    return Slice(ids=found, last=found[-1] if found else None)


def load(session: Session, ids: Collection[UUID]) -> list[list[Case]]:
    """Return these cancellations and those that share a booking with them, by booking."""
    return list(_by_booking(session, ids))


def judge(bookings: Sequence[Sequence[Case]]) -> dict[UUID, dict[str, Evidence]]:
    """Return what does not hold: by cancellation, by invariant. Needs no transaction, and must hold none up."""
    found: dict[UUID, dict[str, Evidence]] = {}
    for cases in bookings:
        found |= broken(cases)
    return found


def check_all(database: Database, *, size: int = SLICE) -> Iterator[tuple[UUID, dict[str, Evidence]]]:
    """Look at every cancellation there is, slice by slice; each that breaks something is given once. Blocks nothing."""
    floor: UUID | None = None
    given: set[UUID] = set()
    while True:
        with database.reading() as session:
            part = all_after(session, floor, limit=size)
            bookings = load(session, part.ids)
        found = judge(bookings)
        yield from ((each, found[each]) for each in sorted(found.keys() - given))
        given |= found.keys()
        if part.last is None:
            return
        floor = part.last


def block(tx: Transaction, cancellation_id: UUID) -> dict[str, Evidence]:
    """Leave a cancellation to a person if something still does not hold for it; return what is new.

    What it was blocked for before is not new, whatever was decided then: a person has looked.
    """
    row = lock(tx, cancellation_id)
    if row is None:
        return {}
    found = judge(load(tx.session, [row.id])).get(row.id, {})
    known = _known(tx.session, row.id)
    new = {name: evidence for name, evidence in found.items() if evidence not in known.get(name, [])}
    if new:
        promises = [invariant.promise for invariant in INVARIANTS if invariant.name in new]
        detail = (
            f"What must always hold does not: {'; '.join(promises)}. Nothing more is done until a person has looked."
        )
        still = dict((row.problem or {}).get("broken") or {}) if row.status == Status.NEEDS_REVIEW else {}
        more: dict[str, Any] = {"broken": {**still, **new}}
        if row.problem is not None and not still:
            more["was"] = row.problem
        park(tx, row, SLUG, detail, actor=_ACTOR, takes_over=True, **more)
    return new


def blocked(session: Session) -> dict[str, int]:
    """Return how many cancellations wait for a person because an invariant is broken, by invariant."""
    problem = Cancellation.problem
    of_it = select(problem).where(
        Cancellation.status == Status.NEEDS_REVIEW, problem["type"].as_string() == f"/problems/{SLUG}"
    )
    counts = {invariant.name: 0 for invariant in INVARIANTS if invariant.find}
    for document in session.scalars(of_it):
        for name in (document or {}).get("broken", {}).keys() & counts.keys():
            counts[name] += 1
    return counts


def overdue(session: Session) -> Overdue:
    """Return what is due and not worked on: read from the index of rows that are due."""
    free = (
        Cancellation.next_attempt_at <= now_plus(0),
        or_(Cancellation.lease_until.is_(None), Cancellation.lease_until < now_plus(0)),
    )
    oldest, now = session.execute(select(func.min(Cancellation.next_attempt_at), now_plus(0)).where(*free)).one()
    stuck = select(func.count()).where(
        *free, Cancellation.next_attempt_at <= now_plus(-OVERDUE_AFTER), Cancellation.rings >= RINGS_WITHOUT_ANSWER
    )
    return Overdue(stuck=session.scalar(stuck) or 0, oldest_seconds=(now - oldest).total_seconds() if oldest else 0.0)


def counts(session: Session) -> tuple[dict[str, int], Overdue]:
    """Return how many cancellations break each invariant now, and what is overdue."""
    waiting = overdue(session)
    return {**blocked(session), MOVING: waiting.stuck}, waiting


def _by_booking(session: Session, ids: Collection[UUID]) -> Iterator[list[Case]]:
    if not ids:
        return
    bookings = select(Cancellation.booking_id).where(Cancellation.id.in_(ids))
    of_them = select(Cancellation).where(Cancellation.booking_id.in_(bookings)).order_by(Cancellation.id)
    light = of_them.options(defer(Cancellation.request), defer(Cancellation.metadata_))
    rows = session.scalars(light).all()
    all_ids = [row.id for row in rows]
    calls, claims = _of(session, Call, all_ids), _of(session, Claim, all_ids)
    held = _of(session, Reservation, all_ids, Reservation.released_at.is_(None))
    lines = _of(session, Transition, all_ids, Transition.event.in_((*_RULED, _REPORTED)))
    by_booking: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for row in rows:
        case = Case(
            row=row,
            calls=calls[row.id],
            claims=claims[row.id],
            held=frozenset(reservation.quote_id for reservation in held[row.id]),
            reported=[line for line in lines[row.id] if line.event == _REPORTED],
            rulings=[line for line in lines[row.id] if line.event in _RULED],
        )
        by_booking[row.partner, row.booking_id].append(case)
    yield from by_booking.values()


def _of(session: Session, table: Any, ids: Sequence[UUID], *where: Any) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = defaultdict(list)
    for start in range(0, len(ids), SLICE):
        part = table.cancellation_id.in_(ids[start : start + SLICE])
        for each in session.scalars(select(table).where(part, *where).order_by(table.id)):
            found[each.cancellation_id].append(each)
    return found


def _known(session: Session, cancellation_id: UUID) -> dict[str, list[Evidence]]:
    of_it = select(Transition.details).where(
        Transition.cancellation_id == cancellation_id, Transition.event == "needs_review", Transition.actor == _ACTOR
    )
    known: dict[str, list[Evidence]] = defaultdict(list)
    for details in session.scalars(of_it):
        for name, evidence in details.get("broken", {}).items():
            known[name].append(evidence)
    return known
