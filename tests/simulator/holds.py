"""Requests that stand still until a test has done to their caller what it wanted to do."""

import threading
from collections.abc import Collection

LOOK_EVERY = 0.5
"""Seconds between two looks whether the simulator itself stops."""


class Holds:
    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._lock = threading.Lock()
        self._held: dict[str, threading.Event] = {}

    def wait(self, booking_id: str) -> None:
        """Stand still until the booking is released."""
        with self._lock:
            released = self._held[booking_id] = threading.Event()
        while not released.wait(LOOK_EVERY) and not self._stopping.is_set():
            pass

    def held(self) -> Collection[str]:
        """Return the bookings whose requests stand still now."""
        with self._lock:
            return set(self._held)

    def release(self, booking_id: str) -> None:
        """Let a booking's request go on."""
        with self._lock:
            self._held.pop(booking_id).set()
