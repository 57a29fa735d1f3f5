"""A release of the service: its code in a folder, and a process in which that code does what a test tells it.

The previous one is kept as an archive beside this module; `make previous-release` replaces it. What two releases do to
each other's rows is not this module's business.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alembic.config import Config
from alembic.script import ScriptDirectory

ROOT = Path(__file__).resolve().parent.parent.parent
PREVIOUS = Path(__file__).parent / "previous.tar.gz"
INSIDE = Path(__file__).parent / "inside.py"
STOP_WAIT = 10.0


class ReleaseFailed(Exception):
    """A release could not do what it was told; the message says what it said, and where its log is."""


def unpack_previous(folder: Path) -> Path:
    """Unpack the previous release and return where it is."""
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(folder, filter="data")
    return folder


def commit_of_previous() -> str:
    """Return the commit the archive was made of, which `git archive` writes at its start."""
    with tarfile.open(PREVIOUS) as archive:
        archive.next()
        return archive.pax_headers.get("comment", "")


def migrations_of(folder: Path) -> ScriptDirectory:
    """Return a release's migrations; reading them runs none of its code."""
    config = Config()
    config.set_main_option("script_location", str(folder / "shared" / "migrations"))
    return ScriptDirectory.from_config(config)


class Release:
    """One release's code at work: `with Release("previous", folder, env, log) as release:`."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str], log_dir: Path) -> None:
        self.name = name
        self.published: list[list[str]] = []
        self.folder = folder
        self._log_path = log_dir / f"{name}.log"
        with self._log_path.open("ab") as log:
            # -P and PYTHONPATH: the folder's code comes before the installed one, which is this checkout's.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(INSIDE)],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "TMPDIR": str(log_dir), **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_WAIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, what: str, **more: Any) -> Any:
        """Have it do something, and return what it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps({'what': what, **more})}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        told = json.loads(line) if line else {"failed": "its process ended"}
        if "failed" in told:
            raise ReleaseFailed(f"the {self.name} release, asked to {what}: {told['failed']}\n{self._end_of_log()}")
        self.published += told["published"]
        return told["answer"]

    def _end_of_log(self) -> str:
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-30:])
