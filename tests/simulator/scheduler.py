"""Runs things later, in threads that all end when it is stopped. Knows nothing of claims or webhooks."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger(__name__)

AT_ONCE = 8  # deliveries in flight: one slow receiver must not hold up the others


class Scheduler:
    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._is_stopped = False

    def after(self, seconds: float, job: Callable[[], None]) -> None:
        """Run the job in so many seconds; the threads start with the first one."""
        with self._wake:
            if self._is_stopped:
                return
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), job))
            if self._thread is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="simulator-webhook")
                self._thread = threading.Thread(target=self._run, name="simulator-scheduler", daemon=True)
                self._thread.start()
            self._wake.notify()

    def clear(self) -> None:
        with self._wake:
            self._due.clear()

    def stop(self) -> None:
        with self._wake:
            self._is_stopped = True
            self._due.clear()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._is_stopped:
                    return
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._wake.wait(wait)
                    continue
                _, _, job = heapq.heappop(self._due)
                assert self._pool is not None
                self._pool.submit(_run_logged, job)


def _run_logged(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception:
        logger.exception("a scheduled job failed")  # a pool would swallow it
