"""A wire between us and PostgreSQL that breaks at a commit: before it arrives, or before its answer does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlsplit, urlunsplit

COMMIT = b"COMMIT"
READY = b"Z\x00\x00\x00\x05"
"""How PostgreSQL's answer to a statement ends, before one byte that names the transaction's state."""


class Wire:
    """Forwards every connection to the server; breaks the one that carries the commit it was told to."""

    def __init__(self, server_url: str) -> None:
        self._upstream = _address(server_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._breaks_at: int | None = None
        self._commits = 0
        self._arrives = False
        self._marker = COMMIT
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        parts = urlsplit(server_url)
        login = f"{parts.username}@" if parts.username else ""
        netloc = f"{login}127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=netloc, query="sslmode=disable"))
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def break_at(self, commit: int, *, arrives: bool, marker: bytes = COMMIT) -> None:
        """Break at the so-manieth commit from now, after it has arrived or before.

        `marker` is in what is sent to commit: where a statement commits by itself, in that statement.
        """
        with self._lock:
            self._breaks_at, self._arrives, self._commits, self._marker = commit, arrives, 0, marker

    def has_broken(self) -> bool:
        """Tell whether the commit has come; from now on nothing breaks."""
        with self._lock:
            has_come = self._breaks_at is not None and self._commits >= self._breaks_at
            self._breaks_at = None
            return has_come

    def close(self) -> None:
        """End every connection."""
        for one in (self._listener, *self._open):
            _hang_up(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = _connect(self._upstream)
                self._open += [client, server]
                is_broken = threading.Event()
                for target, args in ((self._forth, (client, server, is_broken)), (_back, (client, server, is_broken))):
                    threading.Thread(target=target, args=args, daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket, is_broken: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._marker in data and self._is_the_one():
                    if not self._arrives:
                        break
                    is_broken.set()  # before it is sent: the answer may be quicker than we are
                server.sendall(data)
                if is_broken.is_set():
                    return  # the other direction ends both, once the commit is done
        _hang_up(client)
        _hang_up(server)

    def _is_the_one(self) -> bool:
        with self._lock:
            self._commits += 1
            return self._commits == self._breaks_at


@contextmanager
def breaking_wire(server_url: str) -> Iterator[Wire]:
    """Give a wire to the database."""
    wire = Wire(server_url)
    try:
        yield wire
    finally:
        wire.close()


def _back(client: socket.socket, server: socket.socket, is_broken: threading.Event) -> None:
    with suppress(OSError):
        while data := server.recv(65536):
            if is_broken.is_set():
                if READY in data:
                    break  # the server has done it, and nobody hears of it
                continue
            client.sendall(data)
    _hang_up(client)
    _hang_up(server)


def _address(url: str) -> tuple[str, int] | str:
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    return f"{folder}/.s.PGSQL.5432" if folder else (parts.hostname or "127.0.0.1", parts.port or 5432)


def _connect(address: tuple[str, int] | str) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address)
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    return server


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
