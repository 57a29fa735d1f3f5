"""A sender of prepared HTTP requests over a fixed number of open connections, in one thread, as cheap as Python allows.

Closed loop: each connection sends its next request when the answer to its last one is there.
"""

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

PATIENCE = 30.0
"""Seconds without any answer after which a run fails."""


@dataclass(kw_only=True)
class Sent:
    """What came of a run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds from a request's first byte sent to its answer's last byte read."""
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds


def send(port: int, requests: Sequence[bytes], *, connections: int) -> Sent:
    """Send every request once; raise RuntimeError when the server stops answering."""
    sent, waiting = Sent(), iter(requests)
    with selectors.DefaultSelector() as selector:
        lines = [_Line(port) for _ in range(min(connections, len(requests)))]
        begun = time.perf_counter()
        for line, request in zip(lines, list(islice(waiting, len(lines))), strict=True):
            selector.register(line.socket, selectors.EVENT_READ, line)
            line.ask(request)
        _serve(selector, waiting, sent, open_lines=len(lines))
        sent.seconds = time.perf_counter() - begun
        for line in lines:
            line.socket.close()
    return sent


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return the bytes of a POST request."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _serve(selector: selectors.BaseSelector, waiting: Iterator[bytes], sent: Sent, *, open_lines: int) -> None:
    while open_lines:
        ready = selector.select(PATIENCE)
        if not ready:
            raise RuntimeError(f"no answer for {PATIENCE:.0f} s after {len(sent.latencies)} requests")
        for key, _ in ready:
            line: _Line = key.data
            status = line.read()
            if status is None:
                continue
            sent.latencies.append(time.perf_counter() - line.asked_at)
            sent.statuses[status] += 1
            request = next(waiting, None)
            if request is None:
                selector.unregister(line.socket)
                open_lines -= 1
            else:
                line.ask(request)


class _Line:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._answer = b""
        self.asked_at = 0.0
        self.socket = self._connected()

    def ask(self, request: bytes) -> None:
        self.asked_at = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> int | None:
        """Return the status once the answer is whole."""
        part = self.socket.recv(65_536)
        if not part:
            raise RuntimeError(f"the server closed a connection in the middle of {self._answer[:80]!r}")
        self._answer += part
        head, _, body = self._answer.partition(b"\r\n\r\n")
        if not body and b"\r\n\r\n" not in self._answer:
            return None
        lowered = head.lower()
        length = lowered.partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return None
        self._answer = b""
        return int(head[9:12])

    def _connected(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
