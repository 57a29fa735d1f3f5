"""Accepting many cancellations at once: a chunk of a batch is one insert, whose keys are claimed like single ones.

No message is sent for them: they wait for their turn at the insurer (`shared.turns`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.batch_models import Batch
from shared.cancellation_request import CancellationRequest, fingerprint
from shared.db import Transaction
from shared.intake import acceptance, due_now, new_row
from shared.models import Cancellation, Transition
from shared.problems import Problem
from shared.turns import BULK, HELD, bulk_places

MOST_LINES = 500
"""Lines of one call: larger ones gain no speed, and keep their locks longer."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a batch: its key, its body as it was sent, and what that asks for."""

    key: str
    sent: Mapping[str, Any]
    request: CancellationRequest


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of some lines, by their place among them."""

    ids: dict[int, UUID] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    refused: dict[int, Problem] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """How many of them are new."""
        return len(self.ids) - len(self.repeated)


def take(tx: Transaction, lines: Mapping[int, Line], *, batch: Batch, actor: str) -> Taken:
    """Store the new ones of these lines in a batch that the transaction has locked; `lines` is by place."""
    taken = Taken()
    firsts = {lines[place].key: place for place in sorted(lines, reverse=True)}
    # By key: two transactions that store the same lines must not wait for each other.
    rows = {key: _row(lines[firsts[key]], batch=batch) for key in sorted(firsts)}
    new = _insert(tx, list(rows.values()), batch=batch)
    history = [acceptance(row_id, actor=actor) for row_id in new.values()]
    if history:
        tx.session.execute(insert(Transition), history)
    known = known_keys(tx.session, caller=batch.caller, keys=[key for key in rows if key not in new])
    for place, line in lines.items():
        if line.key in new:
            row = rows[line.key]
            known_now = Known(id=new[line.key], fingerprint=row["fingerprint"], partner=row["partner"])
            _recognise(taken, place, known_now, line.sent, partner=batch.partner)
            if firsts[line.key] == place:
                taken.repeated.discard(place)
        else:
            _recognise(taken, place, known[line.key], line.sent, partner=batch.partner)
    return taken


def recognise(
    session: Session, sent: Mapping[int, tuple[str, Mapping[str, Any]]], *, caller: str, partner: str
) -> Taken:
    """Tell which lines of a partner's batch, `(key, body)` by place, stand for a cancellation already.

    The others are in no part of it.
    """
    known = known_keys(session, caller=caller, keys=[key for key, _ in sent.values()])
    taken = Taken()
    for place, (key, body) in sent.items():
        if key in known:
            _recognise(taken, place, known[key], body, partner=partner)
    return taken


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a key stands for."""

    id: UUID
    fingerprint: str
    partner: str


def known_keys(session: Session, *, caller: str, keys: Sequence[str]) -> dict[str, Known]:
    """Return what each of a caller's keys stands for, if anything."""
    if not keys:
        return {}
    columns = (Cancellation.idempotency_key, Cancellation.id, Cancellation.fingerprint, Cancellation.partner)
    found = select(*columns).where(Cancellation.caller == caller, Cancellation.idempotency_key.in_(keys))
    return {
        key: Known(id=row_id, fingerprint=digest, partner=partner)
        for key, row_id, digest, partner in session.execute(found)
    }


def _recognise(taken: Taken, place: int, known: Known, sent: Mapping[str, Any], *, partner: str) -> None:
    """A line names no partner of its own: the same line in another partner's batch is another request."""
    if known.fingerprint == fingerprint(sent) and known.partner == partner:
        taken.ids[place] = known.id
        taken.repeated.add(place)
    else:
        detail = "This key stands for a request with another body, or of another partner; use a new key for a new one."
        taken.refused[place] = Problem("idempotency-key-reused", detail, id=str(known.id))


def _row(line: Line, *, batch: Batch) -> dict[str, Any]:
    return new_row(line.request, sent=line.sent, caller=batch.caller, key=line.key)


def _insert(tx: Transaction, rows: Sequence[dict[str, Any]], *, batch: Batch) -> dict[str, UUID]:
    """Insert the rows whose key is new, and return their ids by key."""
    if not rows:
        return {}
    places = bulk_places(tx, partner=batch.partner, caller=batch.caller, count=len(rows))
    turn_class = HELD if batch.status == "paused" else BULK
    values = [
        {**row, "batch_id": batch.id, "turn_class": turn_class, "turn": turn}
        for row, turn in zip(rows, places, strict=True)
    ]
    table: Any = Cancellation.__table__
    dialect = sqlite if tx.session.get_bind().dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(table)
        .values({table.c[name]: value for name, value in due_now(patience=None).items()})
        .on_conflict_do_nothing(index_elements=["caller", "idempotency_key"])
        .returning(table.c.idempotency_key, table.c.id)
    )
    named = [{"metadata": row.pop("metadata_"), **row} for row in values]
    inserted = tx.session.connection().execute(statement, named)
    return {row[0]: row[1] for row in inserted}
