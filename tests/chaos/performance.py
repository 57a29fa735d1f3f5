"""A run from its start to its verdict: jobs flow while everything goes wrong, then everything must have ended.

JOBS=5000 MINUTES=20 SEED=1 python -m tests.chaos
"""

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from rich.console import Console

from tests.chaos import plan as plans
from tests.chaos import quiet, report, stack
from tests.chaos.faults import Faults
from tests.chaos.findings import compile_report
from tests.chaos.fleet import Fleet
from tests.chaos.messages import MessageCounter
from tests.chaos.partner import Partner
from tests.chaos.plan import Plan
from tests.chaos.recovery import RecoveryWatch
from tests.chaos.rows import AWAY, Rows
from tests.chaos.run import Run
from tests.chaos.schedule import Schedule
from tests.chaos.traffic import Traffic
from tests.processes import ProcessFailed

TOLD_EVERY = 10.0
LOOK_EVERY = 0.5
FIRST_WAIT = 180.0
INTERRUPTED = 130
FAULT_RATE = 0.06
"""Of the requests to the insurer and to the partner, and of the webhooks."""
FAULTS_EACH = 2
"""For each booking and operation: waits grow with each failure, and must have ended within two minutes."""
SLOW = 1.5
"""Seconds of a slow answer: a kill should find some steps in the middle of a call."""
WEBHOOK_TRIES = 8
UNFINISHED = "SELECT id::text FROM cancellations WHERE next_attempt_at IS NOT NULL"
COMPLETED = "SELECT count(*) FROM cancellations WHERE status = 'completed'"
UNHANDLED = "SELECT count(*) FROM webhook_deliveries WHERE handled_at IS NULL"


def main() -> int:
    """Run as the environment says; return 0 only if nothing was lost, doubled or stuck."""
    out = Console(width=None if sys.stdout.isatty() else 200)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        plan = plans.read()
        figures, path = conduct(plan, out)
    except (plans.WrongSetting, ProcessFailed, RuntimeError) as failed:
        out.print(f"Stopped: {failed}", highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        out.print("Interrupted: everything has been shut down.")
        return INTERRUPTED
    report.show(out, figures, path)
    return 1 if figures["failed"] else 0


def conduct(plan: Plan, out: Console) -> tuple[report.Report, Any]:
    """Carry out a plan; return its report and where it was written."""
    begun = time.monotonic()
    settings = f"{plan.jobs} jobs in {plan.seconds:.0f} s, seed {plan.seed}, keys {plan.key_mode}"
    out.print(f"Starting PostgreSQL, Redis, the insurer, web, two workers and beat: {settings}.", highlight=False)
    with stack.running(plan) as running, _equipped(running, plan) as run, _telling(out, run, begun):
        _set_insurer(run, plan, is_faulty=True)
        run.traffic.start()
        _wait_for_the_first(run)
        run.schedule.run()
        _set_insurer(run, plan, is_faulty=False)
        run.partner.sends_lost_webhooks = True
        run.settled_after = _settle(run, plan)
        if not run.stuck:
            run.flush = quiet.measure(running, plan, run.fleet, run.traffic)
            _settle(run, plan)
        figures = compile_report(run, plan)
    figures["seconds"] = round(time.monotonic() - begun, 1)
    figures["machine"] = report.machine()
    figures["failed"] = report.failures(figures, judges_recovery=plan.is_long)
    return figures, report.save(figures, running.folder)


@contextmanager
def _equipped(running: stack.Stack, plan: Plan) -> Iterator[Run]:
    with (
        Fleet(running.processes) as fleet,
        RecoveryWatch(running.postgresql.url) as watch,
        MessageCounter(running.redis.url) as messages,
        Traffic(running, plan) as traffic,
        Partner(running, plan, traffic) as partner,
    ):
        faults = Faults(running, plan, fleet, watch)
        try:
            yield Run(
                stack=running,
                fleet=fleet,
                watch=watch,
                messages=messages,
                traffic=traffic,
                partner=partner,
                faults=faults,
                schedule=Schedule(plan, faults),
            )
        finally:
            faults.close()


def _set_insurer(run: Run, plan: Plan, *, is_faulty: bool) -> None:
    chance = {"seed": plan.seed, "rate": FAULT_RATE, "limit": FAULTS_EACH, "slow": SLOW}
    run.stack.insurer.settings(
        random_faults=chance if is_faulty else None,
        latency=plan.latency,
        duplicates="accept",  # a second claim must show in the ledger, not be refused
        webhook_tries=WEBHOOK_TRIES,
    )


def _wait_for_the_first(run: Run) -> None:
    """Wait until something has ended: before that there is nothing to disturb."""
    rows, until = Rows(run.stack.postgresql.url), time.monotonic() + FIRST_WAIT
    while not rows.read(COMPLETED)[0][0]:
        if time.monotonic() > until:
            raise ProcessFailed(f"nothing was completed within {FIRST_WAIT:.0f} s of the start")
        time.sleep(LOOK_EVERY)
    rows.close()


def _settle(run: Run, plan: Plan) -> float:
    """Wait until everything has ended, or as long as it may take; note what has not, and return how long it took."""
    rows, begun = Rows(run.stack.postgresql.url), time.monotonic()
    while run.traffic.unanswered or not run.traffic.is_sent:
        if time.monotonic() - begun > plan.settle + plan.seconds:
            break
        time.sleep(LOOK_EVERY)
    begun, unfinished, unhandled = time.monotonic(), [("none was read",)], 1
    while (unfinished or unhandled) and time.monotonic() - begun < plan.settle:
        time.sleep(LOOK_EVERY)
        with suppress(*AWAY):
            unfinished, unhandled = rows.read(UNFINISHED), rows.read(UNHANDLED)[0][0]
    rows.close()
    run.stuck |= {row_id for (row_id,) in unfinished}
    run.webhooks_unhandled += unhandled
    return round(time.monotonic() - begun, 1)


@contextmanager
def _telling(out: Console, run: Run, begun: float) -> Iterator[None]:
    """Print a line now and then."""
    stop = threading.Event()

    def tell() -> None:
        rows = Rows(run.stack.postgresql.url)
        while not stop.wait(TOLD_EVERY):
            try:
                counts = dict(rows.read("SELECT status, count(*) FROM cancellations GROUP BY status"))
            except AWAY:
                counts = {"database": "away"}
            minutes, seconds = divmod(int(time.monotonic() - begun), 60)
            told = " · ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(Counter(counts).items()))
            doing = f" · {run.schedule.current.replace('_', ' ')}" if run.schedule.current else ""
            line = f"{minutes:02}:{seconds:02}  accepted {len(run.traffic.accepted)} · {told}{doing}"
            out.print(line, highlight=False, markup=False)
        rows.close()

    thread = threading.Thread(target=tell, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Take a signal as a Ctrl-C, once: then everything is shut down."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not stop the stopping
    raise KeyboardInterrupt
