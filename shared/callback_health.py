"""How the endpoints fare that callers are told at: failing, tried by one worker at a time, disabled, enabled again."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from shared import outbound
from shared.callback_answers import Told
from shared.callback_models import CallbackEndpoint
from shared.columns import new_id
from shared.db import Transaction, insert_or_ignore, now_plus

DISABLED_AFTER = timedelta(days=5)
"""An endpoint that failed for so long, and took nothing in all that time, is not tried any more."""
SUCCESS_NOTED_EVERY = timedelta(minutes=1)
"""A busy endpoint's row would otherwise be written at each message."""
DISABLED = "callback_endpoint_disabled"

_UNSYNCED: dict[str, Any] = {"synchronize_session": False}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a caller is told, and how that endpoint has fared so far; None before its first try."""

    caller: str
    url: str
    endpoint: CallbackEndpoint | None


def of(session: Session, caller: str, url: str) -> CallbackEndpoint | None:
    """Return how the endpoint at this address has fared; None before its first try."""
    return session.scalars(select(CallbackEndpoint).where(*_is(caller, url))).first()


def disabled(session: Session) -> int:
    """Return how many endpoints nothing is sent to any more."""
    return session.scalar(select(func.count()).where(CallbackEndpoint.disabled_at.is_not(None))) or 0


def enable(tx: Transaction, *, caller: str, url: str) -> None:
    """Begin with an endpoint as if it had never failed."""
    values = {"disabled_at": None, "failing_since": None, "probed_until": None}
    enabled = update(CallbackEndpoint).where(*_is(caller, url)).values(**values)
    tx.session.execute(enabled, execution_options=_UNSYNCED)


def may_probe(tx: Transaction, endpoint: CallbackEndpoint, *, seconds: float) -> bool:
    """Take the turn to try a failing endpoint, unless somebody has it."""
    is_free = or_(CallbackEndpoint.probed_until.is_(None), CallbackEndpoint.probed_until < now_plus(0))
    taken = update(CallbackEndpoint).where(CallbackEndpoint.id == endpoint.id, is_free)
    statement = taken.values(probed_until=now_plus(seconds)).returning(CallbackEndpoint.id)
    return tx.session.scalar(statement, execution_options=_UNSYNCED) is not None


def note(tx: Transaction, place: Place, told: Told, *, tries: int) -> None:
    """Write that an endpoint works or fails, and disable one that is gone or has failed for days."""
    known = place.endpoint
    now = tx.session.scalars(select(now_plus(0))).one()
    if told.is_taken:
        is_noted = known is not None and known.failing_since is None and known.last_success_at is not None
        if is_noted and known is not None and now - (known.last_success_at or now) < SUCCESS_NOTED_EVERY:
            return
        _write(tx, place, failing_since=None, probed_until=None, last_success_at=now)
        return
    since = known.failing_since if known is not None and known.failing_since is not None else now
    # A message's first try disables nothing: long ago something may have failed, and nothing was sent since.
    is_disabled = told.is_gone or (tries > 1 and now - since >= DISABLED_AFTER)
    _write(tx, place, failing_since=since, probed_until=None, **({"disabled_at": now} if is_disabled else {}))
    if is_disabled:
        tx.log(
            DISABLED, level=logging.ERROR, caller=place.caller, origin=outbound.origin(place.url),
            failing_since=since.astimezone(UTC).isoformat(), last=told.error,
            next="nothing is sent there until a replay",
        )  # fmt: skip


def _write(tx: Transaction, place: Place, **values: datetime | None) -> None:
    origin = outbound.origin(place.url)
    if place.endpoint is None:
        new = {"id": new_id(), "caller": place.caller, "origin": origin, **values}
        if insert_or_ignore(tx.session, CallbackEndpoint, new, conflict=("caller", "origin")):
            return
    written = update(CallbackEndpoint).where(*_is(place.caller, place.url)).values(**values)
    tx.session.execute(written, execution_options=_UNSYNCED)


def _is(caller: str, url: str) -> tuple[ColumnElement[bool], ...]:
    return CallbackEndpoint.caller == caller, CallbackEndpoint.origin == outbound.origin(url)
