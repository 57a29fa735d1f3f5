"""Idempotency keys for outbound effects: one row per effect, committed before the request leaves."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from shared.columns import new_id
from shared.db import Transaction, now_plus
from shared.lifecycle import Step
from shared.models import Call, Cancellation

_NAMESPACE = UUID("5f0e3c1c-4d52-5d0a-9e0e-6a1d0c8f7b21")


class FingerprintChanged(Exception):
    """The body of a repeat differs from the first one's: a bug; the key must not go out with it."""


def latest(session: Session, cancellation_id: UUID, step: Step) -> Call | None:
    """Return the newest call of a step, or None when none was ever intended."""
    of_step = select(Call).where(Call.cancellation_id == cancellation_id, Call.step == step)
    return session.scalars(of_step.order_by(Call.round.desc()).limit(1)).first()


def intend(
    tx: Transaction,
    held: Cancellation,
    step: Step,
    *,
    round_number: int,
    body: Mapping[str, Any],
    evidence: Mapping[str, Any],
) -> Call:
    """Write that a request is about to leave; on a repeat the same row and the same key."""
    of_round = select(Call).where(Call.cancellation_id == held.id, Call.step == step, Call.round == round_number)
    call = tx.session.scalars(of_round).first()
    fingerprint = hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
    if call is None:
        call = Call(
            id=new_id(),
            cancellation_id=held.id,
            step=step,
            round=round_number,
            key=str(uuid5(_NAMESPACE, f"{held.id}:{step}:{round_number}")),
            fingerprint=fingerprint,
            request=dict(evidence),
            attempts=0,
            first_sent_at=held.begun_at,
            is_doubtful=False,
            must_read_back=False,
        )
        tx.session.add(call)
    elif call.fingerprint != fingerprint and call.outcome == "not_sent" and not call.is_doubtful:
        call.fingerprint, call.request = fingerprint, dict(evidence)  # nobody has ever seen the key with the other body
    elif call.fingerprint != fingerprint:
        raise FingerprintChanged(
            f"{step} of cancellation {held.id}, round {round_number}: the body differs from the first one's"
        )
    elif call.outcome in {"sent", "unknown"}:
        call.is_doubtful = True  # "sent" that nobody followed up: the worker died with the request on its way
    call.attempts += 1
    call.outcome = "sent"
    call.last_sent_at = held.begun_at
    tx.session.flush()
    return call


def record(
    tx: Transaction,
    call: Call,
    outcome: str,
    *,
    status: int | None = None,
    answer: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Write what came of a call."""
    values: dict[str, Any] = {"outcome": outcome, **more}
    if outcome == "unknown":
        values["is_doubtful"] = True
    if status is not None:
        values["answer_status"] = status
    if answer is not None:
        values["answer"] = dict(answer)
    tx.session.execute(update(Call).where(Call.id == call.id).values(**values))


def is_unsettled(call: Call | None) -> bool:
    """Tell whether the effect may have happened without our knowing."""
    return call is not None and (call.outcome in {"sent", "unknown"} or call.is_doubtful or call.must_read_back)


def is_open(call: Call) -> bool:
    """Tell whether the same request may go out again under its key."""
    return call.outcome not in {"done", "not_done"}


def settle_done(tx: Transaction, cancellation_id: UUID, step: Step) -> None:
    """Write that a step's newest call, if there is one, did what it asked for."""
    call = latest(tx.session, cancellation_id, step)
    if call is not None:
        record(tx, call, "done", is_doubtful=False, must_read_back=False)


def settle_not_done(tx: Transaction, call: Call) -> None:
    """Write that the effect is proven not to have happened: the next attempt is a new call with a new key."""
    record(tx, call, "not_done", is_doubtful=False, must_read_back=False)


def note_absent(tx: Transaction, call: Call) -> None:
    """Write that a complete reading did not show the effect, if it is the first."""
    tx.session.execute(
        update(Call).where(Call.id == call.id, Call.absent_since.is_(None)).values(absent_since=now_plus(0))
    )


def next_round(session: Session, cancellation_id: UUID, step: Step) -> int:
    """Return the number of a new call of this step, which has a new key."""
    highest = session.scalar(
        select(func.max(Call.round)).where(Call.cancellation_id == cancellation_id, Call.step == step)
    )
    return (highest or 0) + 1


def is_older(session: Session, call: Call, *, seconds: float, since: str = "last_sent_at") -> bool:
    """Tell by the database's clock whether a call's moment lies more than `seconds` back."""
    column = getattr(Call, since)
    return bool(session.scalar(select(column <= now_plus(-seconds)).where(Call.id == call.id)))


def seconds_until_older(session: Session, call: Call, *, seconds: float, since: str = "last_sent_at") -> float:
    """Return how long until `is_older` holds; zero when it does."""
    moment, now = session.execute(select(getattr(Call, since), now_plus(0)).where(Call.id == call.id)).one()
    return max(0.0, float((moment - now).total_seconds()) + seconds)
