"""One deployment for hundreds of deaths: a database, a Redis, the insurer, and processes that are made to die."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from shared import broker
from shared.config import WorkerSettings
from shared.db import Database
from tests.conftest import migrate
from tests.crash_matrix.dooms import FOLDER, Folder
from tests.processes import Processes
from tests.servers import free_port, fresh_database, postgresql_server, redis_server
from tests.simulator import (
    CLAIM_TYPE_ID,
    PARTNER_CODE,
    REFUND_SECRET,
    XCLAIM_API_KEY,
    XCLAIM_PASSWORD,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
    SimulatorServer,
)

WEBHOOK_KEY = "first-webhook-master-key"
BOOKING_KEY = ("our-listener", "booking-webhook-secret")
"""What XCover names and signs its webhooks with."""
TOKENS = "shop:shop-token,ops:ops-token:operator"
CLAIMS_A_PAGE = 1_000
"""All of them, and said so: a bare list that happens to have twenty claims could be the first page of more."""
NOBODY = "http://127.0.0.1:9"
"""Where XClaim's webhooks of the worker's runs go: their events are brought by the test, which knows the delivery."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What the processes share, and the same database and queues from the outside."""

    ports: dict[str, int]
    settings: WorkerSettings
    database: Database
    queues: Celery
    simulator: SimulatorServer
    dooms: Folder
    processes: Processes


def worker_command(concurrency: int) -> list[str]:
    """Return the command of a worker that can be doomed: the supervisor's own, but for the app and the probe."""
    return [
        *(sys.executable, "-m", "celery", "--app", "tests.crash_matrix.doomed_worker", "worker"),
        *("--queues", ",".join(broker.QUEUES), "--concurrency", str(concurrency), "--loglevel", "WARNING"),
        *("--task-events", "--without-gossip", "--without-mingle"),
    ]


def web_command(*, threads: int) -> list[str]:
    """Return the command of a gateway that can be doomed: one process whose threads all come to their boundaries."""
    command = ["gunicorn", "--config", "webhook_gateway/gunicorn_conf.py", "--threads", str(threads)]
    return [*command, "--workers", "1", "tests.crash_matrix.doomed_web:app"]


@contextmanager
def deployment(folder: Path, *, concurrency: int, threads: int = 4) -> Iterator[Deployment]:
    """Start servers and the insurer; which processes run when is the caller's business."""
    dooms = folder / "dooms"
    dooms.mkdir()
    with (
        postgresql_server() as server,
        fresh_database(server) as url,
        redis_server(private=True) as redis_url,
        SimulatorServer(webhook_tries=1, list_pagination=CLAIMS_A_PAGE) as simulator,
    ):
        migrate(url.replace("postgresql://", "postgresql+psycopg://", 1))
        ports = {"web": free_port(), "other-web": free_port()}
        environment = _environment(url, redis_url, simulator)
        commands = {
            "worker": worker_command(concurrency),
            "web": web_command(threads=threads),
            "other-web": web_command(threads=threads),
        }
        process_environment = {**environment, "PATH": os.environ["PATH"], FOLDER: str(dooms)}
        env_of = {name: {"PORT": str(port)} for name, port in ports.items()}
        settings = _settings(environment)
        queues = broker.create_celery(settings)
        database = Database(
            settings.database_url.get_secret_value(), publish=lambda messages: broker.publish(queues, messages)
        )
        try:
            with Processes(process_environment, [], folder, commands=commands, env_of=env_of) as processes:
                yield Deployment(
                    ports=ports,
                    settings=settings,
                    database=database,
                    queues=queues,
                    simulator=simulator,
                    dooms=Folder(dooms),
                    processes=processes,
                )
        finally:
            database.close()
            queues.close()


def _environment(url: str, redis_url: str, simulator: SimulatorServer) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "XCOVER_BASE_URL": simulator.xcover_url,
        "XCOVER_PARTNER_CODE": PARTNER_CODE,
        "XCOVER_RATE_LIMIT": "10000",
        "XCOVER_API_KEY": XCOVER_API_KEY,
        "XCOVER_API_SECRET": XCOVER_API_SECRET,
        "XCLAIM_BASE_URL": simulator.xclaim_url,
        "XCLAIM_API_KEY": XCLAIM_API_KEY,
        "XCLAIM_PASSWORD": XCLAIM_PASSWORD,
        "XCLAIM_CLAIM_TYPE_ID": CLAIM_TYPE_ID,
        "XCLAIM_WEBHOOK_KEYS": WEBHOOK_KEY,
        "XCOVER_WEBHOOK_KEYS": ":".join(BOOKING_KEY),
        "API_TOKENS": TOKENS,
        "PUBLIC_URL": NOBODY,
        "REFUND_URL": simulator.refund_url,
        "REFUND_SECRET": REFUND_SECRET,
        "READ_BACK_AFTER": "1s",
    }


def _settings(environment: dict[str, str]) -> WorkerSettings:
    values: dict[str, Any] = {name.lower(): value for name, value in environment.items() if name != "API_TOKENS"}
    return WorkerSettings(**values)
