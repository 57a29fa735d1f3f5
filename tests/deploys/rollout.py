"""Releases on one database, by hand: which one serves, which one takes the next message, and how time passes.

Messages are carried from the release that published one to the release that takes it. What should come of it is not
this module's business.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from uuid import uuid4

from tests.deploys.release import Release
from tests.simulator import SimBooking, SimulatorServer
from tests.simulator.receiver import Receiver

TOKENS = {"shop": "shop-token", "ops": "ops-token"}
GRACE = 10.1
"""Seconds the sweeper gives a message before it rings again."""
WEBHOOK = "webhook.handle"


@dataclass(frozen=True)
class Setting:
    """What all share: the insurer, where its webhooks arrive, both releases, and how far the clocks have been moved."""

    simulator: SimulatorServer
    receiver: Receiver
    previous: Release
    this: Release
    moved: list[float] = field(default_factory=list)

    def start_over(self) -> None:
        """Let the insurer forget everything, and leave its clock where all others are."""
        self.simulator.control.reset()
        self.simulator.control.shift_clock(sum(self.moved))
        self.receiver.arrived.clear()

    def now(self) -> datetime:
        """The time by the moved clocks."""
        return datetime.now(UTC) + timedelta(seconds=sum(self.moved))


class Rollout:
    """Doors of one release and hands of one or several, on one database; those of several take turns."""

    def __init__(self, setting: Setting, *, door: Release, hands: Sequence[Release]) -> None:
        self.setting = setting
        self.control = setting.simulator.control
        self.door = door
        self.published: list[list[str]] = []
        self.failed: list[str] = []
        self._hands = cycle(hands)

    def request(self, method: str, path: str, body: Any = None, *, who: str = "shop", key: str = "") -> dict[str, Any]:
        """Ask the door; anything but a 2xx is an error of the test."""
        headers = {"Authorization": f"Bearer {TOKENS[who]}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        text = None if body is None else json.dumps(body)
        answer = self.door.ask("request", method=method, path=f"/v1/cancellations{path}", headers=headers, body=text)
        self._collect(self.door)
        assert answer["status"] < 300, f"{self.door.name}: {method} {path}: {answer}"
        return dict(answer["body"])

    def accept(self, booking: SimBooking, **body: Any) -> str:
        """Accept a cancellation."""
        return str(self.request("POST", "", {"booking_id": booking.id, **body}, key=str(uuid4()))["id"])

    def show(self, row_id: str) -> dict[str, Any]:
        """Show a cancellation, to its owner."""
        return self.request("GET", f"/{row_id}")

    def rows(self, query: str = "") -> list[dict[str, Any]]:
        """Show the cancellations of a query, to an operator."""
        page = self.request("GET", f"?limit=200{query}", who="ops")
        assert page["next_cursor"] is None
        return list(page["items"])

    def run(self, task: str, row_id: str, *, dies: tuple[str, str] | None = None) -> str:
        """Have the next hand run a task."""
        hand = next(self._hands)
        outcome = str(hand.ask("run", task=task, row_id=row_id, dies=dies))
        self._collect(hand)
        if outcome.startswith("failed"):
            self.failed.append(f"{hand.name} {task}: {outcome}")
        return outcome

    def run_next(self, row_id: str, *, dies: tuple[str, str] | None = None) -> str:
        """Run the next message of one row, and no other's."""
        message = next(one for one in self.published if one[1] == row_id)
        self.published.remove(message)
        return self.run(*message, dies=dies)

    def run_all_of(self, row_id: str) -> None:
        """Run a row's messages until it has none."""
        while any(one[1] == row_id for one in self.published):
            self.run_next(row_id)

    def drain(self) -> None:
        """Run every message, and those they publish."""
        while self.published:
            self.run(*self.published.pop(0))

    def sweep(self) -> None:
        """Let the sweeper of the next hand look once."""
        hand = next(self._hands)
        hand.ask("sweep")
        self._collect(hand)

    def later(self, seconds: float) -> None:
        """Move every clock: the releases', the insurer's and the test's."""
        for release in (self.setting.previous, self.setting.this):
            release.ask("travel", seconds=seconds)
        self.control.shift_clock(seconds)
        self.setting.moved.append(seconds)

    def settle(self, *, rounds: int = 60) -> None:
        """Go on until nothing is in progress and no webhook waits: time moves to what is due next."""
        for _ in range(rounds):
            self.take_webhooks()
            self.drain()
            waiting = self.rows("&status=in_progress")
            if not waiting:
                return
            due = min(datetime.fromisoformat(row["next_attempt_at"]) for row in waiting)
            self.later(max((due - self.setting.now()).total_seconds(), 0.0) + GRACE)
            self.sweep()
        raise AssertionError(f"still in progress after {rounds} rounds: {self.rows('in_progress')}; {self.failed}")

    def take_webhooks(self) -> list[str]:
        """Let what the insurer has sent arrive at the door; return the deliveries."""
        before = len(self.published)
        arrived, self.setting.receiver.arrived[:] = list(self.setting.receiver.arrived), []
        for one in arrived:
            kept = {name: value for name, value in one.headers.items() if name in {"XClaim-Signature", "Content-Type"}}
            answer = self.door.ask("request", method="POST", path=one.path, headers=kept, body=one.body.decode())
            assert answer["status"] == 200, f"{self.door.name}: {one.path}: {answer}"
            self._collect(self.door)
        return [row_id for task, row_id in self.published[before:] if task == WEBHOOK]

    def summary(self, bookings: Iterable[SimBooking]) -> dict[str, dict[str, int]]:
        """Return how often the insurer, and the partner, did what can be done once only, by booking."""
        told = self.control.ledger()["summary"]
        kinds = ("confirms", "cancels", "claims", "refunds")
        return {
            booking.id: {kind: done for kind in kinds if (done := told.get(booking.id, {}).get(kind, 0))}
            for booking in bookings
        }

    def _collect(self, release: Release) -> None:
        taken, release.published[:] = list(release.published), []
        self.published += taken
