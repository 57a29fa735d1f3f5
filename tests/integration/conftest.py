"""The web process as the Procfile starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.gateway import SHOP, WEBHOOK_KEYS
from tests.processes import ROOT
from tests.servers import free_port


@dataclass(frozen=True, kw_only=True)
class Served:
    """A gateway and its main process."""

    url: str
    process: subprocess.Popen[bytes]

    def workers(self) -> set[int]:
        """Return the processes that answer."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}


@pytest.fixture(scope="module")
def gunicorn(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway's address."""
    with serving(sqlite_template, tmp_path_factory.mktemp("web")) as served:
        yield served.url


@pytest.fixture(scope="module")
def crowded(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway of one process, with room for ten connections."""
    few = {"GUNICORN_CMD_ARGS": "--worker-connections 10", "WEB_CONCURRENCY": "1"}
    with serving(sqlite_template, tmp_path_factory.mktemp("crowded"), **few) as served:
        yield served


@contextmanager
def serving(template: Path, folder: Path, **more: str) -> Iterator[Served]:
    """Serve as the Procfile does, with a Redis that takes connections and never answers."""
    path, port = folder / "cfar.db", free_port()
    path.write_bytes(template.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as silent_redis:
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": f"sqlite:///{path}",
            "REDIS_URL": f"redis://127.0.0.1:{silent_redis.getsockname()[1]}/0",
            "API_TOKENS": f"shop:{SHOP}",
            "XCOVER_PARTNER_CODE": "ABCDE",
            "XCLAIM_WEBHOOK_KEYS": ",".join(WEBHOOK_KEYS),
            "PORT": str(port),
            **more,
        }
        command = ["-m", "gunicorn", "--config", "webhook_gateway/gunicorn_conf.py", "webhook_gateway.wsgi:app"]
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, start_new_session=True)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield Served(url=f"http://127.0.0.1:{port}", process=process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"gunicorn ended with {process.returncode}")
