"""Which fault happens when: seeded rounds in which each happens at least once, with a pause after each."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.faults import Faults, NothingToHit
from tests.chaos.plan import Plan

KILLS = ("worker_main_killed", "worker_child_killed", "worker_group_killed", "supervisor_killed")
MORE_KILLS = ("worker_group_killed",) * 4
"""In each round of a long run: it takes many victims to tell a percentile, and the other kills leave few."""
ONCE_A_ROUND = (
    *("worker_paused", "web_killed", "web_child_killed", "beat_killed"),
    *("redis_flushed", "redis_restarted", "redis_away", "redis_hung"),
    *("postgresql_restarted", "postgresql_crashed_in_recovery"),
    *("keys_forgotten_early", "clock_past_offers", "clock_past_keys", "deployed"),
)
IN_SHORT = tuple(
    name
    for name in (*KILLS, *ONCE_A_ROUND)
    # Each start takes seconds of a processor: the first two are part of what happens before PostgreSQL's crash, and
    # a SIGTERM to everything has tests of its own.
    if name not in {"worker_group_killed", "supervisor_killed", "web_child_killed", "deployed"}
)


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One fault, by this machine's clock."""

    name: str
    began: float
    ended: float


class Schedule:
    """The faults of one run."""

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self._plan = plan
        self._faults = faults
        self._chance = random.Random(f"{plan.seed}:schedule")
        self._names = [*KILLS, *MORE_KILLS, *ONCE_A_ROUND] if plan.is_long else list(IN_SHORT)
        self._stop = threading.Event()
        self.happened: list[Happened] = []
        self.missed: Counter[str] = Counter()
        """Faults that found nothing to hit."""
        self.current = ""

    def run(self) -> None:
        """Let faults happen until the time is over, and each at least once."""
        until = time.monotonic() + self._plan.seconds
        self._pause()
        for number, name in enumerate(self._rounds()):
            if number >= len(self._names) and time.monotonic() >= until:
                break
            self._let_happen(name)
            self._pause()
        self._faults.wait_for_pauses()

    @property
    def counted(self) -> Counter[str]:
        """How often each happened."""
        return Counter(one.name for one in self.happened)

    def _rounds(self) -> Iterator[str]:
        while True:
            self._chance.shuffle(self._names)
            yield from self._names

    def _pause(self) -> None:
        # Of unequal length, or each kill would follow the sweep that ended the last recovery by the same time.
        self._stop.wait(self._plan.gap * self._chance.uniform(0.5, 2.5))

    def _let_happen(self, name: str) -> None:
        self.current, began = name, time.time()
        try:
            getattr(self._faults, name)()
        except NothingToHit:
            self.missed[name] += 1
        else:
            ended = began + self._plan.paused if name == "worker_paused" else time.time()
            self.happened.append(Happened(name=name, began=began, ended=ended))
        finally:
            self.current = ""
