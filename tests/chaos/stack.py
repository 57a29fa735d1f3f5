"""Everything a run stands on: PostgreSQL, Redis, the simulated insurer, two workers, gunicorn and beat."""

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.plan import Plan
from tests.demo.stack import inherited
from tests.embedded import EmbeddedPostgresql, EmbeddedRedis, free_port
from tests.processes import ROOT, Processes, procfile
from tests.simulator import credentials
from tests.simulator.client import SimulatorControl

WORKERS = ("worker-1", "worker-2")
SERVICE = ("web", *WORKERS, "beat")
CALLER = "shop"
START_WAIT = 180.0
"""Seconds that only bound a hang: how fast a start is, the machine's other work decides."""


@dataclass(kw_only=True)
class Stack:
    """What is running."""

    folder: Path
    """Logs and reports."""
    gateway: str
    token: str
    webhook_key: str
    """The configured key that XClaim's webhooks are signed with, or with keys derived from it."""
    postgresql: EmbeddedPostgresql
    redis: EmbeddedRedis
    insurer: SimulatorControl
    insurer_url: str
    processes: Processes


@contextmanager
def running(plan: Plan, *, name: str = "chaos", **settings: str) -> Iterator[Stack]:
    """Start everything; stop everything. The folder with the logs stays, below the run's name.

    `settings` of the service take the place of those that a run usually has.
    """
    home = ROOT / "var" / name
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=home))
    web, insurer = free_port(), free_port()
    token, webhook_key = secrets.token_urlsafe(18), secrets.token_urlsafe(24)
    with EmbeddedPostgresql() as postgresql, EmbeddedRedis() as redis:
        environment = {
            **_settings(f"http://127.0.0.1:{insurer}", f"http://127.0.0.1:{web}"),
            "XCLAIM_WEBHOOK_KEYS": webhook_key,
            "READ_BACK_AFTER": f"{plan.read_back_after}s",
            "DATABASE_URL": postgresql.url,
            "REDIS_URL": redis.url,
            "API_TOKENS": f"{CALLER}:{token}",
            "CALLER_RATE_LIMIT": "0",  # what is measured is how much it takes, and how it takes it
            "PORT": str(web),
            "WEB_CONCURRENCY": str(plan.gateways),
            "WORKER_CONCURRENCY": str(plan.slots),
            **settings,
        }
        worker = procfile()["worker"]
        simulator = [sys.executable, "-m", "tests.simulator", "--port", str(insurer), "--key-mode", plan.key_mode]
        commands = {"insurer": simulator, **dict.fromkeys(WORKERS, worker)}
        processes = Processes(environment, ["insurer"], folder, commands=commands)
        with processes, SimulatorControl(f"http://127.0.0.1:{insurer}", timeout=60) as control:
            processes.run("release", seconds=START_WAIT)
            for name in SERVICE:
                processes.start(name)
            processes.wait_ready(f"http://127.0.0.1:{insurer}/_control/health", name="insurer", seconds=START_WAIT)
            processes.wait_ready(f"http://127.0.0.1:{web}/readyz", seconds=START_WAIT)
            yield Stack(
                folder=folder,
                gateway=f"http://127.0.0.1:{web}",
                token=token,
                webhook_key=webhook_key,
                postgresql=postgresql,
                redis=redis,
                insurer=control,
                insurer_url=f"http://127.0.0.1:{insurer}",
                processes=processes,
            )
    shutil.rmtree(folder / "tmp", ignore_errors=True)


def _settings(insurer: str, gateway: str) -> dict[str, str]:
    return {
        **inherited(),
        "PYTHONUNBUFFERED": "1",
        "XCOVER_BASE_URL": f"{insurer}/x/",
        "XCOVER_PARTNER_CODE": credentials.PARTNER_CODE,
        "XCOVER_RATE_LIMIT": "10000",  # the insurer here sets none
        "XCOVER_API_KEY": credentials.XCOVER_API_KEY,
        "XCOVER_API_SECRET": credentials.XCOVER_API_SECRET,
        "XCLAIM_BASE_URL": f"{insurer}/xclaim",
        "XCLAIM_API_KEY": credentials.XCLAIM_API_KEY,
        "XCLAIM_PASSWORD": credentials.XCLAIM_PASSWORD,
        "XCLAIM_CLAIM_TYPE_ID": credentials.CLAIM_TYPE_ID,
        "XCLAIM_CLAIMS_BY_BOOKING_PATH": "partners/{partner}/bookings/{booking_id}/claims",
        "REFUND_URL": f"{insurer}/partner/refunds",  # the simulator plays the partner's endpoint too
        "REFUND_SECRET": credentials.REFUND_SECRET,
        "PUBLIC_URL": gateway,
    }
