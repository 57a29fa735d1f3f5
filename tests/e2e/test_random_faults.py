"""Story: everything that may go wrong goes wrong at random, and every journey still ends once, or with a person."""

from typing import Any
from uuid import UUID

import pytest

from shared.lifecycle import Status
from tests.simulator import REFUND_SECRET
from tests.world import World

STORY = [
    {"after": 0.0, "event": "claim.status-update", "category": "Payment Processing", "label": "Premium Refund"},
]
ASKED: dict[str, dict[str, Any]] = {
    "cancel": {"refund": {"mode": "call"}},
    "cancel_and_claim": {"refund": {"mode": "skip"}, "claim": {}},
    "claim": {},
    "cancel_now": {},
    "claim_then_cancel": {"refund": {"mode": "call"}},
}
LEDGER = {"cancel": "confirm", "cancel_and_claim": "confirm", "claim": "claim", "cancel_now": "cancel"}
MAY_BE_UNKNOWN = {"refund-unknown", "outcome-unsettled", "tries-spent", "answer-unreadable", "refund-refused"}
"""What a person may have to settle: an answer that never came back, and could not be read back either."""


def _end(world: World, row_id: UUID) -> None:
    """Let time pass until nothing moves by itself, as long as a claim's Premium Refund may take."""
    for _ in range(12):
        world.settle(rounds=400)
        if world.row(row_id).status != Status.AWAITING_PREMIUM_REFUND:
            return
        world.later(3600)
        world.sweep()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("journey", list(ASKED))
def test_whatever_happens_it_ends_and_nothing_is_done_twice(world: World, journey: str, seed: int) -> None:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    world.control.settings(random_faults={"seed": seed, "rate": 0.5, "limit": 4})
    booking = world.booking(id=f"RND0{seed}-{journey[:5].upper().replace('_', '0'):0<5}-INS", claim_story=STORY)
    row_id = world.accept(booking, journey=journey, **ASKED[journey])

    _end(world, row_id)

    row = world.row(row_id)
    problem = str((row.problem or {}).get("type")).removeprefix("/problems/")
    assert row.status == "completed" or (row.status, problem in MAY_BE_UNKNOWN) == ("needs_review", True), problem
    if row.status == "completed":
        kinds = {"cancel_and_claim": ["confirm", "claim"], "claim_then_cancel": ["confirm", "claim", "refund"]}
        for kind in kinds.get(journey, [LEDGER.get(journey, "confirm")]):
            assert len(world.effects(kind, booking)) == 1, kind
