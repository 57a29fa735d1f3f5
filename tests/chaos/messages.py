"""Counts the messages on Redis, by watching every command: exact per queue, whoever sends, until Redis forgets.

A task's start is not a message, and Celery's own events are messages that get lost in a flush.
"""

import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

QUEUES = ("steps", "steps.bulk", "webhooks", "callbacks", "cancellations", "sweep")
_PUSH = re.compile(rb'^\+[0-9.]+ \[[^]]*\] "([LR])PUSH" "([^"]+)"', re.IGNORECASE)
AGAIN_AFTER = 0.02


class MessageCounter:
    """Watches while the block runs; connects again whenever Redis comes back."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="messages", daemon=True)
        self.sent: Counter[str] = Counter()
        self.given_back: Counter[str] = Counter()
        """Messages that a worker returned, or that Redis hands out again."""

    @property
    def sent_for_steps(self) -> int:
        """Messages about steps, of either queue."""
        return self.sent["steps"] + self.sent["steps.bulk"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(AGAIN_AFTER):
            with suppress(OSError), socket.create_connection(self._address, timeout=1) as connection:
                connection.sendall(b"MONITOR\r\n")
                self._watch(connection)

    def _watch(self, connection: socket.socket) -> None:
        left = b""
        while not self._stop.is_set():
            try:
                part = connection.recv(1 << 16)
            except TimeoutError:
                continue
            if not part:
                return
            *lines, left = (left + part).split(b"\r\n")
            for line in lines:
                self._count(line)

    def _count(self, line: bytes) -> None:
        push = _PUSH.match(line)
        if push:
            counted = self.sent if push[1].upper() == b"L" else self.given_back
            counted[push[2].decode(errors="replace")] += 1
