"""Starts Procfile processes by name, waits until they are ready, and stops every one of them.

Each gets a process group of its own and a log file; nothing that was not started here is ever signalled.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
READY_WAIT = 30.0
STOP_WAIT = 28.0
"""Seconds from SIGTERM to SIGKILL: a process has promised to be gone after 25."""
TAIL = 30
"""Lines of a log that are worth showing."""


class ProcessFailed(Exception):
    """A process ended or did not get ready; the message holds the end of its log."""


def procfile(path: Path = ROOT / "Procfile") -> dict[str, list[str]]:
    """Return each process's command by its name."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.partition(":") for line in lines]
    return {name.strip(): shlex.split(command) for name, _, command in pairs}


def with_our_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this Python's commands first on the PATH."""
    here = str(Path(sys.executable).parent)
    return {**environment, "PATH": f"{here}{os.pathsep}{environment.get('PATH', os.defpath)}"}


class Processes:
    """Named processes that run while the block does: `with Processes(env, ["web"], folder) as running:`."""

    def __init__(
        self,
        env: Mapping[str, str],
        names: Iterable[str],
        log_dir: Path,
        *,
        commands: Mapping[str, list[str]] | None = None,
        env_of: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Take the environment of all, what single ones get on top, and commands beyond the Procfile's."""
        self._env = with_our_python(env)
        self._env_of = env_of or {}
        self._names = tuple(names)
        self._commands = {**procfile(), **(commands or {})}
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for name in self._names:
                self.start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start one more; its output is added to its log."""
        temporary = self._log_dir / "tmp"  # what a killed process leaves must not pile up in /tmp
        temporary.mkdir(parents=True, exist_ok=True)
        command = self._commands[name]
        with self.log_file(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._env, "TMPDIR": str(temporary), **self._env_of.get(name, {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours to pass on, and its group can be killed whole
            )
        self._running[name] = process
        return process

    def run(self, name: str, *, seconds: float = 60) -> None:
        """Run one to its end, such as the release step; raise unless it succeeded."""
        process = self.start(name)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            self.stop(name)
        if code != 0:
            raise ProcessFailed(self._story(name, f"ended with exit code {code}" if code else "did not end"))

    def wait_ready(self, url: str, *, name: str = "web", seconds: float = READY_WAIT) -> None:
        """Wait until the address answers 200; raise early when the process has ended."""
        until = time.monotonic() + seconds
        while not is_answering(url):
            self.check()
            if time.monotonic() > until:
                raise ProcessFailed(self._story(name, f"did not answer {url} within {seconds:.0f} s"))
            time.sleep(0.1)

    def check(self) -> None:
        """Raise when a process has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ProcessFailed(self._story(name, f"ended with exit code {process.returncode}"))

    def has_ended(self, name: str) -> bool:
        """Tell whether a process was started and is gone."""
        process = self._running.get(name)
        return process is not None and process.poll() is not None

    def pid(self, name: str) -> int:
        """Return the first process of a group, which is its number too."""
        return self._running[name].pid

    def log_file(self, name: str) -> Path:
        """Return where a process's output goes."""
        return self._log_dir / f"{name}.log"

    def kill(self, name: str) -> None:
        """Kill a process and its whole group at once, as a crash would."""
        process = self._running.pop(name)
        _signal_group(process, signal.SIGKILL)
        process.wait()

    def stop(self, *names: str) -> None:
        """Stop these, or all: SIGTERM to all of them first, SIGKILL to the group of each that stays."""
        stopping = [self._running.pop(name) for name in names or tuple(self._running)]
        for process in stopping:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + STOP_WAIT
        for process in stopping:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _story(self, name: str, what: str) -> str:
        lines = self.log_file(name).read_text(errors="replace").splitlines()[-TAIL:]
        return "\n".join([f"{name} {what}. The end of {self.log_file(name)}:", *(f"  {line}" for line in lines)])


def is_answering(url: str, *, headers: Mapping[str, str] | None = None) -> bool:
    """Tell whether the address answers 200."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    try:
        with opener.open(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(process.pid, number)
