"""Everything the demo runs: an embedded Redis, a database file, the simulated insurer and the Procfile's processes."""

import base64
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers
from tests.processes import ROOT, Processes, is_answering
from tests.simulator import credentials

NAMES = ("web", "worker", "beat", "flower")
FLOWER_USER = "demo"
CALLER = "demo"
KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
"""Of the caller's environment; its proxies and settings are none of the demo's business."""


class PortTaken(Exception):
    """Somebody else listens where the demo wants to."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where everything listens."""

    web: int
    flower: int
    insurer: int
    redis: int


@dataclass(kw_only=True)
class Stack:
    """The running demo."""

    ports: Ports
    folder: Path
    redis_url: str
    token: str
    operator_token: str
    flower_password: str
    processes: Processes
    keeps_logs: bool = False
    """Set where something went wrong that the logs may explain."""

    @property
    def gateway(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.ports.web}"

    @property
    def flower(self) -> str:
        """Flower's address."""
        return f"http://127.0.0.1:{self.ports.flower}"

    @property
    def insurer(self) -> str:
        """The simulator's address."""
        return f"http://127.0.0.1:{self.ports.insurer}"

    def check(self) -> None:
        """Raise when a process has ended by itself."""
        self.processes.check()

    def is_flower_answering(self) -> bool:
        """Tell whether Flower lets us in with the password, and nobody without."""
        login = base64.b64encode(f"{FLOWER_USER}:{self.flower_password}".encode()).decode()
        with_password = is_answering(f"{self.flower}/workers", headers={"Authorization": f"Basic {login}"})
        return with_password and not is_answering(f"{self.flower}/workers")


def choose_ports(*, web: int | None, flower: int | None) -> Ports:
    """Choose free ports for what is not given; raise PortTaken for what is given and taken."""
    for name, port in (("PORT", web), ("Flower's port", flower)):
        if port is not None and servers.is_port_taken(port):
            advice = "set PORT to another" if name == "PORT" else "stop what listens there"
            raise PortTaken(f"{name} {port} is taken by another program: {advice}.")
    return Ports(
        web=web or servers.free_port(),
        flower=flower or servers.free_port(),
        insurer=servers.free_port(),
        redis=servers.free_port(),
    )


@contextmanager
def running(ports: Ports) -> Iterator[Stack]:
    """Start everything, and stop everything; the folder with its logs stays only where something went wrong."""
    home = ROOT / "var" / "demo"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=home))
    is_kept = True
    try:
        with servers.embedded_redis(ports.redis) as redis_url, _started(ports, folder, redis_url) as stack:
            yield stack
        is_kept = stack.keeps_logs
    except KeyboardInterrupt:
        is_kept = False
        raise
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(ports: Ports, folder: Path, redis_url: str) -> Iterator[Stack]:
    token, operator_token, password = (secrets.token_urlsafe(18) for _ in range(3))
    processes = Processes(
        {
            **environment(ports, folder, redis_url),
            "API_TOKENS": f"{CALLER}:{token},operator:{operator_token}:operator",
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}",
        },
        ["insurer"],
        folder,
        commands={"insurer": [sys.executable, "-m", "tests.simulator", "--port", str(ports.insurer)]},
        env_of={"web": {"PORT": str(ports.web)}, "flower": {"PORT": str(ports.flower)}},
    )
    stack = Stack(
        ports=ports,
        folder=folder,
        redis_url=redis_url,
        token=token,
        operator_token=operator_token,
        flower_password=password,
        processes=processes,
    )
    with processes:
        processes.run("release")
        for name in NAMES:
            processes.start(name)
        processes.wait_ready(f"{stack.insurer}/_control/health", name="insurer")
        processes.wait_ready(f"{stack.gateway}/readyz")
        yield stack


def environment(ports: Ports, folder: Path, redis_url: str) -> Mapping[str, str]:
    """Return the settings of every process, secrets that are made up anew each time aside."""
    insurer = f"http://127.0.0.1:{ports.insurer}"
    return {
        **inherited(),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": f"sqlite:///{folder / 'cfar.db'}",
        "REDIS_URL": redis_url,
        "XCOVER_BASE_URL": f"{insurer}/x/",
        "XCOVER_PARTNER_CODE": credentials.PARTNER_CODE,
        "XCOVER_RATE_LIMIT": "10000",  # the insurer here sets none
        "XCOVER_API_KEY": credentials.XCOVER_API_KEY,
        "XCOVER_API_SECRET": credentials.XCOVER_API_SECRET,
        "XCLAIM_BASE_URL": f"{insurer}/xclaim",
        "XCLAIM_API_KEY": credentials.XCLAIM_API_KEY,
        "XCLAIM_PASSWORD": credentials.XCLAIM_PASSWORD,
        "XCLAIM_CLAIM_TYPE_ID": credentials.CLAIM_TYPE_ID,
        "XCLAIM_WEBHOOK_KEYS": secrets.token_urlsafe(24),
        "REFUND_URL": f"{insurer}/partner/refunds",  # the simulator plays the partner's endpoint too
        "REFUND_SECRET": credentials.REFUND_SECRET,
        "PUBLIC_URL": f"http://127.0.0.1:{ports.web}",
        "READ_BACK_AFTER": "5s",  # ten minutes in earnest: nobody wants to watch that
        "WEB_CONCURRENCY": "2",
        "WORKER_CONCURRENCY": "4",
        "LOG_FORMAT": "text",
    }


def inherited() -> dict[str, str]:
    """Return what every process keeps of our own environment."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}
