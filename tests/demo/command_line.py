"""The real `cfar` command, run as an operator would: to decide in the background, or to show something here."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

AT_ONCE = 2
"""Commands at a time: starting one takes a good part of a second of one core."""
CLAIM_FIELDS = [{"name": "incident", "fields": [{"name": "incident_date", "value": "2026-11-01"}]}]
SHOW_WAIT = 30.0


class CommandLine:
    """Runs `cfar` with a token; ends what still runs when it is left."""

    def __init__(self, environment: Mapping[str, str], *, url: str, token: str, folder: Path) -> None:
        self._env = {**environment, "CFAR_URL": url, "CFAR_TOKEN": token}
        self._folder = folder
        self._claim_fields = folder / "claim-fields.json"
        self._claim_fields.write_text(json.dumps(CLAIM_FIELDS))
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def start(self, row_id: str, arguments: Sequence[str]) -> bool:
        """Start a command about a cancellation; False while too many are running."""
        if sum(process.poll() is None for process in self._started.values()) >= AT_ONCE:
            return False
        filled = [one.format(id=row_id, claim_fields=self._claim_fields) for one in arguments]
        with self._output(row_id).open("wb") as output:
            self._started[row_id] = subprocess.Popen(
                [_command(), *filled],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )
        return True

    def has_started(self, row_id: str) -> bool:
        """Tell whether a command about the cancellation was started."""
        return row_id in self._started

    def result(self, row_id: str) -> int | None:
        """Return the exit code of the command about a cancellation; None while it runs."""
        return self._started[row_id].poll()

    def output(self, row_id: str) -> str:
        """Return what the command about a cancellation wrote."""
        return self._output(row_id).read_text(errors="replace").strip()

    def show(self, row_id: str, *, width: int) -> int:
        """Let `cfar show` write to our own output, at a width; return its exit code."""
        sys.stdout.flush()
        terminal = {name: os.environ[name] for name in ("TERM", "COLORTERM", "NO_COLOR") if name in os.environ}
        env = {**self._env, **terminal, "COLUMNS": str(width)}
        return subprocess.run([_command(), "show", row_id], env=env, timeout=SHOW_WAIT, check=False).returncode

    def _output(self, row_id: str) -> Path:
        return self._folder / f"cfar-{row_id}.log"


def _command() -> str:
    return str(Path(sys.executable).parent / "cfar")
