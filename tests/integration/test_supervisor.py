"""The supervisor with a real Redis, real Celery workers of a tiny app, and real signals."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil  # type: ignore[import-untyped]  # types are not installed for one test
import pytest
import redis
from celery import Celery

from tests import servers

pytestmark = pytest.mark.processes
WAIT = 30.0
Found = TypeVar("Found")

APP = """
    import os, pathlib, time
    from celery import Celery
    from workers import progress

    app = Celery("tiny", broker=os.environ["TINY_BROKER"])
    app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True, task_ignore_result=True)
    progress.connect()
    if os.environ.get("TINY_EXIT"):
        raise SystemExit(int(os.environ["TINY_EXIT"]))

    @app.task(name="worker.probe")
    def probe() -> None: ...

    @app.task(name="tiny.write")
    def write(name: str, seconds: float = 0) -> None:
        time.sleep(seconds)
        pathlib.Path(name).write_text(str(os.getpid()))
"""

RUN = """
    import os, sys
    from celery import Celery
    from workers.supervisor import Supervisor, Timing

    queues = os.environ.get("TINY_QUEUES", "tiny,probe.tiny")
    command = [
        sys.executable, "-m", "celery", "--app", "tiny", "worker", "--queues", queues, "--concurrency", "2",
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
    ]
    timing = Timing(
        stall_after=float(os.environ.get("TINY_STALL", "60")),
        stop_after=float(os.environ.get("TINY_STOP", "10")),
        first_pause=0.1, longest_pause=0.2, stall_grace=1, look_every=0.05,
    )
    app = Celery("probe", broker=os.environ["TINY_BROKER"])
    sys.exit(Supervisor(command, app=app, probe_queue="probe.tiny", timing=timing).run())
