"""The Celery door: `cancellations.*` does what POST /v1/cancellations and its actions do, without an answer.

Accepted means the row is committed. A message that cannot be taken becomes a `rejected` entry that an operator
sees; while the database is away the message goes back to the queue.
"""

import hashlib
import json
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any

import structlog
from celery import Task
from celery.exceptions import Reject, SoftTimeLimitExceeded

from shared import caller_actions, intake, log_context, refund_report, tracing, transitions
from shared.cancellation_request import parse
from shared.db import AWAY
from shared.idempotency import InvalidKey, read_key
from shared.lifecycle import TaskName
from shared.problems import Problem
from shared.trace_context import belonging_to, trace_id
from workers.app import app
from workers.runtime import runtime

DEFAULT_CALLER = "celery"
PAUSE = 2.0
"""Seconds before a message goes back while the database is away: no busy loop between worker and Redis."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Order:
    """A message whose sender and key are known; what it asks for is not read yet."""

    caller: str
    key: str
    fields: dict[str, Any]

    @property
    def actor(self) -> str:
        """Who acts, as the timeline names it."""
        return f"caller:{self.caller}"


@dataclass(frozen=True, kw_only=True)
class _Message:
    """A message as it came."""

    task: TaskName
    message_id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def door(task: TaskName) -> Callable[[Callable[[Order], None]], Callable[..., None]]:
    """Let a task's messages be taken or recorded, or put back while the database is away; none is ever dropped."""

    def decorate(take: Callable[[Order], None]) -> Callable[..., None]:
        @wraps(take)
        def run(self: Task, *args: Any, **kwargs: Any) -> None:
            message = _Message(task=task, message_id=str(self.request.id), args=args, kwargs=kwargs)
            try:
                with (
                    tracing.span(task.value) as trace,
                    belonging_to(trace),
                    log_context.about(trace_id=trace_id(trace)),
                ):
                    _take_or_record(take, message)
            except (SoftTimeLimitExceeded, *AWAY) as error:
                log.warning(
                    "request_put_back",
                    task=task.value,
                    error=type(error).__name__,
                    next=f"the message returns to its queue after {PAUSE} s",
                )
                with suppress(SoftTimeLimitExceeded):
                    time.sleep(PAUSE)
                raise Reject(reason="the database is away", requeue=True) from error

        return run

    return decorate


@app.task(name=TaskName.REQUEST, bind=True)
@door(TaskName.REQUEST)
def request(order: Order) -> None:
    """Accept a cancellation from a producer that speaks Celery."""
    wanted = parse(order.fields, settings=runtime().settings, caller=order.caller)
    with runtime().database.transaction() as tx:
        row_id, created = intake.accept(tx, wanted, sent=order.fields, caller=order.caller, key=order.key)
    log.info("request_accepted", cancellation_id=str(row_id), created=created, caller=order.caller)


@app.task(name=TaskName.REPORT_REFUND, bind=True)
@door(TaskName.REPORT_REFUND)
def report_refund(order: Order) -> None:
    """Take the partner's report that it has refunded its customer; a refused one stays in the timeline."""
    report = refund_report.parse(order.fields, actor=order.actor)
    with runtime().database.transaction() as tx:
        row = intake.find_by_key(tx.session, caller=order.caller, key=order.key)
        if row is None:
            raise _unknown(order, report=report.evidence())
        verdict = caller_actions.report_refund(tx, row.id, report)
    refused = verdict.problem.slug if verdict.problem else None
    log.info("refund_report_taken", cancellation_id=str(row.id), refused=refused, caller=order.caller)


