"""Which cancellations are meant: the filters of every list and of bulk actions, and the queries that they become.

One filter leads: an index serves it. What the others leave is looked for among the next `WINDOW` rows of that index, so
that no combination of filters ever reads the whole table; a page may then be short although there is another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, aliased

from shared import searching
from shared.lifecycle import UNFINISHED, Status
from shared.models import Cancellation

WINDOW = 10_000
"""Rows that are looked at for one page at most."""
_FEW = frozenset({*UNFINISHED, Status.NEEDS_REVIEW})
"""Statuses that most cancellations have left."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What must be so of a cancellation; None is no matter."""

    search: str | None = None
    caller: str | None = None
    status: str | None = None
    next_step: str | None = None
    problem: str | None = None
    """A slug."""
    partner: str | None = None
    batch_id: UUID | None = None
    booking_id: str | None = None
    idempotency_key: str | None = None
    ids: tuple[UUID, ...] | None = None

    def conditions(self, table: Any = Cancellation) -> dict[str, ColumnElement[bool]]:
        """Return what must be so, by filter; a search is looked up first, and becomes `ids`."""
        columns = ("caller", "status", "next_step", "partner", "batch_id", "booking_id", "idempotency_key")
        wanted = {name: getattr(self, name) for name in columns}
        found = {name: getattr(table, name) == value for name, value in wanted.items() if value is not None}
        if self.problem is not None:
            found["problem"] = table.problem["type"].as_string() == f"/problems/{self.problem}"
        if self.ids is not None:
            found["ids"] = table.id.in_(self.ids)
        return found


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some cancellations, and the id after which the next page begins; None on the last one."""

    rows: Sequence[Cancellation]
    next: UUID | None


def newest(session: Session, wanted: Selection, *, limit: int, before: UUID | None = None) -> Page:
    """Return the newest that are meant, or those older than `before`."""
    if wanted.search is not None:
        found = searching.matching(session, wanted.search, caller=wanted.caller)
        wanted = _narrowed(wanted, found)
    lead, led = _lead(session, wanted)
    older = [] if before is None else [Cancellation.id < before]
    window = select(Cancellation).where(*lead, *older).order_by(Cancellation.id.desc())
    others = wanted.conditions().keys() - led
    if not others:
        return _page(session.scalars(window.limit(limit + 1)).all(), limit=limit, ends_at=None)
    row = aliased(Cancellation, window.limit(WINDOW).subquery("looked_at"))
    fitting = [condition for name, condition in wanted.conditions(row).items() if name in others]
    rows = session.scalars(select(row).where(*fitting).order_by(row.id.desc()).limit(limit + 1)).all()
    return _page(rows, limit=limit, ends_at=None if len(rows) > limit else _end_of(session, window))


def _narrowed(wanted: Selection, found: set[UUID]) -> Selection:
    ids = found if wanted.ids is None else found & set(wanted.ids)
    kept = {name: value for name, value in vars(wanted).items() if name not in {"search", "ids"}}
    return Selection(**kept, ids=tuple(sorted(ids)))


def _page(rows: Sequence[Cancellation], *, limit: int, ends_at: UUID | None) -> Page:
    kept = rows[:limit]
    return Page(rows=kept, next=kept[-1].id if len(rows) > limit else ends_at)


def _end_of(session: Session, window: Select[Any]) -> UUID | None:
    """Return the last row that was looked at; None when there is none behind it."""
    ends = window.with_only_columns(Cancellation.id).offset(WINDOW - 1).limit(2)
    ids = session.scalars(ends).all()
    return ids[0] if len(ids) > 1 else None


def _lead(session: Session, wanted: Selection) -> tuple[list[ColumnElement[bool]], set[str]]:
    """Return the conditions that an index serves, and which filters they are."""
    conditions = wanted.conditions()
    for name in ("ids", "booking_id", "batch_id"):
        if name in conditions:
            return [conditions[name]], {name}
    if wanted.idempotency_key is not None:
        with_key = searching.has_key(session, wanted.idempotency_key, caller=wanted.caller)
        return [with_key], {"idempotency_key", "caller"} & conditions.keys()
    if wanted.status in _FEW:
        return [conditions["status"]], {"status"}
    if wanted.problem is not None:
        return [Cancellation.problem.is_not(None)], set()
    for name in ("caller", "status"):
        if name in conditions:
            return [conditions[name]], {name}
    return [], set()
