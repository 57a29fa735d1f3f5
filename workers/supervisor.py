"""Keeps one Celery worker alive: starts it, restarts it when it dies or stalls, stops it in time.

    starting ──> running ──died──────────> wait 1..30 s ──> starting
                    │────exit 78─────────> exit 78, a restart would change nothing
                    │────stalled─────────> SIGTERM, SIGKILL ──> starting
                    └────asked to stop───> SIGTERM, SIGKILL ──> exit 0

A worker that does not answer is not the same as one that died: after a broker's restart it can live on and
consume nothing. No task's code belongs here.
"""

import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType

import structlog
from celery import Celery
from pydantic import Field, field_validator

from shared import logs
from shared.broker import QUEUES, TASK_HARD_LIMIT, create_celery
from shared.config import EX_CONFIG, WorkerSettings, load
from shared.setting_values import Duration
from workers.child import Child
from workers.liveness import PROBE_AFTER, Liveness, ProbeQueue
from workers.progress import PROGRESS_FILE

STALL_AFTER = timedelta(seconds=100)
"""Longer than the longest task (its hard limit is 85 s): every slot busy with a slow call is not a stall."""
STOP_AFTER = 24.0
"""Seconds from SIGTERM to SIGKILL; platforms kill after 30, and everything must have exited after 25."""

log = structlog.get_logger()


class SupervisorSettings(WorkerSettings):
    """What the supervisor reads, on top of what its worker will: a wrong setting ends it before the start."""

    worker_concurrency: int = Field(default=4, ge=1, le=256)
    worker_stall_after: Duration = STALL_AFTER

    @field_validator("worker_stall_after")
    @classmethod
    def _longer_than_any_task(cls, value: timedelta) -> timedelta:
        if value <= timedelta(seconds=TASK_HARD_LIMIT):
            raise ValueError(f"must be longer than the longest task, {TASK_HARD_LIMIT} s: busy is not stalled")
        return value


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Every duration in seconds; tests shorten them."""

    stall_after: float = STALL_AFTER.total_seconds()
    probe_after: float = PROBE_AFTER
    stop_after: float = STOP_AFTER
    stall_grace: float = 5.0  # a stalled worker that can still end politely does so at once
    first_pause: float = 1.0
    longest_pause: float = 30.0
    settled_after: float = 60.0  # a worker that lived for a minute did not fail for its start
    look_every: float = 0.2


def pause_before_restart(failures: int, timing: Timing) -> float:
    """Return the wait before a restart: it doubles with each early death in a row, up to the longest."""
    return float(min(timing.first_pause * 2 ** min(failures - 1, 16), timing.longest_pause))


class Supervisor:
    """One worker after the other, until asked to stop."""

    def __init__(self, command: Sequence[str], *, app: Celery, probe_queue: str, timing: Timing) -> None:
        self._command = command
        self._queue = ProbeQueue(app, probe_queue)
        self._timing = timing
        self._child: Child | None = None
        self._asked_at: float | None = None
        self._failures = 0
        self._restarts = 0

    def run(self) -> int:
        """Supervise; return the exit code."""
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with tempfile.TemporaryDirectory(prefix="cfar-worker-") as folder:
                return self._supervise(Path(folder) / "progress")
        finally:
            if self._child is not None:
                self._child.end()
            if self._asked_at is None or time.monotonic() - self._asked_at < self._timing.stop_after / 2:
                self._queue.remove()  # else it expires: a broker that hangs must not hold up a late exit
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _supervise(self, file: Path) -> int:
        environment = {**os.environ, PROGRESS_FILE: str(file)}
        environment.pop("REMAP_SIGTERM", None)  # often advised for Celery: here it would cancel the steps in hand
        timing = self._timing
        liveness = Liveness(file, self._queue, stall_after=timing.stall_after, probe_after=timing.probe_after)
        while not self._is_asked_to_stop():
            child = self._start(environment)
            liveness.begin()
            code = self._watch(child, liveness)
            if code == EX_CONFIG and not self._is_asked_to_stop():
                log.error("worker_misconfigured", exit_code=code, next="not restarted: correct the settings")
                return EX_CONFIG
            self._pause(child)
        return 0

    def _start(self, environment: dict[str, str]) -> Child:
        self._child = Child(self._command, environment)
        event = "worker_restarted" if self._restarts else "worker_started"
        log.info(event, worker_pid=self._child.pid, restarts=self._restarts)
        self._restarts += 1
        return self._child

    def _watch(self, child: Child, liveness: Liveness) -> int | None:
        """Return the worker's exit code once it and its whole group are gone."""
        while child.exit_code() is None:
            if self._asked_at is not None:
                self._stop(child, until=self._asked_at + self._timing.stop_after)
            elif liveness.has_stalled():
                quiet = round(liveness.quiet_for())
                log.error("worker_stalled", worker_pid=child.pid, quiet_seconds=quiet, next="restart")
                self._stop(child, until=time.monotonic() + self._timing.stall_grace)
            else:
                time.sleep(self._timing.look_every)
        code = child.exit_code()
        child.end()
        if not self._is_asked_to_stop():
            log.error("worker_died", worker_pid=child.pid, exit_code=code, lived_seconds=round(child.age))
        return code

    def _stop(self, child: Child, *, until: float) -> None:
        child.ask_to_stop()
        while not child.wait(self._timing.look_every):
            if self._asked_at is not None:  # a stop asked for meanwhile may only shorten the wait
                until = min(until, self._asked_at + self._timing.stop_after)
            if time.monotonic() >= until:
                log.warning("worker_killed", worker_pid=child.pid, reason="did not end in time")
                child.end()

    def _pause(self, child: Child) -> None:
        self._failures = 1 if child.age >= self._timing.settled_after else self._failures + 1
        until = time.monotonic() + pause_before_restart(self._failures, self._timing)
        while not self._is_asked_to_stop() and time.monotonic() < until:
            time.sleep(self._timing.look_every)

    def _is_asked_to_stop(self) -> bool:
        return self._asked_at is not None

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Repeats change nothing: the platform, a terminal and an operator may all send one.
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        if self._child is not None:
            self._child.ask_to_stop()


def worker_command(*, name: str, probe_queue: str, concurrency: int) -> list[str]:
    """Return the command line of the worker."""
    return [
        *(sys.executable, "-m", "celery", "--app", "workers.app", "worker"),
        *("--queues", ",".join((*QUEUES, probe_queue))),
        *("--hostname", f"{name}@%h"),
        *("--concurrency", str(concurrency)),
        *("--loglevel", "WARNING"),
        "--task-events",  # Flower shows no tasks without them
        *("--without-gossip", "--without-mingle"),  # workers here need nothing of each other
    ]


def main() -> int:
    """Start the worker that the environment describes."""
    settings = load(SupervisorSettings)
    logs.configure(settings)
    # Unique across hosts and containers, where process numbers repeat.
    name = f"cfar-{socket.gethostname().partition('.')[0]}-{os.getpid()}-{secrets.token_hex(3)}"
    probe_queue = f"probe.{name}"
    command = worker_command(name=name, probe_queue=probe_queue, concurrency=settings.worker_concurrency)
    timing = Timing(stall_after=settings.worker_stall_after.total_seconds())
    return Supervisor(command, app=create_celery(settings), probe_queue=probe_queue, timing=timing).run()


if __name__ == "__main__":
    sys.exit(main())
