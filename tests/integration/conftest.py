"""The web process as the Procfile starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway import SHOP, WEBHOOK_KEYS
from tests.processes import ROOT
from tests.servers import free_port


@pytest.fixture(scope="module")
def gunicorn(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The web process as the Procfile starts it, with a Redis that takes connections and never answers."""
    path = tmp_path_factory.mktemp("web") / "cfar.db"
    path.write_bytes(sqlite_template.read_bytes())
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent_redis:
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": f"sqlite:///{path}",
            "REDIS_URL": f"redis://127.0.0.1:{silent_redis.getsockname()[1]}/0",
            "API_TOKENS": f"shop:{SHOP}",
            "XCOVER_PARTNER_CODE": "ABCDE",
            "XCLAIM_WEBHOOK_KEYS": ",".join(WEBHOOK_KEYS),
            "PORT": str(port),
        }
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            "webhook_gateway/gunicorn_conf.py",
            "webhook_gateway.wsgi:app",
        ]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
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
