"""Around a step's second and third beat: keep the lease while a call runs, turn an error into a decision in the row."""

import random
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import partial, wraps
from uuid import UUID

import structlog

from shared import calls, cancellations, log_context, transitions
from shared.broker import TASK_SOFT_LIMIT
from shared.db import AWAY, Transaction
from shared.insurer.errors import InFlight, InsurerError, OutcomeUnknown, Refused
from shared.lifecycle import Step
from shared.models import Call, Cancellation
from workers import step_spans
from workers.partners import SwitchedOff
from workers.plan import CannotGoOn
from workers.retries import Decision, NewRound, Park, Postpone, ReadBack, Reject, backoff, decide
from workers.runtime import partner_of, runtime
from workers.turn_taking import taking

RENEW_EVERY = 2.0
"""Seconds; a quarter of the lease, so that three renewals may fail before it runs out."""
MAX_UNEXPECTED = 5
"""Tries that may end in an error nobody foresaw before a person looks at it."""

log = structlog.get_logger()


@contextmanager
def keeping(held: Cancellation, step: Step, call: Call | None = None, *, sent_reasons: bool = False) -> Iterator[None]:
    """Keep the lease during the block; an insurer's error in it becomes a decision, written to the row.

    Any other exception is written as a postponement too, and then rises, so that Flower shows the failure.
    """
    named = log_context.about(**log_context.ids_of(held), step=step)
    with named, _deciding(held, step, call, sent_reasons=sent_reasons):
        yield


@contextmanager
def _deciding(held: Cancellation, step: Step, call: Call | None, *, sent_reasons: bool) -> Iterator[None]:
    try:
        with renewing(partial(cancellations.renew_lease, held=held), of=held.id):
            yield
    except transitions.LeaseLost as lost:
        log.warning("lease_lost", cancellation_id=str(held.id), step=step, problem=str(lost))
    except CannotGoOn as no:
        _write(held, step, partial(_reject, held=held, no=no))
    except SwitchedOff as off:
        _write(held, step, partial(_park_until_on, held=held, call=call, off=off))
    except InsurerError as error:
        _settle(held, step, call, error, sent_reasons=sent_reasons)
    except AWAY:
        raise  # nothing can be written now; the lease runs out and the sweeper rings
    except Exception as error:
        _record_unexpected(held, step, error)
        raise


