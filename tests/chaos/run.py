"""One run while it goes on: its parts, and what is known so far."""

from dataclasses import dataclass, field
from typing import Any

from tests.chaos.faults import Faults
from tests.chaos.fleet import Fleet
from tests.chaos.messages import MessageCounter
from tests.chaos.partner import Partner
from tests.chaos.recovery import RecoveryWatch
from tests.chaos.schedule import Schedule
from tests.chaos.stack import Stack
from tests.chaos.traffic import Traffic


@dataclass(kw_only=True)
class Run:
    """One run."""

    stack: Stack
    fleet: Fleet
    watch: RecoveryWatch
    messages: MessageCounter
    traffic: Traffic
    partner: Partner
    faults: Faults
    schedule: Schedule
    settled_after: float = 0.0
    """Seconds from the last fault until everything had ended."""
    stuck: frozenset[str] = frozenset()
    """Cancellations that had not ended when the faults had stopped for two minutes."""
    webhooks_unhandled: int = 0
    """Events that nobody had handled by then."""
    flush: dict[str, Any] = field(default_factory=dict)
