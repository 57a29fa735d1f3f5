"""A bulk of cancellations against an insurer that allows so many requests a second, and single ones in its midst.

python -m bench.rate_limit, with JOBS (2,000), RATE (20) and URGENT (5) in the environment. OTHERS is how many more a
second partner hands over at the same time (none): it has an insurer, a limit and a line of its own, but the same
workers, of which there are twice as many then.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console

from tests.chaos import plan as plans
from tests.chaos import report, stack
from tests.chaos.rows import Rows
from tests.simulator import SimulatorServer
from tests.simulator.client import SimulatorControl
from tests.simulator.credentials import Credentials

JOBS = int(os.environ.get("JOBS", "2000"))
RATE = int(os.environ.get("RATE", "20"))
URGENT = int(os.environ.get("URGENT", "5"))
OTHERS = int(os.environ.get("OTHERS", "0"))
BUSY, TOO_MANY, SOON = 0.95, 0.005, 5.0
"""What is wanted: the share of the rate in use, the share answered 429, seconds of an urgent one beyond its calls."""
LINES = 500
PATIENCE = 60.0
LOOK_EVERY = 0.05
OTHER = Credentials(partner_code="OTHER", xcover_api_key="other_key", xcover_api_secret="other_secret")  # noqa: S106 - made up


def main() -> int:
    """Run once; return 0 only if everything that is wanted was reached."""
    out = Console(width=None if sys.stdout.isatty() else 200)
    plan = replace(plans.make(jobs=JOBS, minutes=0.5, seed=0), slots=4 if OTHERS else 2)  # of each of two workers
    with tempfile.TemporaryDirectory() as folder, SimulatorServer(credentials=OTHER, rate_limit=RATE) as others:
        settings = {"XCOVER_RATE_LIMIT": str(RATE), "PARTNERS_FILE": _partners_file(Path(folder), others)}
        with stack.running(plan, name="bench", **settings) as running:
            running.insurer.settings(rate_limit=RATE)
            urgent = _played(running, others, out)
            figures = _figures(running.insurer, urgent)
            if OTHERS:
                figures |= _of_others(others.control)
            path = report.save(figures, running.folder)
    out.print_json(data=figures)
    out.print(f"Written to {path}", highlight=False, soft_wrap=True)
    missed = [name for name, is_reached in figures["reached"].items() if not is_reached]
    for name in missed:
        out.print(f"not reached: {name}", style="bold red")
    return 1 if missed else 0


def _played(running: stack.Stack, others: SimulatorServer, out: Console) -> list[dict[str, float]]:
    """Hand everything over, wait until all of it has ended, and return what the urgent ones took."""
    headers = {"Authorization": f"Bearer {running.token}"}
    with httpx.Client(base_url=running.gateway, headers=headers, timeout=60, trust_env=False) as http:
        hand_over(http, running.insurer, JOBS)
        hand_over(http, others.control, OTHERS, partner=OTHER.partner_code)
        out.print(f"{JOBS + OTHERS} cancellations were handed over; each insurer allows {RATE} requests a second")
        begun = time.monotonic()
        urgent = [_urgent(http, running.insurer, (number + 1) * JOBS * 2 / RATE / (URGENT + 1), begun, out)
                  for number in range(URGENT)]  # fmt: skip
        _wait_for_all(running, out, begun)
    return urgent


def hand_over(http: httpx.Client, insurer: SimulatorControl, jobs: int, *, partner: str | None = None) -> None:
    """Hand so many over as one batch of a partner."""
    opened = http.post(
        "/v1/batches",
        json={"name": "show", "expected": jobs, "partner": partner},
        headers={"Idempotency-Key": str(uuid4())},
    )
    batch = opened.raise_for_status().json()["id"]
    bookings = [insurer.add_booking(policies=[{}]).id for _ in range(jobs)]
    for start in range(0, jobs, LINES):
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
    at_insurer = _at_insurer(insurer)
    slowest = max((one["seconds"] for one in urgent), default=0.0)
    return {
        "jobs": JOBS,
        "rate": RATE,
        **at_insurer,
        "urgent_seconds": {"median": median(one["seconds"] for one in urgent), "max": slowest} if urgent else {},
        "machine": report.machine(),
        "reached": {
            f"at least {BUSY} of the rate in use": at_insurer["busy"] >= BUSY,
            f"less than {TOO_MANY:.1%} answered 429": at_insurer["share_429"] < TOO_MANY,
            f"an urgent one within {SOON:.0f} s": slowest <= SOON,
            "each confirmed once": at_insurer["confirmed"] == JOBS + len(urgent),
        },
    }


def _of_others(insurer: SimulatorControl) -> dict[str, Any]:
    return {"others": {"jobs": OTHERS, **_at_insurer(insurer)}}


def _at_insurer(insurer: SimulatorControl) -> dict[str, Any]:
    """Return what one partner's insurer saw."""
    asked = [one for one in insurer.requests() if one["path"].startswith("/x/")]
    times = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in asked)
    too_many = Counter(one["status"] for one in asked)[429]
    return {
        "requests": len(asked),
        "seconds": round(times[-1] - times[0], 1),
        "busy": round((len(times) - too_many) / (times[-1] - times[0]) / RATE, 3),
        "answered_429": too_many,
        "share_429": round(too_many / len(asked), 4),
        "confirmed": len(insurer.effects("confirm")),
    }


def _partners_file(folder: Path, others: SimulatorServer) -> str:
    """Write down the second partner, and return where."""
    file = folder / "partners.toml"
    said = {
        "xcover_base_url": others.xcover_url,
        "xcover_api_key": OTHER.xcover_api_key,
        "xcover_api_secret": OTHER.xcover_api_secret,
        "xcover_rate_limit": str(RATE),
    }
    lines = [f'{name} = "{value}"' for name, value in said.items()]
    file.write_text("\n".join([f"[partners.{OTHER.partner_code}]", "claims_enabled = false", *lines]) + "\n")
    return str(file)


if __name__ == "__main__":
    sys.exit(main())
