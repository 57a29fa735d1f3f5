"""Rings workers from the web process without a request ever waiting for Redis.

A bounded queue and one daemon thread. What does not fit, or is not sent when the process ends, is dropped: the
sweeper rings for every row that is due. Nothing that must not be lost belongs here.
"""

import atexit
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

import structlog

from shared.db import Message

FAILED_REST_SECONDS = 1.0
"""After a publish that failed: trying takes time from those whose requests are being answered."""
CAPACITY = 10_000
"""Messages that may wait: ten seconds of the heaviest load measured, and less than 2 MB."""
BATCH = 500
"""Messages per publish: one connection is borrowed for all of them."""
REST_PER_MESSAGE = 0.005
"""Seconds of rest after a publish for each of its messages: what is rung for meanwhile goes out together.

A publish takes longer than storing an event. The more come, the more go together; one alone hardly waits.
"""
SHORTEST_REST, LONGEST_REST = 0.02, 0.5
FLUSH_SECONDS = 1.0
"""How long an ending process still tries; it has 25 s to be gone, and the sweeper takes over within seconds."""

log = structlog.get_logger()


class Doorbell:
    """Hands messages to `send` in a thread of its own, started by the first ring in each process.

    `send` returns False when it could not send them: then the sweeper rings.
    """

    def __init__(self, send: Callable[[Sequence[Message]], object], *, capacity: int = CAPACITY) -> None:
        self._send = send
        self._capacity = capacity
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)  # neither threads nor held locks survive a fork
        atexit.register(self.flush)

    def ring(self, messages: Sequence[Message]) -> None:
        """Take messages and return at once. Never raises: the rows are committed whatever happens here."""
        with self._changed:
            room = max(self._capacity - len(self._waiting), 0)
            self._waiting.extend(messages[:room])
            dropped = len(messages[room:])
            is_first_drop = bool(dropped) and not self._dropped
            self._dropped += dropped
            self._start_thread()
            self._changed.notify_all()
        if is_first_drop:
            log.warning("doorbell_full", waiting=self._capacity, next="the sweeper rings for what is dropped")

    def flush(self, *, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait briefly until everything is sent; return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_sending, timeout=seconds)

    def _start_over(self) -> None:
        self._changed = Condition()
        self._waiting: deque[Message] = deque()
        self._dropped = 0
        self._is_sending = False
        self._thread: Thread | None = None

    def _start_thread(self) -> None:
        if self._thread is not None:
            return
        thread = Thread(target=self._run, name="doorbell", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # out of threads, or the process is ending
            log.warning("doorbell_not_started", error=str(error), next="the sweeper rings")
            return
        self._thread = thread

    def _run(self) -> None:
        while True:
            batch, dropped = self._next_batch()
            if dropped:
                log.warning("doorbell_dropped", messages=dropped, next="the sweeper rings")
            is_sent = False
            try:
                is_sent = self._send(batch) is not False
            except Exception:  # the edge of this thread: the next ring must find it alive
                log.exception("doorbell_failed", messages=len(batch), next="the sweeper rings")
            time.sleep(_rest(len(batch)) if is_sent else FAILED_REST_SECONDS)

    def _next_batch(self) -> tuple[list[Message], int]:
        with self._changed:
            self._is_sending = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting)
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._is_sending = True
            dropped, self._dropped = self._dropped, 0
            return batch, dropped


def _rest(messages: int) -> float:
    return min(max(messages * REST_PER_MESSAGE, SHORTEST_REST), LONGEST_REST)
