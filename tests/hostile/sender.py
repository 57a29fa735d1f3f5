"""Sends attacks over as many connections as there are threads, and notes what is answered."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.hostile.attacks import Attack

PATIENCE = 40.0
"""Seconds for an answer or an end: longer than the gateway waits for a request."""
SILENT = 0
"""The status of a request that was answered by closing the connection."""


@dataclass(kw_only=True)
class Outcome:
    """What came of the attacks of all threads."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    signed: set[bytes] = field(default_factory=set)
    """Bodies that were rightly signed: some may not have arrived."""
    failed: list[str] = field(default_factory=list)
    """Attacks that were answered as none may be."""
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def send(port: int, attacks: Iterator[Attack], count: int, outcome: Outcome) -> None:
    """Send so many, one after the other."""
    line = _Line(port)
    for _, attack in zip(range(count), attacks, strict=False):
        status, answer = line.ask(attack)
        with outcome.lock:
            outcome.sent += 1
            outcome.answers[attack.name, status] += 1
            if attack.signed is not None:
                outcome.signed.add(attack.signed)
            if status >= 500 or (status == SILENT and attack.is_framed) or (attack.signed and status != 200):
                outcome.failed.append(f"{attack.name}: {attack.raw[:300]!r} was answered {answer[:200]!r}")
    line.close()


class _Line:
    """A connection that is made anew when it has ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, attack: Attack) -> tuple[int, bytes]:
        """Return the first status that is answered, or SILENT, and the answer's beginning."""
        if not attack.is_framed:
            self.close()
        is_old = self._socket is not None
        status, answer = self._try(attack)
        if status == SILENT and is_old:  # the gateway had closed it meanwhile, as it may
            status, answer = self._try(attack)
        if not attack.is_framed:
            self.close()
        return status, answer

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _try(self, attack: Attack) -> tuple[int, bytes]:
        self._socket = self._socket or socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        with suppress(ConnectionError):  # it may answer and close before it has read everything
            self._socket.sendall(attack.raw)
            if not attack.is_framed:
                self._socket.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            while not _is_whole(answer):
                part = self._socket.recv(65_536)
                if not part:
                    break
                answer += part
        if not answer or b"connection: close" in answer.lower():
            self.close()
        status = int(answer[9:12]) if answer[:5] == b"HTTP/" and answer[9:12].isdigit() else SILENT
        return status, answer


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
    return bool(end) and len(body) >= int(length or 0)
