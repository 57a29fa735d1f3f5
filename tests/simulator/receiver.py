"""A place for webhooks to arrive at, which answers what a test tells it to."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Arrived:
    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """`statuses` are answered one after the other, then 200 for ever."""

    def __init__(self, *statuses: int) -> None:
        self.arrived: list[Arrived] = []
        self._statuses = list(statuses)
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def take(self, arrived: Arrived) -> int:
        self.arrived.append(arrived)
        return self._statuses.pop(0) if self._statuses else 200

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert isinstance(self.server, _Server)
        arrived = Arrived(path=self.path, headers=dict(self.headers.items()), body=body)
        self.send_response(self.server.receiver.take(arrived))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name it has there
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        super().__init__(address, _Handler)
        self.receiver = receiver
