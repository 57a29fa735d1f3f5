"""What is asked for, in which proportion, and what must have happened once it is completed."""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.simulator.client import SimulatorControl

PREMIUM_REFUND = {
    "after": 0.3,
    "event": "claim.status-update",
    "category": "Payment Processing",
    "name": "premium_refund",
    "label": "Premium Refund",
}
THROUGH_CELERY = 0.1
"""Of the jobs."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job; `effects` is what the insurer's and the partner's ledgers show of a completed one."""

    name: str
    weight: int
    effects: Mapping[str, int]
    body: Mapping[str, Any] = field(default_factory=dict)
    booking: Mapping[str, Any] = field(default_factory=dict)
    claims: Literal["nothing", "only policy", "second policy"] = "nothing"
    is_aborted: bool = False
    """The caller takes it back while it waits for the refund."""
    has_rival: bool = False
    """Another job asks for the same at the same time: one of them is to be rejected."""


def _refund(mode: str) -> dict[str, Any]:
    return {"refund": {"mode": mode}}


CONFIRM, CLAIM, PAID = {"confirm": 1}, {"claim": 1}, {"refund": 1}
STORY = {"claim_story": [PREMIUM_REFUND]}
KINDS = (
    Kind(name="cancel, wait", weight=12, body=_refund("wait"), effects=CONFIRM),
    Kind(name="cancel, call", weight=10, body=_refund("call"), effects=CONFIRM | PAID),
    Kind(name="cancel, call, promised", weight=4, body=_refund("call"), booking={"refund_answer": "accepted"},
         effects=CONFIRM | {"refund_promised": 1}),
    Kind(name="cancel, skip", weight=10, body=_refund("skip"), effects=CONFIRM),
    Kind(name="cancel, aborted", weight=5, body=_refund("wait"), effects={}, is_aborted=True),
    Kind(name="cancel, two at once", weight=3, body=_refund("skip"), effects=CONFIRM, has_rival=True),
    Kind(name="cancel and claim, wait", weight=8, body=_refund("wait"), claims="second policy",
         effects=CONFIRM | CLAIM),
    Kind(name="cancel and claim, call", weight=6, body=_refund("call"), claims="second policy",
         effects=CONFIRM | CLAIM | PAID),
    Kind(name="cancel and claim, skip", weight=6, body=_refund("skip"), claims="second policy",
         effects=CONFIRM | CLAIM),
    Kind(name="claim, then confirm", weight=8, body=_refund("skip"), claims="only policy", effects=CONFIRM | CLAIM),
    Kind(name="claim", weight=8, body={"journey": "claim"}, claims="only policy", effects=CLAIM),
    Kind(name="cancel now", weight=10, body={"journey": "cancel_now"}, effects={"cancel": 1}),
    Kind(name="claim then cancel, call", weight=5, body={"journey": "claim_then_cancel", **_refund("call")},
         booking=STORY, effects=CONFIRM | CLAIM | PAID),
    Kind(name="claim then cancel, wait", weight=5, body={"journey": "claim_then_cancel", **_refund("wait")},
         booking=STORY, effects=CONFIRM | CLAIM),
)  # fmt: skip


@dataclass(kw_only=True, eq=False)
class Job:
    """One request, and what its sender knows of it."""

    kind: Kind
    key: str
    booking_id: str
    body: dict[str, Any]
    door: Literal["http", "celery"]
    id: str | None = None
    """Its cancellation, once accepted."""
    refused: str | None = None
    """What the gateway said instead of accepting it; nothing here should be refused."""
    asked_at: float = 0.0
    """When it was last sent."""
    acted_at: float = 0.0
    """When the partner last did its part."""
    reported_at: float | None = None
    """When the partner first reported its refund, by this machine's clock."""


def draw(chance: random.Random, insurer: SimulatorControl, number: int) -> list[Job]:
    """Choose a kind, have its booking sold, and return its job, with its rival's if it has one."""
    kind = chance.choices(KINDS, weights=[kind.weight for kind in KINDS])[0]
    return make(kind, chance, insurer, number)


def make(kind: Kind, chance: random.Random, insurer: SimulatorControl, number: int) -> list[Job]:
    """Make the jobs of a kind."""
    policies = [{"price": 20}, {"price": 50}] if kind.claims == "second policy" else [{"price": 22.40}]
    booking = insurer.add_booking(id=f"CHAOS-{number:05}-INS", policies=policies, **kind.booking)
    body = {"booking_id": booking.id, "metadata": {"kind": kind.name}, **kind.body}
    if kind.claims == "second policy":
        body["claim"] = {"quote_id": booking.quote_ids[1]}
    elif kind.claims == "only policy" and "journey" not in body:
        body["claim"] = {}
    door: Literal["http", "celery"] = "celery" if chance.random() < THROUGH_CELERY else "http"
    return [
        Job(kind=kind, key=f"chaos-{number}-{uuid.uuid4()}", booking_id=booking.id, body=body, door=door)
        for _ in range(2 if kind.has_rival else 1)
    ]
