"""What a storm is made of, from the environment: EVENTS, SEED. Nothing is started here."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.chaos import plan as chaos
from tests.chaos.plan import number

SENT_PER_CLAIM = 25
REPEATED = 0.30
"""Of all that is sent: sent before, byte by byte."""
REORDERED = 0.10
"""Of all that is sent: told after what happened next."""
EARLY = 0.05
"""Of all that is sent: before our row for the claim exists."""
MANY = 10_000
"""Events from which a run is about more than whether it holds: starting a process takes as long as a hundred events."""
WAITING = 40
"""One claim in so many belongs to a cancellation that waits for its Premium Refund."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many, how fast."""

    events: int
    """Webhooks to be sent, repeats included."""
    seed: int
    senders: int
    """Connections that send at once."""
    active: int
    """Claims that one sender tells of at the same time."""
    backlog: int
    """Webhooks that may wait to be handled before the senders pause. Without a limit nearly all would be handled when
    every claim has long reached its end, and an order could no longer go wrong."""
    settle: float
    """Seconds without any progress after which the run gives up waiting for the end."""

    @property
    def claims(self) -> int:
        """How many claims there are."""
        return max(self.events // SENT_PER_CLAIM, 1)


def read(environment: Mapping[str, str] = os.environ) -> Plan:
    """Read the plan; raise chaos.plan.WrongSetting."""
    seed = int(number("SEED", float(int(time.time()) % 1_000_000), environment))
    return make(events=int(number("EVENTS", 100_000, environment)), seed=seed)


def make(*, events: int, seed: int) -> Plan:
    """Make a plan for so many events."""
    return Plan(events=events, seed=seed, senders=8, active=20, backlog=min(max(events // 20, 100), 1_000), settle=120)


def stack(plan: Plan) -> chaos.Plan:
    """Return what the processes are started with: an insurer that answers at once, and few processes for few events."""
    made = chaos.make(jobs=plan.claims, minutes=chaos.LONG, seed=plan.seed)
    gateways, slots = (2, 3) if plan.events >= MANY else (1, 2)
    return replace(made, key_mode="honoured", latency=0.0, gateways=gateways, slots=slots)
