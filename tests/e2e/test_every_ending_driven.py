"""The states of the table as the service itself comes to them, and what its steps make of the events of the table.

The table's cases start from rows that a test has written; here the same states are driven to, so that the written
ones cannot drift from real ones.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared import caller_actions, webhook_events
from shared.models import Claim, Reservation
from shared.resolutions import resolve
from shared.rulings import ClaimAmendment, Resolution, Ruling
from tests.every_ending import STATES, write
from tests.world import World

pytestmark = pytest.mark.key_mode("honoured")

SKIP, WAIT = {"mode": "skip"}, {"mode": "wait"}
THEN: dict[str, Any] = {"journey": "claim_then_cancel", "refund": WAIT}
PREMIUM_REFUND = {"category": "Payment Processing", "name": "premium_refund", "label": "Premium Refund"}

Drive = Callable[[World], UUID]


def _shape(world: World, row_id: UUID) -> dict[str, Any]:
    """Return what makes a state, without the names, times and numbers in it."""
    row = world.row(row_id)
    held = world.all(Reservation, Reservation.cancellation_id == row_id, Reservation.released_at.is_(None))
    claims = world.all(Claim, Claim.cancellation_id == row_id)
    return {
        "stands": (row.status, row.next_step, row.steps, row.done_steps),
        "problem": row.problem and row.problem["type"],
        "is_past": row.irreversible_at is not None,
        "is_previewed": row.preview_total is not None,
        "is_refund_stored": row.refund_reported_at is not None,
        "acts_again": row.next_attempt_at is not None,
        "is_completed": row.completed_at is not None,
        "calls": {(call.step, call.outcome) for call in world.calls(row_id)},
        "claims": [
            (bool(claim.claim_id), bool(claim.reference), claim.is_processed, list(claim.milestones))
            for claim in claims
        ],
        "held": len(held),
    }


def _accepted(world: World, *, steps: int | None = None, spec: dict[str, Any] | None = None, **asked: Any) -> UUID:
    """Accept one and run so many of its steps, or all that it does by itself."""
    booking = world.booking(**{"claim_story": [], **(spec or {})})
    row_id = world.accept(booking, **asked)
    if steps is None:
        world.settle()
        return row_id
    for _ in range(steps):
        world.run(*world.database.published.pop(0))
    return row_id


def _report(world: World, row_id: UUID) -> UUID:
    world.report_refund(row_id, "22.40", "EUR")
    return row_id


def _abort(world: World, row_id: UUID) -> UUID:
    with world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")
    return row_id


def _rule(world: World, row_id: UUID, resolution: Resolution, **more: Any) -> UUID:
    with world.database.transaction() as tx:
        resolve(tx, row_id, Ruling(resolution=resolution, actor="operator:ops", note="looked at it", **more))
    return row_id


def _claim_says(world: World, row_id: UUID, **status: Any) -> UUID:
    claim = world.claim(row_id)
    event = "claim.status-update" if "name" in status else "claim.status-category-update"
    world.control.send_event(claim.reference, event=event, send=False, **status)
    raw = json.dumps({"event": event, "payload": {"id": claim.claim_id, "status": status}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})
    world.drain()
    return row_id


def _after_too_long(world: World, **asked: Any) -> UUID:
    world.configure(refund_max_wait=timedelta(minutes=5), premium_refund_max_wait=timedelta(minutes=5))
    row_id = _accepted(world, **asked)
    for _ in range(8):
        world.later(100)
        world.sweep()
        world.drain()
    return row_id


def _settled(world: World, row_id: UUID) -> UUID:
    world.settle()
    return row_id


def _woken(world: World, row_id: UUID) -> UUID:
    """Stop when the claim has been seen to report its Premium Refund: the preview is due."""
    claim = world.claim(row_id)
    world.control.send_event(claim.reference, event="claim.status-update", send=False, **PREMIUM_REFUND)
    world.later(61)
    world.sweep()
    world.run(*world.database.published.pop(0))
    return row_id


REFUSED_CLAIM = {"faults": [{"on": "create_claim", "do": "refuse"}]}
DRIVES: dict[str, Drive] = {
    "in_progress/look_up": lambda world: _accepted(world, steps=0),
    "in_progress/preview": lambda world: _accepted(world, steps=1),
    "in_progress/preview+dry": lambda world: _accepted(world, steps=1, dry_run=True),
    "in_progress/preview!+then": lambda world: _woken(world, _accepted(world, **THEN)),
    "in_progress/refund": lambda world: _accepted(world, steps=2),
    "in_progress/refund!": lambda world: _accepted(world, steps=3, claim={}),
    "in_progress/confirm": lambda world: _accepted(world, steps=3, refund=SKIP),
    "in_progress/claim": lambda world: _accepted(world, steps=1, journey="claim"),
    "in_progress/claim+first": lambda world: _accepted(world, steps=2, claim={}),
    "in_progress/claim!+first": lambda world: _accepted(world, steps=3, claim={}, spec={"claim_pending_polls": 9}),
    "in_progress/cancel": lambda world: _accepted(world, steps=1, journey="cancel_now"),
    "in_progress/await_premium_refund!": lambda world: _accepted(world, steps=2, **THEN),
    "awaiting_refund/refund": _accepted,
    "awaiting_refund/refund!": lambda world: _accepted(world, claim={}),
    "awaiting_premium_refund/await_premium_refund!": lambda world: _accepted(world, **THEN),
    "needs_review/preview": lambda world: _accepted(world, spec={"policies": [{"price": "22.405"}]}),
    "needs_review/refund": _after_too_long,
    "needs_review/refund!": lambda world: _claim_says(world, _accepted(world, claim={}), category="Declined"),
    "needs_review/claim!+refused": lambda world: _accepted(world, claim={}, spec=REFUSED_CLAIM),
    "needs_review/claim!+failed": lambda world: _accepted(
        world, journey="claim", spec={"claim_pending_polls": 1, "claim_fails": "no such schema"}
    ),
    "needs_review/await_premium_refund!": lambda world: _after_too_long(world, **THEN),
    "needs_review/await_premium_refund!+unpaid": lambda world: _claim_says(
        world, _accepted(world, **THEN), category="Declined"
    ),
    "needs_review/-!+late": lambda world: _report(world, _abort(world, _accepted(world))),
    "completed/-!": lambda world: _settled(world, _report(world, _accepted(world))),
    "completed/-!+skipped": lambda world: _accepted(world, refund=SKIP),
    "completed/-!+claim": lambda world: _accepted(world, journey="claim"),
    "completed/-+dry": lambda world: _accepted(world, dry_run=True),
    "aborted/-": lambda world: _abort(world, _accepted(world)),
    "closed/-": lambda world: _rule(world, _accepted(world), Resolution.CLOSE),
    "closed/-!": lambda world: _rule(world, _accepted(world, claim={}), Resolution.CLOSE),
}


@pytest.mark.parametrize("name", DRIVES)
def test_a_written_state_is_what_the_service_itself_comes_to(world: World, name: str) -> None:
    driven = _shape(world, DRIVES[name](world))

    written = _shape(world, write(world, STATES[name]))

    assert written == driven


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"category": "Payment Complete"}, "/problems/claim-paid-first"),
        ({"category": "Declined"}, "/problems/claim-closed-unpaid"),
    ],
)
def test_a_claim_that_ends_before_its_premium_refund_needs_review(
    world: World, said: dict[str, Any], problem: str
) -> None:
    row_id = _claim_says(world, _accepted(world, **THEN), **said)

    row = world.row(row_id)
    assert (row.status, row.next_step) == ("needs_review", "await_premium_refund")
    assert (row.problem or {})["type"] == problem


def test_a_premium_refund_leads_on_to_the_refund(world: World) -> None:
    row_id = _claim_says(world, _accepted(world, **THEN), **PREMIUM_REFUND)

    assert (world.row(row_id).status, world.row(row_id).next_step) == ("awaiting_refund", "refund")


def test_an_amended_claim_is_another_call_with_the_replaced_fields(world: World) -> None:
    row_id = _accepted(world, claim={}, spec=REFUSED_CLAIM)

    _rule(world, row_id, Resolution.AMEND, amendment=ClaimAmendment(language="de"))
    world.settle()

    made = [
        (call.round, call.outcome, call.request["language"]) for call in world.calls(row_id) if call.step == "claim"
    ]
    assert made == [(1, "not_done", "en"), (2, "done", "de")]
    assert world.row(row_id).status == "awaiting_refund"


def test_a_retry_repeats_a_refused_confirm_under_its_key_and_not_done_takes_a_new_one(world: World) -> None:
    row_id = _accepted(world, refund=SKIP, spec={"faults": [{"on": "confirm", "do": "refuse", "times": 2}]})
    with world.database.transaction() as tx:
        caller_actions.retry(tx, row_id, actor="operator:ops")
    world.settle()
    assert world.row(row_id).status == "needs_review"

    _rule(world, row_id, Resolution.NOT_DONE)
    world.settle()

    keys = [request["key"] for request in world.control.requests(operation="confirm")]
    assert len(keys) == 3
    assert keys[0] == keys[1] != keys[2]
    assert world.row(row_id).status == "completed"
