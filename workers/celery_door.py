"""The Celery door: `cancellations.request` does what POST /v1/cancellations does, without an answer.

Accepted means the row is committed. A message that cannot be accepted becomes a `rejected` entry that an operator
sees; while the database is away the message goes back to the queue.
"""

import hashlib
import json
import time
from typing import Any

import structlog
from celery.exceptions import Reject
from sqlalchemy.exc import DBAPIError

from shared import intake
from shared.cancellation_request import parse
from shared.idempotency import InvalidKey, read_key
from shared.lifecycle import TaskName
from shared.problems import Problem
from workers.app import app
from workers.runtime import runtime

DEFAULT_CALLER = "celery"
PAUSE = 2.0
"""Seconds before a message goes back while the database is away: no busy loop between worker and Redis."""

log = structlog.get_logger()


@app.task(name=TaskName.REQUEST)
def request(*args: Any, **kwargs: Any) -> None:
    """Accept a cancellation from a producer that speaks Celery."""
    try:
        _accept_or_record(args, kwargs)
    except DBAPIError as error:
        log.warning(
            "request_put_back",
            error=type(error).__name__,
            next=f"the message returns to its queue after {PAUSE} s",
        )
        time.sleep(PAUSE)
        raise Reject(reason="the database is away", requeue=True) from error


def _accept_or_record(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
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
        shown_caller, shown_key = caller if is_known else DEFAULT_CALLER, _key_of_refused(raw_key, [args, kwargs])
        with runtime().database.transaction() as tx:
            intake.record_refused(tx, problem, sent=sent, caller=shown_caller, partner=partner, key=shown_key)
        log.warning("request_refused", problem=problem.slug, detail=str(problem), key=shown_key)


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


def _key_of_refused(raw: Any, message: Any) -> str:
    """Return a key of its own for a refused message, so that it never takes the place of a good request's."""
    text = json.dumps(message, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]
    name = "".join(char for char in raw if "!" <= char <= "~")[:200] if isinstance(raw, str) else ""
    return f"{name}#refused-{digest}"
