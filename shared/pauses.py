"""Stopping everything, one partner or one step: what is paused is not begun, and goes on where it stands when resumed.

Whatever is in hand ends first. Nothing is written to the cancellations themselves, so that nothing can be forgotten
in them.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import Session

from shared import audit
from shared.db import Transaction, insert_or_ignore, now_plus
from shared.lifecycle import Step
from shared.models import Cancellation
from shared.operations_models import Pause

ALL = ""
"""In place of a partner's code or a step's name."""


def not_paused() -> ColumnElement[bool]:
    """Return the condition under which a cancellation's next step may begin."""
    return ~exists().where(
        or_(Pause.partner == ALL, Pause.partner == Cancellation.partner),
        or_(Pause.step == ALL, Pause.step == Cancellation.next_step),
    )


def pause(tx: Transaction, *, partner: str = ALL, step: Step | None = None, by: str, note: str | None = None) -> bool:
    """Begin nothing more of a partner, of a step, of both, or at all; return False where that is paused already."""
    values = {"partner": partner, "step": step or ALL, "paused_at": now_plus(0), "paused_by": by, "note": note}
    is_new = insert_or_ignore(tx.session, Pause, values, conflict=("partner", "step"))
    if is_new:
        audit.record(tx, "pause", actor=by, note=note, partner=partner, step=step or ALL)
        tx.log("paused", by=by, partner=partner, step=step or ALL)
    return is_new


def resume(tx: Transaction, *, partner: str = ALL, step: Step | None = None, by: str, note: str | None = None) -> bool:
    """Take back exactly this pause; the sweeper rings for what waited. Return False where there is none."""
    taken = delete(Pause).where(Pause.partner == partner, Pause.step == (step or ALL)).returning(Pause.step)
    was_paused = tx.session.scalar(taken) is not None
    if was_paused:
        audit.record(tx, "resume", actor=by, note=note, partner=partner, step=step or ALL)
        tx.log("resumed", by=by, partner=partner, step=step or ALL)
    return was_paused


def in_force(session: Session) -> Sequence[Pause]:
    """Return every pause, the oldest first."""
    return session.scalars(select(Pause).order_by(Pause.paused_at)).all()
