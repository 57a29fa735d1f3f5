"""The platform under the service: restarts what died, as Heroku would; finds processes to kill or to pause."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

import psutil

from tests.chaos.stack import SERVICE
from tests.processes import Processes

LOOK_EVERY = 0.2
RESTART_AFTER = 1.0
"""Seconds between a death and the new start."""
TERM_WAIT = 30.0
"""Seconds from SIGTERM to SIGKILL."""


class Fleet:
    """Keeps the service's processes running while the block does."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._held: set[str] = set()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="fleet", daemon=True)
        self.restarts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def family(self, name: str) -> list[psutil.Process]:
        """Return a process and everything it has started, itself first; none when it is gone."""
        with suppress(psutil.NoSuchProcess, KeyError):
            first = psutil.Process(self._processes.pid(name))
            return [first, *first.children(recursive=True)]
        return []

    def worker_main(self, name: str) -> psutil.Process | None:
        """Return Celery's main process below a supervisor: the leader of a session of its own."""
        for process in self.family(name)[1:]:
            with suppress(ProcessLookupError):
                if os.getpgid(process.pid) == process.pid:
                    return process
        return None

    def pool(self, name: str) -> list[psutil.Process]:
        """Return the processes that run a worker's steps, or a gateway's requests."""
        leader = self.worker_main(name) if name.startswith("worker") else next(iter(self.family(name)), None)
        with suppress(psutil.NoSuchProcess):
            return leader.children() if leader else []
        return []

    def find(self, look: Callable[[], Sequence[psutil.Process]], *, seconds: float = 20) -> Sequence[psutil.Process]:
        """Look until something is found: what is to be killed may just be starting."""
        for _ in range(int(seconds / LOOK_EVERY)):
            found = look()
            if found:
                return found
            self._stop.wait(LOOK_EVERY)
        return ()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Restart nothing during the block."""
        with self._lock:
            self._held.update(SERVICE)
        try:
            yield
        finally:
            self._held.clear()

    def terminate_all(self) -> list[psutil.Process]:
        """Send SIGTERM to every process at once and wait; return those that had to be killed."""
        everyone = [process for name in SERVICE for process in self.family(name)]
        send(everyone, signal.SIGTERM)
        _, alive = psutil.wait_procs(everyone, timeout=TERM_WAIT)
        send(alive, signal.SIGKILL)
        return list(alive)

    def start_all(self) -> None:
        """Start every process anew."""
        for name in SERVICE:
            self._restart(name)

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            dead = [name for name in SERVICE if name not in self._held and self._processes.has_ended(name)]
            if dead and not self._stop.wait(RESTART_AFTER):
                with self._lock:
                    for name in dead:
                        if name not in self._held and self._processes.has_ended(name):
                            self._restart(name)

    def _restart(self, name: str) -> None:
        self._processes.kill(name)  # what is left of its group goes with it, as a container would
        self._processes.start(name)
        self.restarts[name] += 1


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> int:
    """Send a signal to each that is still there; return to how many."""
    sent = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            sent += 1
    return sent
