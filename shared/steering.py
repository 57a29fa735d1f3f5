"""One press for many cancellations: what it would do is told first, and then done in small transactions.

Each row is changed by what changes a single one, under its rules. A press that was cut short is pressed again: it finds
what is left. Whoever works on a row at that moment keeps it, and it counts as left.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import audit, caller_actions, searching
from shared.db import Database, Transaction, now_plus
from shared.lifecycle import UNFINISHED, Status
from shared.models import Cancellation
from shared.problems import Problem
from shared.selection import Selection

MOST = 10_000
"""Cancellations that one press can mean: the oldest of those that are meant."""
CHUNK = 100
"""Rows that one transaction changes."""
PATIENCE = 15.0
"""Seconds after which a press begins nothing more: the platform waits 30 s for an answer. The rest is left."""
SHOWN = 20


class Action(StrEnum):
    """What can be done to many at once."""

    RETRY = "retry"
    """Take those that need review up again at their step."""
    SKIP_WAIT = "skip_wait"
    """Try those now that wait for their next try."""
    ABORT = "abort"
    """Take back those that are before their point of no return."""


_MEANT: dict[Action, frozenset[Status]] = {
    Action.RETRY: frozenset({Status.NEEDS_REVIEW}),
    Action.SKIP_WAIT: frozenset({Status.IN_PROGRESS}),
    Action.ABORT: frozenset({*UNFINISHED, Status.NEEDS_REVIEW}),
}
"""The statuses that an action is about, where the selection names neither a status nor ids."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a press would do now. `touched` is the number to send back as `at_most`."""

    action: Action
    touched: int
    is_capped: bool
    """There are more than MOST: another press is needed for the rest."""
    by_status: Mapping[str, int]
    by_step: Mapping[str, int]
    by_problem: Mapping[str, int]
    """Of those that would be touched."""
    refused: Mapping[str, int]
    """Of the others: how many for which reason."""
    ids: Sequence[UUID] = field(repr=False)
    """Those that would be touched, the oldest first."""

    @property
    def first_ids(self) -> Sequence[UUID]:
        """Return some of them, to look at."""
        return self.ids[:SHOWN]


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a press did: `left` were to be touched and were not, press again for them."""

    seen: Forecast
    """What was to be done."""
    done: int
    left: int
    refused: Mapping[str, int]
    """Of `seen` and of those that turned out not to fit."""


def forecast(session: Session, wanted: Selection, action: Action) -> Forecast:
    """Tell what would happen to how many, and change nothing."""
    now = session.scalars(select(now_plus(0))).one()
    found = _matching(session, wanted, action)
    by: dict[str, Counter[str]] = {name: Counter() for name in ("status", "step", "problem", "refused")}
    ids = []
    for row in found[:MOST]:
        refusal = _refusal(row, action, now)
        if refusal is not None:
            by["refused"][refusal] += 1
            continue
        ids.append(row.id)
        by["status"][row.status] += 1
        by["step"][row.next_step or "none"] += 1
        by["problem"][str(row.problem or "none").removeprefix("/problems/")] += 1
    return Forecast(
        action=action, touched=len(ids), is_capped=len(found) > MOST, by_status=by["status"], by_step=by["step"],
        by_problem=by["problem"], refused=by["refused"], ids=ids,
    )  # fmt: skip


def carry_out(
    database: Database,
    wanted: Selection,
    action: Action,
    *,
    actor: str,
    note: str | None,
    at_most: int,
    patience: float = PATIENCE,
) -> Done:
    """Do it, with one entry in the audit log; raise Problem `more-than-shown` where it would touch more than that."""
    with database.reading() as session:
        seen = forecast(session, wanted, action)
    ids = seen.ids
    if len(ids) > at_most:
        detail = f"{len(ids)} cancellations would be touched now, {at_most} were shown. Nothing was done."
        raise Problem("more-than-shown", detail, touched=len(ids), at_most=at_most)
    until = time.monotonic() + patience
    done, refused = 0, Counter[str]()
    for number, chunk in enumerate(ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
        if number and time.monotonic() >= until:
            break
        with database.transaction() as tx:
            if number == 0:
                _record(tx, wanted, action, actor=actor, note=note, touched=len(ids))
            did, said = _change(tx, chunk, action, actor=actor, note=note)
        done += did
        refused += said
    left = len(ids) - done - refused.total()
    return Done(seen=seen, done=done, left=left, refused=refused + Counter(seen.refused))


def _matching(session: Session, wanted: Selection, action: Action) -> Sequence[Any]:
    """Read what the rules look at, of the oldest that are meant and one more than may be touched.

    In place of the problem there is its type.
    """
    if wanted.search is not None:
        found = searching.matching(session, wanted.search, caller=wanted.caller)
        kept = found if wanted.ids is None else found & set(wanted.ids)
        wanted = replace(wanted, search=None, ids=tuple(kept))
    row = Cancellation
    meant = list(wanted.conditions().values())
    if wanted.status is None and wanted.ids is None:
        meant.append(row.status.in_(_MEANT[action]))
    if action is Action.SKIP_WAIT and wanted.ids is None:
        meant.append(row.next_attempt_at > now_plus(0))
    columns = (row.id, row.status, row.next_step, row.irreversible_at, row.lease_until, row.next_attempt_at)
    light = select(*columns, row.problem["type"].as_string().label("problem"))
    return session.execute(light.where(*meant).order_by(row.id).limit(MOST + 1)).all()


def _refusal(row: Any, action: Action, now: datetime) -> str | None:
    """Return why this one is left alone, in words that many share; `row` has at least what `_matching` reads."""
    if action is Action.ABORT:
        if row.status == Status.ABORTED:
            return "The cancellation is aborted already."
        refusal = caller_actions.why_not_aborted(row)
        return None if refusal is None else str(refusal)
    if action is Action.RETRY and row.status == Status.IN_PROGRESS:
        return "The cancellation is in_progress: it goes on by itself, and its wait may be skipped."
    if action is Action.SKIP_WAIT and row.status == Status.NEEDS_REVIEW:
        return "The cancellation is needs_review: it waits for a retry, not for time."
    if action is Action.SKIP_WAIT and row.next_attempt_at is not None and row.next_attempt_at <= now:
        return "The cancellation is due already: it does not wait for time."
    refusal = caller_actions.why_not_retried(row)
    return None if refusal is None else str(refusal)


def _change(
    tx: Transaction, ids: Sequence[UUID], action: Action, *, actor: str, note: str | None
) -> tuple[int, Counter[str]]:
    """Change those that nobody else has locked; return how many, and how many were refused why."""
    now = tx.session.scalars(select(now_plus(0))).one()
    free = select(Cancellation).where(Cancellation.id.in_(ids)).order_by(Cancellation.id)
    rows = tx.session.scalars(
        free.with_for_update(skip_locked=True), execution_options={"populate_existing": True}
    ).all()
    done, refused = 0, Counter[str]()
    for row in rows:
        refusal = _refusal(row, action, now)
        if refusal is not None:
            refused[refusal] += 1
        elif action is Action.ABORT:
            caller_actions.abort(tx, row.id, actor=actor)
            done += 1
        else:
            caller_actions.retry(tx, row.id, actor=actor, note=note)
            done += 1
    return done, refused


def _record(tx: Transaction, wanted: Selection, action: Action, *, actor: str, note: str | None, touched: int) -> None:
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    named = {name: [str(one) for one in value] if name == "ids" else str(value) for name, value in given.items()}
    audit.record(tx, f"bulk_{action}", actor=actor, note=note, meant=named, touched=touched)
