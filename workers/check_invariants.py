"""Checking what must always hold: what changed lately in every check, everything else little by little.

Nothing here repairs anything. What is broken is logged, left to a person, and shown in /metrics.
"""

from collections.abc import Sequence
from time import monotonic
from uuid import UUID

import structlog

from shared import forgettable, invariant_checks
from shared.clock import utc_now
from shared.invariant_checks import SLICE, all_after
from shared.invariants import Case
from shared.lifecycle import TaskName
from workers.app import app
from workers.runtime import runtime

OVERLAP = 300.0
"""Seconds that are looked at again: ids carry the time of the host that gave them, and commit later than that."""
LINES_AT_ONCE = 2_000
TIME_BOX = 20.0
"""Seconds for what changed, far below a task's limit; a check that finds more to do goes on in the next one."""
SLICES_OF_ALL = 5
"""Of everything, in each check: at one check a minute more than a million cancellations a day."""

CHANGED, ALL = "check.changed", "check.all"
"""After which line of all timelines, and after which cancellation, the next check goes on."""

log = structlog.get_logger()


@app.task(name=TaskName.CHECK_INVARIANTS)
def check() -> None:
    """Look at what changed since the last check and at the next few others; block what breaks an invariant."""
    known = forgettable.recall(app, CHANGED, ALL)
    facts = {CHANGED: _check_changed(known.get(CHANGED)), ALL: _check_some(known.get(ALL))}
    _tell_overdue()
    forgettable.remember(app, {**facts, forgettable.CHECK_ENDED: f"{utc_now().timestamp():.0f}"})


def _check_changed(known: str | None) -> str:
    """Check whatever has a new line in its timeline; return the id after which the next check begins."""
    floor, ends = _id(known) or invariant_checks.floor_before(OVERLAP), monotonic() + TIME_BOX
    while monotonic() < ends:
        with runtime().database.reading() as session:
            changed = invariant_checks.changed_after(session, floor, limit=LINES_AT_ONCE)
        _check(changed.ids)
        if changed.last is None:
            return str(invariant_checks.floor_before(OVERLAP))
        floor = changed.last
    log.warning("check_not_finished", next="the next check goes on from here")
    return str(floor)


def _check_some(known: str | None) -> str:
    """Check the next slices of everything; return the id after which the next check begins, empty at the end."""
    floor = _id(known)
    for _ in range(SLICES_OF_ALL):
        with runtime().database.reading() as session:
            part = all_after(session, floor)
        if part.last is None:
            return ""
        _check(part.ids)
        floor = part.last
    return str(floor)


def _id(known: str | None) -> UUID | None:
    try:
        return UUID(known or "")
    except ValueError:  # the end of the last round, or nothing of ours
        return None


def _check(ids: Sequence[UUID]) -> None:
    for start in range(0, len(ids), SLICE):
        with runtime().database.reading() as session:
            bookings = invariant_checks.load(session, ids[start : start + SLICE])
        for booking in bookings:
            _judge(booking)


def _judge(booking: Sequence[Case]) -> None:
    try:
        found = invariant_checks.judge([booking])
    except Exception as error:  # rows nobody foresaw must not keep all others from being looked at
        ids = [str(case.row.id) for case in booking]
        log.exception("invariants_not_judged", cancellation_ids=ids, error=type(error).__name__)
        return
    for cancellation_id in sorted(found):
        _block(cancellation_id)


def _block(cancellation_id: UUID) -> None:
    with runtime().database.transaction() as tx:
        new = invariant_checks.block(tx, cancellation_id)
    if new:
        log.error(
            "invariant_broken",
            cancellation_id=str(cancellation_id),
            broken=new,
            next="it needs review: nothing more is done until a person has looked",
        )


def _tell_overdue() -> None:
    with runtime().database.reading() as session:
        waiting = invariant_checks.overdue(session)
    if waiting.stuck:
        log.warning("cancellations_stuck", count=waiting.stuck, oldest_seconds=round(waiting.oldest_seconds))
