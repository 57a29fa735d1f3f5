"""Many waiting jobs and one slow worker: how many messages does that make? `make flood`, or JOBS=… MINUTES=… with it.

Every job's first message waits for as long as the run lasts, and whatever a step rings for joins the end of the queue.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.chaos import plan as plans
from tests.chaos import report, stack
from tests.chaos.messages import MessageCounter
from tests.chaos.rows import Rows
from tests.processes import ProcessFailed

JOBS, MINUTES = 20_000, 10.0
LATENCY = 0.5
"""Seconds before each of the insurer's answers: with four at once the worker takes some eight requests a second."""
SENDERS = 8
MESSAGES_A_STEP = 2.0
TOLD_EVERY = 30.0
STEPS_DONE = "SELECT count(*) FROM transitions WHERE event = 'step_done'"
WAITING = "SELECT count(*) FROM cancellations WHERE status = 'in_progress'"
RUNG = "SELECT coalesce(sum(rings), 0) FROM cancellations"


def main() -> int:
    """Return 0 only if there were fewer than two messages for each step that was done or waits."""
    out = Console(width=None if sys.stdout.isatty() else 120)
    try:
        plan = plans.read({"JOBS": str(JOBS), "MINUTES": str(MINUTES), "SEED": "0", **os.environ})
        figures, path = conduct(plan, out)
    except (plans.WrongSetting, ProcessFailed) as failed:
        out.print(f"Stopped: {failed}", highlight=False, markup=False)
        return 1
    table = Table(title="One slow worker")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        if not isinstance(value, dict):
            table.add_row(name.replace("_", " "), str(value))
    out.print(table, f"Written to {path}")
    return 0 if figures["messages_a_step"] < MESSAGES_A_STEP else 1


def conduct(plan: plans.Plan, out: Console) -> tuple[report.Report, object]:
    """Fill the queue, let the one worker work, and count."""
    with stack.running(plan) as running, MessageCounter(running.redis.url) as messages:
        running.processes.stop(stack.WORKERS[1])
        running.insurer.settings(latency=LATENCY)
        _fill(running, plan.jobs, out)
        begun, until = time.monotonic(), time.monotonic() + plan.seconds
        rows = Rows(running.postgresql.url)
        while time.monotonic() < until:
            time.sleep(min(TOLD_EVERY, max(until - time.monotonic(), 0)))
            done, waiting = rows.read(STEPS_DONE)[0][0], rows.read(WAITING)[0][0]
            told = f"{time.monotonic() - begun:5.0f} s  steps done {done} · waiting {waiting}"
            out.print(f"{told} · messages {messages.sent_for_steps}", highlight=False)
        figures: report.Report = {
            "jobs": plan.jobs,
            "seconds": round(time.monotonic() - begun),
            "steps_done": rows.read(STEPS_DONE)[0][0],
            "jobs_waiting": rows.read(WAITING)[0][0],
            "messages": messages.sent_for_steps,
            "rung_again": rows.read(RUNG)[0][0],
            "machine": report.machine(),
        }
        rows.close()
    figures["messages_a_step"] = round(figures["messages"] / (figures["steps_done"] + figures["jobs_waiting"]), 3)
    return figures, report.save(figures, running.folder)


def _fill(running: stack.Stack, jobs: int, out: Console) -> None:
    headers = {"Authorization": f"Bearer {running.token}"}
    with httpx.Client(base_url=running.gateway, headers=headers, timeout=60, trust_env=False) as http:

        def accept(_number: int) -> None:
            body = {"booking_id": running.insurer.add_booking(policies=[{}]).id, "refund": {"mode": "skip"}}
            answer = http.post("/v1/cancellations", json=body, headers={"Idempotency-Key": str(uuid4())})
            answer.raise_for_status()

        with ThreadPoolExecutor(SENDERS) as senders:
            accepting = senders.map(accept, range(jobs))
            for _ in track(accepting, description="Accepting", total=jobs, console=out):
                pass


if __name__ == "__main__":
    sys.exit(main())
