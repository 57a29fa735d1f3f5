"""How long the work of a killed worker lies about until another takes it up.

At a kill the rows with a live lease are noted. Each has then one of two fates: its holder lives and ends the lease, or
the lease runs out and a later one is taken after its end: that row was a victim.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Self
from uuid import UUID

from tests.chaos.rows import AWAY, Rows

LOOK_EVERY = 0.25
LIVE = "SELECT id, lease, lease_until FROM cancellations WHERE lease_until > statement_timestamp()"
LATE = (
    "SELECT count(*) FROM cancellations WHERE next_attempt_at < statement_timestamp() - interval '3 seconds'"
    " AND (lease_until IS NULL OR lease_until < statement_timestamp())"
)
CALM = 5
"""Rows that may be late where the workers keep up with what is asked of them."""
NOW = "SELECT id, lease, lease_until, begun_at FROM cancellations WHERE id = ANY(%(ids)s)"


class Fate(Enum):
    """What became of a row that was being worked on when a worker was killed."""

    OPEN = "open"
    ENDED = "ended by its own holder, who lives"
    TAKEN_UP = "taken up by another after its lease ran out"


@dataclass(kw_only=True)
class Suspect:
    """A row that was being worked on when a worker was killed."""

    lease: int
    lease_until: datetime
    killed_at: datetime
    late: int
    fault: str


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """One step of a killed worker that another took up."""

    fault: str
    killed_at: datetime
    taken_at: datetime
    late: int
    """Rows that were behind at the kill: an outage before it leaves a queue, in which the taking up waits too."""

    @property
    def seconds(self) -> float:
        """From the kill to the new lease."""
        return (self.taken_at - self.killed_at).total_seconds()


class RecoveryWatch:
    """Follows suspects while the block runs."""

    def __init__(self, url: str) -> None:
        self._rows = Rows(url)
        self._url = url
        self._lock = threading.Lock()
        self._suspects: dict[UUID, Suspect] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="recovery", daemon=True)
        self.recoveries: list[Recovery] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._rows.close()

    def killing(self, fault: str) -> None:
        """Note what is being worked on; to be called right before the kill."""
        rows = Rows(self._url)
        try:
            live, ((late,),) = rows.read(LIVE), rows.read(LATE)
        except AWAY:
            return
        finally:
            rows.close()
        now = datetime.now(UTC)
        with self._lock:
            for row_id, lease, until in live:
                suspect = Suspect(lease=lease, lease_until=until, killed_at=now, late=late, fault=fault)
                self._suspects.setdefault(row_id, suspect)

    def settle(self, seconds: float) -> None:
        """Wait until the fate of each suspect is known, or so long."""
        for _ in range(int(seconds / LOOK_EVERY)):
            with self._lock:
                if not self._suspects:
                    return
            self._stop.wait(LOOK_EVERY)

    def wait_for_calm(self, seconds: float) -> None:
        """Wait until the workers have caught up with an outage, or so long."""
        rows = Rows(self._url)
        for _ in range(int(seconds / LOOK_EVERY)):
            with suppress(*AWAY):
                if rows.read(LATE)[0][0] <= CALM:
                    break
            self._stop.wait(LOOK_EVERY)
        rows.close()

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            with self._lock:
                ids = list(self._suspects)
            if not ids:
                continue
            try:
                found = self._rows.read(NOW, {"ids": ids})
            except AWAY:
                continue
            with self._lock:
                for row_id, lease, until, begun_at in found:
                    self._judge(row_id, lease, until, begun_at)

    def _judge(self, row_id: UUID, lease: int, until: datetime | None, begun_at: datetime) -> None:
        suspect = self._suspects[row_id]
        found = fate(suspect, lease=lease, until=until, begun_at=begun_at)
        if found is Fate.TAKEN_UP:
            self.recoveries.append(
                Recovery(fault=suspect.fault, killed_at=suspect.killed_at, taken_at=begun_at, late=suspect.late)
            )
        if found is not Fate.OPEN:
            del self._suspects[row_id]
        elif until is not None:
            suspect.lease_until = until  # renewed


def fate(suspect: Suspect, *, lease: int, until: datetime | None, begun_at: datetime) -> Fate:
    """Tell from a row as it is now what became of the lease that was live at the kill."""
    if lease > suspect.lease:
        # A later lease that began while the old one lasted followed one that its own holder had ended.
        return Fate.TAKEN_UP if begun_at > suspect.lease_until else Fate.ENDED
    return Fate.ENDED if until is None else Fate.OPEN
