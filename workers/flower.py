"""Starts Flower, and only with a password: without one it would show the queue to anyone."""

import errno
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NoReturn

from shared.config import FlowerSettings, load


def main() -> NoReturn:
    """Become Flower; exit 78 when a setting is missing or wrong, 1 when the port is taken."""
    settings = load(FlowerSettings)
    _check_port(settings.port)
    command = [_celery(), *arguments(settings)]
    os.execve(command[0], command, environment(settings))  # noqa: S606 - no shell is wanted; every argument is ours


def arguments(settings: FlowerSettings) -> list[str]:
    """Return what `ps` may show to anyone: never the password."""
    return [
        *("--quiet", "--app", "workers.app", "flower"),
        "--address=0.0.0.0",  # the platform's router is not on this host
        f"--port={settings.port}",
        f"--conf={Path(__file__).with_name('flower_conf.py')}",
    ]


def environment(settings: FlowerSettings) -> dict[str, str]:
    """Return the environment, from which Flower reads the password by itself."""
    return {**os.environ, "FLOWER_BASIC_AUTH": settings.flower_basic_auth.get_secret_value()}


def _check_port(port: int) -> None:
    """Say in a line what Flower would say in a traceback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a Flower that just ended leaves it free
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - where Flower is about to listen
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if is_taken else f"cannot be used: {error.strerror}"
            raise SystemExit(f"Not started: port {port} {reason}. Set PORT to another.") from error


def _celery() -> str:
    beside = Path(sys.executable).with_name("celery")
    found = str(beside) if beside.exists() else shutil.which("celery")
    if found is None:
        raise SystemExit("Not started: the celery command is not installed beside this Python.")
    return found


if __name__ == "__main__":
    main()
