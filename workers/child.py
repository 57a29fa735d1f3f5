"""The supervisor's child: one Celery worker in a session of its own, which never outlives its supervisor.

Whether it should live is not decided here.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_REAP_WAIT = 2.0
"""Seconds. A killed process is gone as soon as the kernel gets to it."""


class Child:
    """A running worker: its main process, and the process group that holds its pool processes too."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        _adopt_orphans()
        self.started_at = time.monotonic()
        self._is_stopping = False
        # Its own session: a Ctrl-C in our terminal reaches it through us alone, and its group can be killed.
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            list(command),
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - the supervisor has no threads
        )

    @property
    def pid(self) -> int:
        """The main process, and the number of its group."""
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_at

    def exit_code(self) -> int | None:
        """Return how the main process ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Ask the main process, once, for a warm shutdown. Safe in a signal handler."""
        if not self._is_stopping:
            self._is_stopping = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Wait for the main process; tell whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0))
        return self._process.poll() is not None

    def end(self) -> None:
        """Kill what is left of the group, and reap it."""
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_WAIT)
        _reap_group(self.pid)


def _reap_group(group: int) -> None:
    """Reap adopted members of the group; where nothing was adopted, init does it."""
    until = time.monotonic() + _REAP_WAIT
    with suppress(ChildProcessError):
        while time.monotonic() < until:
            reaped, _status = os.waitpid(-group, os.WNOHANG)
            if not reaped:
                time.sleep(0.01)


def _adopt_orphans() -> None:
    """Become the parent of a dead worker's pool processes, so that without an init no zombies pile up."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what makes a child die with its parent, to be called in the child before it becomes the worker.

    A worker whose supervisor was killed would live on with nobody to notice when it stalls. Its pool
    processes end by themselves once their main process is gone. Only Linux offers this.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child must do as little as possible

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arrange
