"""Starts Flower, and only with a password: without one it would show the queue to anyone."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from shared.config import FlowerSettings, load


def main() -> NoReturn:
    """Become Flower; exit 78 when a setting is missing or wrong."""
    settings = load(FlowerSettings)
    command = [_celery(), *arguments(settings)]
    os.execve(command[0], command, environment(settings))  # noqa: S606 - no shell is wanted; every argument is ours


def arguments(settings: FlowerSettings) -> list[str]:
    """Return what `ps` may show to anyone: never the password."""
    return [
        *("--quiet", "--app", "workers.app", "flower"),
        "--address=0.0.0.0",  # the platform's router is not on this host
        f"--port={settings.port}",
    ]


def environment(settings: FlowerSettings) -> dict[str, str]:
    """Return the environment, from which Flower reads the password by itself."""
    return {**os.environ, "FLOWER_BASIC_AUTH": settings.flower_basic_auth.get_secret_value()}


def _celery() -> str:
    beside = Path(sys.executable).with_name("celery")
    found = str(beside) if beside.exists() else shutil.which("celery")
    if found is None:
        raise SystemExit("Not started: the celery command is not installed beside this Python.")
    return found


if __name__ == "__main__":
    main()
