"""Runs the simulator over real HTTP in threads of this process, and ends every one of them when it stops."""

import contextlib
import socket
import threading
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self

import httpx
from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from tests.simulator import partner
from tests.simulator.app import create_app
from tests.simulator.client import SimulatorControl
from tests.simulator.credentials import Credentials
from tests.simulator.settings import Settings
from tests.simulator.state import State
from tests.simulator.webhooks import Sender
from tests.simulator.xclaim import PREFIX as XCLAIM_PREFIX

BACKLOG = 128
POLL = 0.02  # how soon stopping is noticed


class SimulatorServer:
    """The insurer on a port of its own; `with SimulatorServer() as insurer:` starts and stops it."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = "/x/",
        credentials: Credentials | None = None,
        **settings: Any,
    ) -> None:
        self.state = State(credentials or Credentials(), Settings(**settings))
        self._prefix = f"/{prefix.strip('/')}/"
        self._host = host
        self._port = port

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def xcover_url(self) -> str:
        return f"{self.url}{self._prefix}"

    @property
    def xclaim_url(self) -> str:
        return f"{self.url}{XCLAIM_PREFIX}"

    @property
    def refund_url(self) -> str:
        """Where the partner is called for refunds."""
        return f"{self.url}{partner.PREFIX}{partner.PATH}"

    def start(self) -> Self:
        """Listen and serve; `OSError` when the port is taken."""
        listener = socket.create_server((self._host, self._port), backlog=BACKLOG)
        self._port = listener.getsockname()[1]
        self._sender = Sender(self.state)
        app = create_app(self.state, self._sender, prefix=self._prefix)
        with listener:
            self._server = _Server(self._host, self._port, app, listener.fileno(), self.state)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), name="simulator", daemon=True)
        self._thread.start()
        # Whoever has started it asks without a socket in between; a connection's thread would wait for the same lock.
        self.control = SimulatorControl(self.url, transport=httpx.WSGITransport(app))
        return self

    def stop(self) -> None:
        """End every thread and close every socket, answers in progress included."""
        self.state.stopping.set()
        self.control.close()
        self._server.shutdown()
        self._server.hang_up()
        self._thread.join()
        self._sender.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Handler(WSGIRequestHandler):
    """Silent, and dated by the insurer's clock: the server writes the only Date header."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        assert isinstance(self.server, _Server)
        return format_datetime(self.server.state.now(), usegmt=True)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  # the name it has there
        return


class _Server(ThreadedWSGIServer):
    daemon_threads = False  # so that closing waits for them

    def __init__(self, host: str, port: int, app: Flask, fd: int, state: State) -> None:
        self.state = state
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(host, port, app, handler=_Handler, fd=fd)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close the connections that are open, so that nobody waits for an idle caller."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