@app.task(name=TaskName.ABORT, bind=True)
@door(TaskName.ABORT)
def abort(order: Order) -> None:
    """Take a cancellation back, before its point of no return; a refused abort stays in the timeline."""
    if order.fields:
        raise Problem("invalid-request", "An abort takes idempotency_key and caller, and nothing else.")
    with runtime().database.transaction() as tx:
        row = intake.find_by_key(tx.session, caller=order.caller, key=order.key)
        if row is None:
            raise _unknown(order)
        try:
            caller_actions.abort(tx, row.id, actor=order.actor)
        except Problem as refusal:  # raised before anything is written, so the note is all that is committed
            details = {"problem": refusal.document["type"]}
            transitions.note(tx, row, "abort_refused", actor=order.actor, reason=str(refusal), details=details)
            log.info("abort_refused", cancellation_id=str(row.id), problem=refusal.slug, caller=order.caller)


def _unknown(order: Order, **evidence: Any) -> Problem:
    detail = f"{order.caller!r} has no cancellation under this key; its request must be accepted first."
    return Problem("not-found", detail, **evidence)


def _take_or_record(take: Callable[[Order], None], message: _Message) -> None:
    """Take it, or keep the refusal; of an error nobody foresaw keep as much as can be stored."""
    try:
        try:
            take(_order(message))
        except Problem as refusal:
            sent = {name: value for name, value in message.kwargs.items() if name not in {"idempotency_key", "caller"}}
            _record(refusal, message, sent=sent)
    except (SoftTimeLimitExceeded, *AWAY):
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {frame.name}:{frame.lineno}"  # its message could hold personal data
        log.error("request_failed", error=what, next="an entry says so")  # noqa: TRY400 - nor may a traceback tell it
        problem = Problem("internal-error", f"Nothing was accepted; an error nobody foresaw: {what}.")
        _record(problem, message, sent={"booking_id": message.kwargs.get("booking_id")})


def _order(message: _Message) -> Order:
    """Read who sent it and under which key, or raise Problem."""
    fields = dict(message.kwargs)
    raw_key, caller = fields.pop("idempotency_key", None), fields.pop("caller", DEFAULT_CALLER)
    if message.args:
        raise Problem("invalid-request", "Give every field by its name; nothing is taken by position.")
    if not _is_known(caller):
        raise Problem("invalid-request", "caller is not a name of API_TOKENS.")
    try:
        key = read_key(raw_key if isinstance(raw_key, str) else None)
    except InvalidKey as error:
        raise Problem("idempotency-key-missing", str(error)) from error
    return Order(caller=caller, key=key, fields=fields)


def _is_known(caller: Any) -> bool:
    return isinstance(caller, str) and caller in {DEFAULT_CALLER, *runtime().settings.celery_callers}


def _record(problem: Problem, message: _Message, *, sent: dict[str, Any]) -> None:
    """Keep a refused message as an entry of its caller, or of the door itself where that is nobody we know."""
    given = message.kwargs.get("caller", DEFAULT_CALLER)
    caller, partner = given if _is_known(given) else DEFAULT_CALLER, runtime().settings.xcover_partner_code
    problem.document["task"] = message.task.value
    key = _key_of_refusal(message)
    with runtime().database.transaction() as tx:
        intake.record_refused(tx, problem, sent=sent, caller=caller, partner=partner, key=key)
    log.warning("request_refused", task=message.task.value, problem=problem.slug, key=key)


def _key_of_refusal(message: _Message) -> str:
    return f"{_legible(message.kwargs.get('idempotency_key'))}#refused-{_digest(message)[:16]}"


def _digest(message: _Message) -> str:
    """Return what tells refused messages apart; one too deep to be written out is told by its own id."""
    try:
        told = json.dumps([message.task.value, message.args, message.kwargs], sort_keys=True, default=str)
    except (RecursionError, ValueError, TypeError):
        told = message.message_id
    return hashlib.sha256(told.encode(errors="backslashreplace")).hexdigest()


def _legible(raw: Any) -> str:
    """Return what can be shown of a key; the rest of a refused key keeps it from taking a good request's place."""
    return "".join(char for char in raw if "!" <= char <= "~")[:200] if isinstance(raw, str) else ""
