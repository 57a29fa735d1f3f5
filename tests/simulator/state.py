"""Everything the simulator remembers, in memory behind one lock. What it means is decided elsewhere."""

import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulator import faults
from tests.simulator.credentials import Credentials
from tests.simulator.faults import Fault
from tests.simulator.holds import Holds
from tests.simulator.keys import Keys
from tests.simulator.random_faults import Dice
from tests.simulator.records import AnsweredRefund, Booking, Claim
from tests.simulator.settings import Settings

REQUESTS_KEPT = 100_000  # a long run must not fill the memory; the ledger is never cut
COUNTED = ("preview", "confirm", "cancel", "claim", "refund", "webhook")


class State:
    def __init__(self, credentials: Credentials, settings: Settings) -> None:
        self.credentials = credentials
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.holds = Holds(self.stopping)
        self.xcover_keys = Keys(self.now)
        self.xclaim_keys = Keys(self.now)
        self._initial = settings.model_copy()
        self._empty()

    def _empty(self) -> None:
        self.settings = self._initial.model_copy()
        self.bookings: dict[str, Booking] = {}
        self.claims: dict[str, Claim] = {}
        self.refunds: dict[str, AnsweredRefund] = {}  # by key; the partner never forgets one
        self.tokens: dict[str, datetime] = {}
        self.ledger: list[dict[str, Any]] = []
        self.requests: deque[dict[str, Any]] = deque(maxlen=REQUESTS_KEPT)
        self.recent: deque[float] = deque()
        self.dice = Dice()

    def reset(self) -> None:
        """Forget everything, back to the settings it was started with."""
        with self.lock:
            self._empty()
            self.xcover_keys.clear()
            self.xclaim_keys.clear()

    def now(self) -> datetime:
        """The insurer's clock, which a test may shift."""
        return datetime.now(UTC) + timedelta(seconds=self.settings.clock_offset_seconds)

    def key_mode(self, booking_id: str | None) -> str:
        """How a booking's keys are treated: as it was made, else as the setting says."""
        booking = self.bookings.get(booking_id or "")
        return (booking.key_mode if booking else None) or self.settings.key_mode

    def claim_keys_count(self, booking_id: str) -> bool:
        """Whether XClaim looks at keys; a booking's own mode holds there too."""
        booking = self.bookings.get(booking_id)
        if booking is not None and booking.key_mode is not None:
            return booking.key_mode != "ignored"
        return self.settings.xclaim_keys == "honoured"

    def is_throttled(self, at: float) -> bool:
        """Count a request that came at this monotonic time; true when it is one too many."""
        with self.lock:
            if not self.settings.rate_limit:
                return False
            while self.recent and self.recent[0] <= at - 1:
                self.recent.popleft()
            if len(self.recent) >= self.settings.rate_limit:
                return True
            self.recent.append(at)
            return False

    def take_fault(self, booking_id: str | None, on: str, only: str | None = None) -> Fault | None:
        """The fault that hits this request: one that was asked for, else whatever chance has for it."""
        with self.lock:
            asked_for = self._asked_for(booking_id, on, only)
            if only:
                return asked_for
            nth = self.dice.count(booking_id or "", on)
            return asked_for or self.dice.throw(self.settings.random_faults, booking_id or "", on, nth)

    def _asked_for(self, booking_id: str | None, on: str, only: str | None) -> Fault | None:
        """A booking's own fault; a list of all claims is hit by any booking's."""
        if booking_id is not None:
            booking = self.bookings.get(booking_id)
            return faults.take(booking.faults, on, only) if booking else None
        found = (faults.take(booking.faults, on, only) for booking in self.bookings.values())
        return next((fault for fault in found if fault), None)

    def record(self, kind: str, booking: Booking, **facts: Any) -> dict[str, Any]:
        """Add an effect to the ledger; it stays there."""
        with self.lock:
            effect = {"at": self.now().isoformat(), "kind": kind, "booking": booking.id, **facts}
            self.ledger.append(effect)
            return effect

    def effects(self, booking_id: str | None = None) -> list[dict[str, Any]]:
        with self.lock:
            return [dict(effect) for effect in self.ledger if booking_id in (None, effect["booking"])]

    def summary(self, booking_id: str | None = None) -> dict[str, dict[str, int]]:
        """How often each thing happened to each booking."""
        counts: dict[str, dict[str, int]] = {}
        for effect in self.effects(booking_id):
            counted = counts.setdefault(effect["booking"], {f"{kind}s": 0 for kind in COUNTED})
            if effect["kind"] in COUNTED:
                counted[f"{effect['kind']}s"] += 1
        return counts

    def find_claim(self, id_or_reference: str) -> Claim | None:
        with self.lock:
            claim = self.claims.get(id_or_reference)
            if claim is not None:
                return claim
            return next((one for one in self.claims.values() if one.reference == id_or_reference), None)

    def claims_of(self, booking_id: str | None = None) -> list[Claim]:
        with self.lock:
            return [claim for claim in self.claims.values() if booking_id in (None, claim.booking.id)]