@contextmanager
def renewing(renew: Callable[[Transaction], bool], *, of: UUID) -> Iterator[None]:
    """Renew a lease during the block, until `renew` says that it is no longer ours."""
    stop = threading.Event()
    run = copy_context().run  # its lines in the log carry the same ids
    keeper = threading.Thread(target=run, args=(_renew_until, renew, stop), name=f"lease-{of}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def stop_if_lost(held: Cancellation) -> None:
    """Raise LeaseLost if another worker has taken over: the last look before something irreversible leaves."""
    with runtime().database.reading() as session:
        if not cancellations.is_still_held(session, held):
            raise transitions.LeaseLost(f"cancellation {held.id}: the lease ran out before the request left")


def one_try(step: Step) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Wait for the step's turn, and count a try that fails before its lease is written.

    Or a row that cannot be begun would be rung for for ever.
    """

    def decorate(run: Callable[[str], None]) -> Callable[[str], None]:
        @wraps(run)
        def counted(cancellation_id: str) -> None:
            row_id = UUID(cancellation_id)
            named = log_context.about(cancellation_id=str(row_id), step=step)
            with named, step_spans.span_of(step, row_id), taking(step, row_id) as is_its_turn:
                if is_its_turn:
                    tried(cancellation_id)

        def tried(cancellation_id: str) -> None:
            try:
                run(cancellation_id)
            except AWAY:
                raise
            except SwitchedOff as off:
                _park_undone(UUID(cancellation_id), step, off)
            except Exception as error:
                with runtime().database.transaction() as tx:
                    held = cancellations.begin_step(tx, UUID(cancellation_id), step)
                if held is not None:  # `keeping` has not written anything: the row is still due
                    _record_unexpected(held, step, error)
                raise

        return counted

    return decorate


def _park_undone(cancellation_id: UUID, step: Step, off: SwitchedOff) -> None:
    with runtime().database.transaction() as tx:
        held = cancellations.begin_step(tx, cancellation_id, step)
        if held is not None:
            _park_until_on(tx, held=held, call=None, off=off)


def _renew_until(renew: Callable[[Transaction], bool], stop: threading.Event) -> None:
    renewals = int(TASK_SOFT_LIMIT / RENEW_EVERY)  # a hung task must not hold its row for ever
    for _ in range(renewals):
        if stop.wait(RENEW_EVERY):
            return
        try:
            with runtime().database.transaction() as tx:
                if not renew(tx):
                    return
        except AWAY as error:
            log.warning("lease_not_renewed", error=type(error).__name__, next="tried again in 2 s")


def _reject(tx: Transaction, *, held: Cancellation, no: CannotGoOn) -> None:
    cancellations.reject(tx, held, no.slug, str(no), **no.evidence)


def _park_until_on(tx: Transaction, *, held: Cancellation, call: Call | None, off: SwitchedOff) -> None:
    cancellations.park(tx, held, off.slug, f"{off}; retry it once that is switched on.")
    if call is not None:
        calls.record(tx, call, "not_sent")


def _write(held: Cancellation, step: Step, end: Callable[[Transaction], None]) -> None:
    try:
        with runtime().database.transaction() as tx:
            end(tx)
    except transitions.LeaseLost as lost:
        log.warning("lease_lost", cancellation_id=str(held.id), step=step, problem=str(lost))


def _settle(held: Cancellation, step: Step, call: Call | None, error: InsurerError, *, sent_reasons: bool) -> None:
    decision = decide(
        error,
        step=step,
        tries=held.tries,
        jitter=random.random(),  # noqa: S311 - spreads waits, hides nothing
        is_read=call is None,
        sent_reasons=sent_reasons,
    )
    if isinstance(decision, Postpone) and partner_of(held).answers_nobody(error):
        decision = replace(decision, counts=False)

    def end(tx: Transaction) -> None:
        _carry_out(tx, held, error, decision)
        if call is not None:  # after the cancellation's row: every transaction locks the two in this order
            _record_call(tx, call, error, decision)

    log.warning(
        "call_failed", cancellation_id=str(held.id), step=step, error=error.in_brief, then=type(decision).__name__
    )
    _write(held, step, end)


def _record_call(tx: Transaction, call: Call, error: InsurerError, decision: Decision) -> None:
    match error:
        case OutcomeUnknown() | InFlight():
            outcome = "unknown"  # 423: our key is being worked on, by a request of ours that went unanswered
        case Refused():
            outcome = "refused"
        case _:
            outcome = "not_sent"  # never left, or turned away at the door: certainly not done by this attempt
    more = {"must_read_back": True} if isinstance(decision, ReadBack) else {}
    calls.record(tx, call, outcome, status=error.status, answer=error.evidence, **more)


def _carry_out(tx: Transaction, held: Cancellation, error: InsurerError, decision: Decision) -> None:
    evidence = {"error": type(error).__name__, "http_status": error.status, "said": dict(error.evidence)}
    match decision:
        case Postpone(seconds=seconds, counts=counts):
            cancellations.postpone(tx, held, str(error), seconds=seconds, counts=counts, details=evidence)
        case ReadBack():
            cancellations.postpone(tx, held, f"{error}; reading back", seconds=0, details=evidence)
        case NewRound(with_reasons=with_reasons):
            keeps = held.sends_reasons and with_reasons
            wait = backoff(held.round, 0.0) if held.round > 1 else 0.0
            cancellations.renew_preview(tx, held, str(error), seconds=wait, sends_reasons=keeps)
        case Park(slug=slug):
            cancellations.park(tx, held, slug, str(error), evidence=evidence)
        case Reject(slug=slug):
            cancellations.reject(tx, held, slug, str(error), evidence=evidence)


def _record_unexpected(held: Cancellation, step: Step, error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown place"
    what = f"{type(error).__name__} in {where}"  # the message itself could hold personal data
    try:
        with runtime().database.transaction() as tx:
            if held.tries >= MAX_UNEXPECTED:
                detail = f"{step} failed {held.tries} times with an error nobody foresaw: {what}."
                cancellations.park(tx, held, "internal-error", detail)
            else:
                cancellations.postpone(tx, held, f"unexpected error: {what}", seconds=backoff(held.tries, 0.5))
    except (transitions.LeaseLost, *AWAY) as worse:
        log.warning(
            "failure_not_recorded",
            step=step,
            error=type(worse).__name__,
            next="the lease runs out, the sweeper rings",
        )
