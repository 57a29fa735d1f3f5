"""A bulk of cancellations against an insurer that allows so many requests a second, and single ones in its midst.

python -m bench.rate_limit, with JOBS (2,000), RATE (20) and URGENT (5) in the environment.
"""

import os
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console

from tests.chaos import plan as plans
from tests.chaos import report, stack
from tests.chaos.rows import Rows
from tests.simulator.client import SimulatorControl

JOBS = int(os.environ.get("JOBS", "2000"))
RATE = int(os.environ.get("RATE", "20"))
URGENT = int(os.environ.get("URGENT", "5"))
BUSY, TOO_MANY, SOON = 0.95, 0.005, 5.0
"""What is wanted: the share of the rate in use, the share answered 429, seconds of an urgent one beyond its calls."""
LINES = 500
PATIENCE = 60.0
LOOK_EVERY = 0.05


def main() -> int:
    """Run once; return 0 only if everything that is wanted was reached."""
    out = Console(width=None if sys.stdout.isatty() else 200)
    plan = replace(plans.make(jobs=JOBS, minutes=0.5, seed=0), slots=2)  # of each of two workers
    with stack.running(plan, name="bench", XCOVER_RATE_LIMIT=str(RATE)) as running:
        running.insurer.settings(rate_limit=RATE)
        headers = {"Authorization": f"Bearer {running.token}"}
        with httpx.Client(base_url=running.gateway, headers=headers, timeout=60, trust_env=False) as http:
            hand_over(http, running.insurer)
            out.print(f"{JOBS} cancellations were handed over; the insurer allows {RATE} requests a second")
            begun = time.monotonic()
            urgent = [_urgent(http, running.insurer, (number + 1) * JOBS * 2 / RATE / (URGENT + 1), begun, out)
                      for number in range(URGENT)]  # fmt: skip
            _wait_for_all(running, out, begun)
        figures = _figures(running.insurer, urgent)
        path = report.save(figures, running.folder)
    out.print_json(data=figures)
    out.print(f"Written to {path}", highlight=False, soft_wrap=True)
    missed = [name for name, is_reached in figures["reached"].items() if not is_reached]
    for name in missed:
        out.print(f"not reached: {name}", style="bold red")
    return 1 if missed else 0


def hand_over(http: httpx.Client, insurer: SimulatorControl) -> None:
    """Hand the bulk over as one batch."""
    opened = http.post(
        "/v1/batches", json={"name": "show", "expected": JOBS}, headers={"Idempotency-Key": str(uuid4())}
    )
    batch = opened.raise_for_status().json()["id"]
    bookings = [insurer.add_booking(policies=[{}]).id for _ in range(JOBS)]
    for start in range(0, JOBS, LINES):
        chunk = bookings[start : start + LINES]
        lines = [{"booking_id": booking, "idempotency_key": booking, "refund": {"mode": "skip"}} for booking in chunk]
        http.post(f"/v1/batches/{batch}/cancellations", json={"cancellations": lines}).raise_for_status()


def _urgent(
    http: httpx.Client, insurer: SimulatorControl, after: float, begun: float, out: Console
) -> dict[str, float]:
    """Hand over a single one so many seconds after the beginning, and return what it took."""
    time.sleep(max(begun + after - time.monotonic(), 0))
    booking = insurer.add_booking(policies=[{}]).id
    sent = time.monotonic()
    body = {"booking_id": booking, "refund": {"mode": "skip"}}
    accepted = http.post("/v1/cancellations", json=body, headers={"Idempotency-Key": str(uuid4())})
    where = accepted.raise_for_status().headers["Location"]
    while http.get(where).raise_for_status().json()["status"] != "completed":
        if time.monotonic() - sent > PATIENCE:
            raise RuntimeError(f"an urgent cancellation was not confirmed after {PATIENCE:.0f} s")
        time.sleep(LOOK_EVERY)
    took = time.monotonic() - sent
    out.print(f"  an urgent one was confirmed after {took:.2f} s", highlight=False)
    return {"seconds": round(took, 2)}


def _wait_for_all(running: stack.Stack, out: Console, begun: float) -> None:
    rows, told = Rows(running.postgresql.url), 0.0
    last, changed_at = -1, time.monotonic()
    while True:
        (left,) = rows.read("SELECT count(*) FROM cancellations WHERE next_attempt_at IS NOT NULL")[0]
        if not left:
            break
        if left != last:
            last, changed_at = left, time.monotonic()
        if time.monotonic() - changed_at > PATIENCE:
            raise RuntimeError(f"{left} cancellations have not moved for {PATIENCE:.0f} s")
        if time.monotonic() - told > 20:
            told = time.monotonic()
            out.print(f"{told - begun:5.0f} s  {left} to go", highlight=False)
        time.sleep(0.2)
    rows.close()


def _figures(insurer: SimulatorControl, urgent: list[dict[str, float]]) -> dict[str, Any]:
    asked = [one for one in insurer.requests() if one["path"].startswith("/x/")]
    times = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in asked)
    answered = Counter(one["status"] for one in asked)
    busy = (len(times) - answered[429]) / (times[-1] - times[0]) / RATE
    too_many = answered[429] / len(asked)
    slowest = max((one["seconds"] for one in urgent), default=0.0)
    return {
        "jobs": JOBS,
        "rate": RATE,
        "requests": len(asked),
        "seconds": round(times[-1] - times[0], 1),
        "busy": round(busy, 3),
        "answered_429": answered[429],
        "share_429": round(too_many, 4),
        "urgent_seconds": {"median": median(one["seconds"] for one in urgent), "max": slowest} if urgent else {},
        "confirmed": len(insurer.effects("confirm")),
        "machine": report.machine(),
        "reached": {
            f"at least {BUSY} of the rate in use": busy >= BUSY,
            f"less than {TOO_MANY:.1%} answered 429": too_many < TOO_MANY,
            f"an urgent one within {SOON:.0f} s": slowest <= SOON,
            "each confirmed once": len(insurer.effects("confirm")) == JOBS + len(urgent),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
