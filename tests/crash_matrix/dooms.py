"""What a doomed process and the test tell each other, through files: one folder, one name per victim.

.doom   written by the test: who dies where; taken by the first try of the victim's task
.pid    the try has begun in this process, so this one dies
.at     the boundary is reached
.go     written by the test: go on, where the process waits at its boundary for the signal
.end    the try has ended after all (it was not killed)
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = "DOOMS"
"""The variable that names the folder in a doomed process."""
LOOK_EVERY = 0.1
"""Seconds between two looks of a process that waits at its boundary."""


@dataclass(frozen=True, kw_only=True)
class Doom:
    """Who is to die where, and how."""

    victim: str
    task: str
    boundary: str
    last: int = 0
    """The number of the transaction that counts as the last."""
    act: str = "wait"
    """`kill` or `stop` itself; `wait` for the test to signal every process at once; `hold`: the insurer tells when."""
    only_with_messages: bool = False


class Folder:
    """The folder, as both sides see it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, doom: Doom) -> None:
        """Have a try die; complete before it can be read."""
        draft = self._path / f"{doom.victim}.draft"
        draft.write_text(json.dumps(asdict(doom)))
        draft.rename(self._file(doom.victim, "doom"))

    def find(self, victim: str, task: str) -> Doom | None:
        """Return the doom of a victim in a task."""
        try:
            doom = Doom(**json.loads(self._file(victim, "doom").read_text()))
        except FileNotFoundError:
            return None
        return doom if doom.task == task else None

    def find_any(self, prefix: str, task: str) -> Doom | None:
        """Return a doom of whoever does the task next, for tasks that are about nobody."""
        for file in sorted(self._path.glob(f"{prefix}*.doom")):
            doom = self.find(file.stem, task)
            if doom is not None:
                return doom
        return None

    def take(self, doom: Doom) -> bool:
        """Take a doom upon this process; False when another did."""
        try:
            self._file(doom.victim, "doom").rename(self._file(doom.victim, "taken"))
        except FileNotFoundError:
            return False
        self.note(doom.victim, "pid")
        return True

    def note(self, victim: str, what: str) -> None:
        """Write that this process has come so far."""
        draft = self._path / f"{victim}.{what}.draft"
        draft.write_text(str(os.getpid()))
        draft.rename(self._file(victim, what))

    def has(self, victim: str, what: str) -> bool:
        """Tell whether something was noted."""
        return self._file(victim, what).exists()

    def pid(self, victim: str) -> int:
        """Return the process that the doom is upon."""
        return int(self._file(victim, "pid").read_text())

    def meet(self, doom: Doom, *, stay: Callable[[], object] = lambda: None) -> None:
        """Be at the boundary, and die of it; `stay` keeps open what a long wait for the others would close."""
        self.note(doom.victim, "at")
        if doom.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif doom.act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            while not self.has(doom.victim, "go"):
                stay()
                time.sleep(LOOK_EVERY)

    def let_go(self, victim: str) -> None:
        """Let a process that waits at its boundary go on."""
        self._file(victim, "go").touch()

    def _file(self, victim: str, what: str) -> Path:
        return self._path / f"{victim}.{what}"
