"""A storm from its start to its verdict: claims are made, events are sent and handled, then everything is compared."""

import random
import signal
import sys
import time
from collections import deque
from pathlib import Path

from rich.console import Console

from shared.db import Database
from tests.chaos import report as chaos
from tests.chaos import stack as stacks
from tests.chaos.performance import INTERRUPTED, interrupt
from tests.chaos.plan import WrongSetting
from tests.chaos.rows import Rows
from tests.chaos.stack import Stack
from tests.processes import ProcessFailed
from tests.storm import claims, events, judge, plan, report
from tests.storm.plan import WAITING, Plan
from tests.storm.sending import Storm, Tale
from tests.storm.watch import Watch, settle

TELL_EVERY = 10.0
LOOK_EVERY = 0.1
WRITTEN_AT_ONCE = 100


def main() -> int:
    """Run as the environment says; return 0 only if every claim ended as it must."""
    out = Console(width=None if sys.stdout.isatty() else 200)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        figures, path = conduct(plan.read(), out)
    except (WrongSetting, ProcessFailed, RuntimeError) as failed:
        out.print(f"Stopped: {failed}", highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        out.print("Interrupted: everything has been shut down.")
        return INTERRUPTED
    report.show(out, figures, path)
    return 1 if figures["failed"] else 0


def conduct(wanted: Plan, out: Console) -> tuple[report.Figures, Path]:
    """Carry out a plan; return figures, with what must not be under `failed`, and where they were written."""
    begun = time.monotonic()
    out.print(
        f"Starting PostgreSQL, Redis, the insurer, web, two workers and beat: seed {wanted.seed}.", highlight=False
    )
    with stacks.running(plan.stack(wanted), name="storm") as running, claims.opened(running) as database:
        tales = prepare(running, database, wanted)
        out.print(f"{time.monotonic() - begun:5.0f} s  {len(tales)} claims are made", highlight=False)
        storm, url = Storm(running, database, wanted, tales), running.postgresql.url

        def tell(line: str) -> None:
            out.print(line, highlight=False)

        with Watch(url, storm, backlog=wanted.backlog, tell=tell, tell_every=TELL_EVERY) as watch:
            sending = _send(storm, running)
            is_settled = settle(url, patience=wanted.settle)
        rows = Rows(url)
        failed = judge.judge(rows, running.insurer, tales, storm.sent) + judge.confirmed_twice(running.insurer)
        rows.close()
        figures = report.compile_figures(running, wanted, storm, watch, sending=sending)
    if not is_settled:
        failed.insert(0, f"something was still to be done {wanted.settle:.0f} s after the last progress")
    figures |= {"failed": failed, "seconds": round(time.monotonic() - begun, 1), "machine": chaos.machine()}
    return figures, report.save(figures, running.folder)


def prepare(running: Stack, database: Database, wanted: Plan) -> list[Tale]:
    """Make every claim at the insurer, and write the rows of those that are not late."""
    chance = random.Random(wanted.seed)
    late = [events.is_late(chance) for _ in range(wanted.claims)]
    awaited = [number % WAITING == 0 and not is_late for number, is_late in enumerate(late)]
    made = claims.make(running, awaited)
    tales = [
        Tale(made=one, actions=deque(events.story(chance, is_late=is_late)), is_open=not is_late)
        for one, is_late in zip(made, late, strict=True)
    ]
    opened = [tale.made for tale in tales if tale.is_open]
    for first in range(0, len(opened), WRITTEN_AT_ONCE):
        with database.transaction() as tx:
            for one in opened[first : first + WRITTEN_AT_ONCE]:
                claims.write(tx, one)
    return tales


def _send(storm: Storm, running: Stack) -> float:
    begun = time.monotonic()
    storm.start()
    while not storm.is_over:
        running.processes.check()
        time.sleep(LOOK_EVERY)
    return time.monotonic() - begun