"""


class Supervised:
    """A supervisor in a process of its own, and the tiny app's tasks."""

    def __init__(self, folder: Path, broker: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.broker = broker
        self.celery = Celery("client", broker=broker)
        self.celery.conf.task_default_queue = "tiny"
        self.temporary = folder / "tmp"  # what a killed supervisor leaves must not pile up in /tmp
        self.temporary.mkdir(exist_ok=True)
        (folder / "tiny.py").write_text(textwrap.dedent(APP))
        (folder / "run.py").write_text(textwrap.dedent(RUN))
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "run.py"],
            cwd=folder,
            env={
                **os.environ,
                "TINY_BROKER": broker,
                "PYTHONPATH": str(folder),
                "TMPDIR": str(self.temporary),
                **environment,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def write(self, name: str, *, seconds: float = 0) -> Path:
        """Have a worker write a file."""
        path = self.folder / name
        self.celery.send_task("tiny.write", args=[str(path), seconds], queue="tiny")
        return path

    def write_until_done(self, name: str) -> None:
        """Send again and again, as the sweeper does: Redis may hand a message to a dead worker."""
        until = time.monotonic() + WAIT
        while not self.write(name).exists():
            assert time.monotonic() < until, f"{name} was never written\n{self.log()}"
            time.sleep(0.5)

    def worker(self) -> int:
        """The main process of the present worker."""
        return int(wait_until(lambda: children_of(self.process.pid), "worker")[0].pid)

    def close(self) -> None:
        if self.process.poll() is None:
            for child in children_of(self.process.pid):
                os.killpg(child.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self._log.close()
        self.celery.close()


def children_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def members_of(session: int) -> list[int]:
    """Living processes of a worker's session, zombies aside."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess, PermissionError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def wait_until(found: Callable[[], Found], what: str, seconds: float = WAIT) -> Found:
    until = time.monotonic() + seconds
    while True:
        if result := found():
            return result
        assert time.monotonic() < until, f"no {what} within {seconds} s"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with servers.redis_server(private=True) as url:
        yield url


@pytest.fixture
def supervise(tmp_path: Path, broker: str) -> Iterator[Callable[..., Supervised]]:
    with redis.Redis.from_url(broker) as server:
        server.flushall()
    started: list[Supervised] = []

    def start(**environment: str) -> Supervised:
        started.append(Supervised(tmp_path, broker, environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_worker_whose_main_process_was_killed_is_replaced_and_consumes_again(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise()
    wait_until(supervised.write("before").exists, "first task")
    first = supervised.worker()
    os.kill(first, signal.SIGKILL)
    supervised.write_until_done("after")
    assert supervised.worker() != first
    assert members_of(first) == []
    assert "worker_died" in supervised.log()
    assert "worker_restarted" in supervised.log()


def test_a_worker_that_is_stopped_in_its_tracks_is_replaced(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(TINY_STALL="2")
    wait_until(supervised.write("before").exists, "first task")
    first = supervised.worker()
    os.killpg(first, signal.SIGSTOP)
    supervised.write_until_done("after")
    assert members_of(first) == []
    assert "worker_stalled" in supervised.log()


def test_a_worker_that_lives_and_consumes_nothing_is_replaced(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(TINY_STALL="4", TINY_QUEUES="somewhere.else")
    wait_until(lambda: "worker_restarted" in supervised.log(), "restart")
    assert "worker_stalled" in supervised.log()
    with redis.Redis.from_url(supervised.broker) as server:
        assert server.llen("probe.tiny") == 1, "at most one unread probe"
        assert 0 < int(server.ttl("probe.tiny")) <= 600


def test_an_idle_worker_answers_its_probes_and_is_left_alone(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(TINY_STALL="4")
    wait_until(supervised.write("before").exists, "first task")
    first = supervised.worker()
    time.sleep(7)
    assert supervised.worker() == first
    assert "worker_stalled" not in supervised.log()


def test_no_verdict_is_given_while_redis_is_away(tmp_path: Path) -> None:
    with servers.redis_server(private=True) as url:
        supervised = Supervised(tmp_path, url, {"TINY_STALL": "2"})
        wait_until(supervised.write("before").exists, "first task")
        first = supervised.worker()
    try:
        wait_until(lambda: supervised.log().count("probe_not_sent") >= 5, "probes that were not sent")
        # Celery itself may die of a lost broker now and then; what must not happen is our taking it for stalled.
        assert supervised.worker() == first or "worker_died" in supervised.log()
        assert "worker_stalled" not in supervised.log()
    finally:
        supervised.close()


@pytest.mark.parametrize(
    ("number", "environment"),
    [(signal.SIGTERM, {}), (signal.SIGTERM, {"REMAP_SIGTERM": "SIGQUIT"}), (signal.SIGINT, {})],
)
def test_a_stop_lets_the_task_in_hand_end_and_leaves_nothing(
    supervise: Callable[..., Supervised], number: signal.Signals, environment: dict[str, str]
) -> None:
    supervised = supervise(**environment)
    wait_until(supervised.write("before").exists, "first task")
    worker = supervised.worker()
    last = supervised.write("last", seconds=2)
    time.sleep(0.5)
    for pid in (*members_of(worker), supervised.process.pid, supervised.process.pid):
        if number is signal.SIGTERM or pid == supervised.process.pid:  # platforms send it to every process
            os.kill(pid, number)
    assert supervised.process.wait(15) == 0
    assert last.exists()
    assert members_of(worker) == []
    assert list(supervised.temporary.glob("cfar-worker-*")) == []
    with redis.Redis.from_url(supervised.broker) as server:
        assert server.keys("*probe*") == []


def test_a_task_that_does_not_end_is_killed_in_time(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(TINY_STOP="2")
    wait_until(supervised.write("before").exists, "first task")
    worker = supervised.worker()
    endless = supervised.write("endless", seconds=600)
    time.sleep(0.5)
    asked_at = time.monotonic()
    supervised.process.terminate()
    assert supervised.process.wait(10) == 0
    assert time.monotonic() - asked_at < 5
    assert members_of(worker) == []
    assert not endless.exists()
    assert list(supervised.temporary.glob("cfar-worker-*")) == []


def test_a_worker_with_wrong_settings_is_not_restarted(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(TINY_EXIT="78")
    assert supervised.process.wait(WAIT) == 78
    assert "worker_restarted" not in supervised.log()


def test_a_worker_that_fails_at_once_is_restarted_with_pauses(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(TINY_EXIT="1")
    wait_until(lambda: supervised.log().count("worker_restarted") >= 2, "two restarts")
    supervised.process.terminate()
    assert supervised.process.wait(10) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_worker_does_not_outlive_its_supervisor(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise()
    wait_until(supervised.write("before").exists, "first task")
    worker = supervised.worker()
    supervised.process.kill()
    wait_until(lambda: not members_of(worker), "end of the worker", seconds=10)


def test_the_real_worker_command_names_its_queues_and_no_secret() -> None:
    script = """
        import json
        from workers.supervisor import worker_command
        print(json.dumps(worker_command(name="n", probe_queue="probe.n", concurrency=4)))
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=True)
    command = json.loads(told.stdout)
    assert command[command.index("--queues") + 1] == "steps,steps.bulk,webhooks,callbacks,cancellations,sweep,probe.n"
