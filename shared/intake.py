"""Accepting cancellations: an upstream key is claimed by one insert, and replayed or refused ever after."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.cancellation_request import CancellationRequest, fingerprint
from shared.columns import new_id
from shared.db import Transaction, insert_or_ignore, now_plus
from shared.lifecycle import DRY_RUN, TASK_OF, Journey, Status, Step, steps_of
from shared.models import Cancellation, Transition
from shared.problems import Problem
from shared.redaction import clean_text
from shared.trace_context import current, fresh
from shared.transitions import MESSAGE_PATIENCE


def accept(
    tx: Transaction,
    request: CancellationRequest,
    *,
    sent: Mapping[str, Any],
    caller: str,
    key: str,
) -> tuple[UUID, bool]:
    """Store a request as `cancellation_request.parse` returned it under the caller's key and return (id, created).

    `sent` is the body before defaults. Raises Problem `idempotency-key-reused` when the key came with another body.
    """
    values = new_row(request, sent=sent, caller=caller, key=key) | due_now(patience=MESSAGE_PATIENCE)
    values["traceparent"] = current() or values["traceparent"]  # one asked for alone belongs to its request's trace
    if not insert_or_ignore(tx.session, Cancellation, values, conflict=("caller", "idempotency_key")):
        return replay(tx.session, sent=sent, caller=caller, key=key, partner=request.partner), False
    tx.session.add(Transition(**acceptance(values["id"], actor=f"caller:{caller}")))
    tx.enqueue(TASK_OF[Step.LOOK_UP], values["id"])
    return values["id"], True


def replay(session: Session, *, sent: Mapping[str, Any], caller: str, key: str, partner: str | None = None) -> UUID:
    """Return the id the key stands for, if the body is the same as then, and the partner, which a line of a batch
    does not name itself.
    """
    existing = find_by_key(session, caller=caller, key=key)
    if existing is None:
        raise LookupError(f"caller {caller!r} holds no cancellation under this key although inserting one conflicted")
    is_anothers = existing.batch_id is not None and partner not in {None, existing.partner}
    if existing.fingerprint != fingerprint(sent) or is_anothers:
        detail = "This key stands for a request with another body; use a new key for a new request."
        raise Problem("idempotency-key-reused", detail, id=str(existing.id))
    return existing.id


def find_by_key(session: Session, *, caller: str, key: str) -> Cancellation | None:
    """Return the cancellation a caller's key stands for."""
    of_key = select(Cancellation).where(Cancellation.caller == caller, Cancellation.idempotency_key == key)
    return session.scalars(of_key).first()


def record_refused(
    tx: Transaction, problem: Problem, *, sent: Mapping[str, Any], caller: str, partner: str, key: str
) -> None:
    """Keep a request that a door without an answer (Celery) had to refuse, where an operator sees it."""
    booking = sent.get("booking_id")
    values: dict[str, Any] = {
        **_shell(sent=sent, caller=caller, partner=partner, key=key),
        "booking_id": clean_text(booking)[:64] if isinstance(booking, str) else "",
        "journey": Journey.CANCEL.value,
        "request": {},
        "metadata_": {},
        "steps": [],
        "quotes": [],
        "refund_mode": "wait",
        "status": Status.REJECTED.value,
        "next_step": None,
        **due_now(patience=None),
        "next_attempt_at": None,
        "problem": {member: _storable(value) for member, value in problem.document.items()},
    }
    if insert_or_ignore(tx.session, Cancellation, values, conflict=("caller", "idempotency_key")):
        refused = {"event": "rejected", "to_status": Status.REJECTED.value, "to_step": None}
        line = acceptance(values["id"], actor=f"caller:{caller}") | refused
        tx.session.add(Transition(**line | {"reason": clean_text(str(problem))}))


def new_row(request: CancellationRequest, *, sent: Mapping[str, Any], caller: str, key: str) -> dict[str, Any]:
    """Return the columns of a new cancellation, without its times, which only the database tells."""
    journey = request.journey or Journey.CANCEL
    if request.partner is None:
        raise ValueError("a request is stored with its partner, which cancellation_request.parse fills in")
    # A flag that says nothing is left out: the release before this one refuses names it does not know.
    unsaid = {"metadata", "callback_url", "partner"} | (set() if request.dry_run else {"dry_run"})
    return {
        **_shell(sent=sent, caller=caller, partner=request.partner, key=key),
        "booking_id": request.booking_id,
        "journey": DRY_RUN if request.dry_run else journey.value,
        "request": request.model_dump(mode="json", exclude=unsaid),
        "metadata_": request.metadata,
        "callback_url": request.callback_url,
        "steps": [step.value for step in steps_of(journey, dry_run=request.dry_run)],
        "quotes": [quote.model_dump(mode="json") for quote in request.quotes or []],
        "claim_quote_id": request.claim.quote_id if request.claim else None,
        "refund_mode": request.refund.mode,
        "status": Status.IN_PROGRESS.value,
        "next_step": Step.LOOK_UP.value,
    }


def due_now(*, patience: float | None) -> dict[str, Any]:
    """Return the times of a new row; without patience no message is on its way to it."""
    return {
        "created_at": now_plus(0),
        "updated_at": now_plus(0),
        "next_attempt_at": now_plus(0),
        "ring_after": None if patience is None else now_plus(patience),
    }


def acceptance(row_id: UUID, *, actor: str) -> dict[str, Any]:
    """Return the first line of a new cancellation's history."""
    return {
        "cancellation_id": row_id, "event": "accepted", "from_status": None, "to_status": Status.IN_PROGRESS.value,
        "from_step": None, "to_step": Step.LOOK_UP.value, "actor": actor, "reason": "accepted",
    }  # fmt: skip


def _shell(*, sent: Mapping[str, Any], caller: str, partner: str, key: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "partner": partner,
        "caller": caller,
        "idempotency_key": key,
        "fingerprint": fingerprint(sent),
        "done_steps": [],
        "round": 1,
        "sends_reasons": True,
        "lease": 0,
        "tries": 0,
        "abandoned": 0,
        "rings": 0,
        "traceparent": fresh(),
    }


def _storable(value: Any) -> Any:
    """Return a problem's member without what no database text can hold; a field's name is the sender's own."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    if isinstance(value, dict):
        return {clean_text(name): _storable(inner) for name, inner in value.items()}
    return value
