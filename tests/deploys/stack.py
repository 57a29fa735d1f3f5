"""Every Procfile process on a database, a Redis and an insurer of its own, stopped as a platform stops them.

What must be so afterwards is not this module's business.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import redis

from tests.conftest import migrate
from tests.deploys.conftest import service_settings
from tests.deploys.rollout import TOKENS
from tests.processes import Processes
from tests.servers import embedded_redis, free_port, fresh_database, postgresql_server
from tests.simulator import SimulatorServer

NAMES = ("web", "worker", "beat")
PLATFORM_WAIT = 30.0
"""Seconds from SIGTERM to SIGKILL on Heroku."""


@dataclass(frozen=True)
class Stack:
    """The service's processes, and what they depend on."""

    url: str
    database_url: str
    server_url: str
    redis_url: str
    env: Mapping[str, str]
    log_dir: Path
    simulator: SimulatorServer

    def start(self) -> Processes:
        """Start every process, ready or not: a platform does not wait either."""
        return Processes(self.env, NAMES, self.log_dir)

    def client(self) -> httpx.Client:
        """Return a caller's client."""
        headers = {"Authorization": f"Bearer {TOKENS['shop']}", "Connection": "close"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    def post(self, key: str, **body: Any) -> httpx.Response:
        """Ask for a cancellation under a key."""
        with self.client() as client:
            return client.post("/v1/cancellations", json=body, headers={"Idempotency-Key": key})

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what the database holds."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def shut_out_of_database(self) -> None:
        """Have the database refuse and end every connection of the processes, as one that goes down does."""
        name = urlsplit(self.database_url).path.strip("/")
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    def shut_down_redis(self) -> None:
        """End Redis; what it held is gone."""
        with redis.Redis.from_url(self.redis_url) as server:
            server.shutdown(nosave=True)


@contextmanager
def running_stack(log_dir: Path) -> Iterator[Stack]:
    """Give a stack with nothing started yet."""
    with (
        postgresql_server() as server,
        fresh_database(server) as url,
        embedded_redis() as redis_url,
        SimulatorServer() as simulator,
    ):
        migrate(url.replace("postgresql://", "postgresql+psycopg://", 1))
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        env = {
            **service_settings(simulator, redis_url=redis_url, public_url=address),
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "DATABASE_URL": url,
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "4",
        }
        yield Stack(address, url, server, redis_url, env, log_dir, simulator)


def everyone(processes: Processes) -> list[psutil.Process]:
    """Return every process there is at this moment."""
    parents = [psutil.Process(processes.pid(name)) for name in NAMES]
    return [*parents, *(child for parent in parents for child in parent.children(recursive=True))]


def terminate(family: list[psutil.Process], *, times: int = 1, apart: float = 0.3) -> None:
    """Send SIGTERM to every process at once, as platforms do, and again if told so."""
    for number in range(times):
        if number:
            time.sleep(apart)
        for process in family:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue


def left_over(family: list[psutil.Process]) -> list[str]:
    """Wait as long as a platform does; return who is still there, which it would kill."""
    _, alive = psutil.wait_procs(family, timeout=PLATFORM_WAIT)
    return [" ".join(process.cmdline()) for process in alive]
