"""Looks at how many webhooks wait, while the storm lasts: lets the senders pause, and notes how long they did."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.chaos.rows import Rows
from tests.storm.sending import Storm

LOOK_EVERY = 0.25
UNTRIED = "SELECT count(*) FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL AND tries = 0"
"""Those that were put off wait for a row of ours: pausing would keep them waiting."""
UNHANDLED = "SELECT count(*) FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL"
UNFINISHED = "SELECT count(*) FROM cancellations WHERE status = 'in_progress'"
CEASED = 0.5
"""Of the backlog: the senders go on when so much of it has been handled."""


class Watch:
    """Watches while the block runs."""

    def __init__(self, url: str, storm: Storm, *, backlog: int, tell: Callable[[str], None], tell_every: float) -> None:
        self.paused = 0.0
        """Seconds in which nobody sent because too many waited."""
        self.most_waiting = 0
        self._rows, self._storm, self._backlog = Rows(url), storm, backlog
        self._tell, self._tell_every = tell, tell_every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._storm.go_on.set()
        self._thread.join()
        self._rows.close()

    def _run(self) -> None:
        begun = told = last = time.monotonic()
        while not self._stop.wait(LOOK_EVERY):
            now, waiting = time.monotonic(), int(self._rows.read(UNTRIED)[0][0])
            go_on = self._storm.go_on
            if not go_on.is_set() and not self._storm.is_over:
                self.paused += now - last
            last, self.most_waiting = now, max(self.most_waiting, waiting)
            if waiting > self._backlog:
                go_on.clear()
            elif waiting <= self._backlog * CEASED:
                go_on.set()
            if now - told > self._tell_every:
                told = now
                self._tell(f"{now - begun:5.0f} s  {self._storm.sent.taken} taken, {waiting} wait to be handled")


def settle(url: str, *, patience: float) -> bool:
    """Wait until everything is handled and no journey is under way; False after so long without progress."""
    rows, best, since = Rows(url), -1, time.monotonic()
    try:
        while time.monotonic() - since < patience:
            left = int(rows.read(UNHANDLED)[0][0]) + int(rows.read(UNFINISHED)[0][0])
            if left == 0:
                return True
            if best < 0 or left < best:
                best, since = left, time.monotonic()
            time.sleep(LOOK_EVERY)
        return False
    finally:
        rows.close()
