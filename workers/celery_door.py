"""The Celery door: `cancellations.request` does what POST /v1/cancellations does, without an answer.

Accepted means the row is committed. A message that cannot be accepted becomes a `rejected` entry that an operator
sees; while the database is away the message goes back to the queue.
"""

import hashlib
import json
import time
import traceback
from contextlib import suppress
from typing import Any

import structlog
from celery import Task
from celery.exceptions import Reject, SoftTimeLimitExceeded

from shared import intake
from shared.cancellation_request import parse
from shared.db import AWAY
from shared.idempotency import InvalidKey, read_key
from shared.lifecycle import TaskName
from shared.problems import Problem
from workers.app import app
from workers.runtime import runtime

DEFAULT_CALLER = "celery"
PAUSE = 2.0
"""Seconds before a message goes back while the database is away: no busy loop between worker and Redis."""

log = structlog.get_logger()


@app.task(name=TaskName.REQUEST, bind=True)
def request(self: Task, *args: Any, **kwargs: Any) -> None:
    """Accept a cancellation from a producer that speaks Celery."""
    try:
        _accept_or_record(args, kwargs, message_id=str(self.request.id))
    except (SoftTimeLimitExceeded, *AWAY) as error:
        log.warning(
            "request_put_back",
            error=type(error).__name__,
            next=f"the message returns to its queue after {PAUSE} s",
        )
        with suppress(SoftTimeLimitExceeded):
            time.sleep(PAUSE)
        raise Reject(reason="the database is away", requeue=True) from error


def _accept_or_record(args: tuple[Any, ...], kwargs: dict[str, Any], *, message_id: str) -> None:
    """Accept, or keep the refusal; of an error nobody foresaw keep as much as can be stored."""
    try:
        _accept_or_record_refusal(args, kwargs, message_id=message_id)
    except (SoftTimeLimitExceeded, *AWAY):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {frame.name}:{frame.lineno}"  # its message could hold personal data
        log.error("request_failed", error=what, next="an entry says so")  # noqa: TRY400 - nor may a traceback tell it
        problem = Problem("internal-error", f"Nothing was accepted; an error nobody foresaw: {what}.")
        sent = {"booking_id": kwargs.get("booking_id")}
        _record(problem, sent=sent, caller=DEFAULT_CALLER, key=_key_of_refusal(args, kwargs, message_id=message_id))


def _accept_or_record_refusal(args: tuple[Any, ...], kwargs: dict[str, Any], *, message_id: str) -> None:
    settings, sent = runtime().settings, dict(kwargs)
    raw_key, caller = sent.pop("idempotency_key", None), sent.pop("caller", DEFAULT_CALLER)
    is_known = isinstance(caller, str) and caller in {DEFAULT_CALLER, *settings.celery_callers}
    partner = settings.xcover_partner_code
    try:
        _check_envelope(args, is_known_caller=is_known)
        key = _key(raw_key)
        wanted = parse(sent, settings=settings)
        with runtime().database.transaction() as tx:
            row_id, created = intake.accept(tx, wanted, sent=sent, caller=caller, partner=partner, key=key)
        log.info("request_accepted", cancellation_id=str(row_id), created=created, caller=caller)
    except Problem as problem:
        key = _key_of_refusal(args, kwargs, message_id=message_id)
        _record(problem, sent=sent, caller=caller if is_known else DEFAULT_CALLER, key=key)


def _record(problem: Problem, *, sent: dict[str, Any], caller: str, key: str) -> None:
    partner = runtime().settings.xcover_partner_code
    with runtime().database.transaction() as tx:
        intake.record_refused(tx, problem, sent=sent, caller=caller, partner=partner, key=key)
    log.warning("request_refused", problem=problem.slug, key=key)


def _check_envelope(args: tuple[Any, ...], *, is_known_caller: bool) -> None:
    if args:
        raise Problem("invalid-request", "Give every field by its name; nothing is taken by position.")
    if not is_known_caller:
        raise Problem("invalid-request", "caller is not a name of API_TOKENS.")


def _key(raw: Any) -> str:
    try:
        return read_key(raw if isinstance(raw, str) else None)
    except InvalidKey as error:
        raise Problem("idempotency-key-missing", str(error)) from error


def _key_of_refusal(args: tuple[Any, ...], kwargs: dict[str, Any], *, message_id: str) -> str:
    digest = _digest([args, kwargs], message_id=message_id)
    return f"{_legible(kwargs.get('idempotency_key'))}#refused-{digest[:16]}"


def _digest(message: Any, *, message_id: str) -> str:
    """Return what tells refused messages apart; one too deep to be written out is told by its own id."""
    try:
        told = json.dumps(message, sort_keys=True, default=str)
    except (RecursionError, ValueError, TypeError):
        told = message_id
    return hashlib.sha256(told.encode(errors="backslashreplace")).hexdigest()


def _legible(raw: Any) -> str:
    """Return what can be shown of a key; the rest of a refused key keeps it from taking a good request's place."""
    return "".join(char for char in raw if "!" <= char <= "~")[:200] if isinstance(raw, str) else ""
