"""Story: XClaim's webhooks are lost, so XClaim is asked, less and less often, about every claim that is not closed."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from structlog.testing import capture_logs

from shared import claim_polls, webhook_events
from shared.claim_polls import ASKING_FOR, WAITS, wait_before_next
from shared.db import now_plus
from shared.lifecycle import TaskName
from shared.models import Claim
from tests.world import World

SKIP = {"mode": "skip"}
PREMIUM_REFUND = {"name": "premium_refund", "label": "Premium Refund"}
FIRST = wait_before_next(0, jitter=1.0) + 1


def claimed(world: World, **asked: Any) -> Claim:
    """Return a claim whose cancellation waits for its refund to be reported."""
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    row_id = world.accept(booking, **{"claim": {}, **asked})
    world.settle()
    return world.claim(row_id)


def becomes(world: World, claim: Claim, category: str, **more: Any) -> None:
    """Let XClaim's claim become so, and nobody be told."""
    event = "claim.status-update" if more else "claim.status-category-update"
    world.control.send_event(claim.reference, event=event, category=category, send=False, **more)


def rung(world: World) -> list[UUID]:
    """Sweep once and return the claims that were rung for; whatever else was rung for is left to a later sweep."""
    world.sweep()
    found = [row_id for task, row_id in world.database.published if task is TaskName.POLL_CLAIM]
    world.database.published.clear()
    return found


def poll(world: World, seconds: float) -> list[UUID]:
    """Let time pass, have the sweeper ring, and ask about each claim that it rang for."""
    world.later(seconds)
    found = rung(world)
    for claim_row_id in found:
        world.run(TaskName.POLL_CLAIM, claim_row_id)
    return found


def times_asked(world: World, claim: Claim) -> int:
    """Return how often XClaim was asked about the claim."""
    return len(world.control.requests(booking=claim.booking_id, operation="get_claim"))


def seconds_to_next(world: World, claim: Claim) -> float:
    """Return the seconds until the next question."""
    with world.database.reading() as session:
        due, now = session.execute(select(Claim.next_poll_at, now_plus(0)).where(Claim.id == claim.id)).one()
    return float((due - now).total_seconds())


def told(world: World, claim: Claim, event: str) -> list[Any]:
    """Return the lines of the timeline that tell of this."""
    return [line for line in world.timeline(claim.cancellation_id) if line.event == event]


def as_it_is(world: World, claim: Claim) -> Claim:
    """Return the claim's row as it is now."""
    return world.claim(claim.cancellation_id)


def arrives(world: World, claim: Claim, category: str) -> UUID:
    """Store a webhook about the claim, at its own address."""
    raw = json.dumps({"event": "claim.status-category-update", "payload": {"status": {"category": category}}}).encode()
    with world.database.transaction() as tx:
        delivery_id, _ = webhook_events.record(
            tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={}
        )
    return delivery_id


def at_once(*acts: Callable[[], object]) -> None:
    """Do these in threads that start together."""
    barrier = Barrier(len(acts))

    def one(act: Callable[[], object]) -> None:
        barrier.wait()
        act()

    with ThreadPoolExecutor(len(acts)) as threads:
        list(threads.map(one, acts))


def test_a_premium_refund_whose_webhook_was_lost_is_found_by_asking_and_wakes_the_cancellation(world: World) -> None:
    claim = claimed(world, journey="claim_then_cancel", refund=SKIP)
    becomes(world, claim, "Payment Processing", **PREMIUM_REFUND)

    with capture_logs() as logs:
        assert poll(world, FIRST) == [claim.id]
        world.drain()

    now = as_it_is(world, claim)
    assert (now.status, list(now.milestones), now.missed) == ("Payment Processing", ["premium_refund"], 1)
    assert world.row(claim.cancellation_id).status == "completed"
    (missed,) = told(world, claim, "webhook_missed")
    assert missed.details == {"status": ["Submitted", "Payment Processing"], "milestones": ["premium_refund"]}
    assert len(told(world, claim, "claim_milestone")) == 1
    (fact,) = [entry for entry in logs if entry["event"] == "webhook_missed"]
    assert (fact["claim"], fact["log_level"]) == (claim.reference, "warning")


def test_what_the_waiting_step_finds_by_itself_counts_as_missed_too(world: World) -> None:
    claim = claimed(world, journey="claim_then_cancel", refund=SKIP)
    becomes(world, claim, "Payment Processing", **PREMIUM_REFUND)

    world.later(61)
    world.sweep()
    world.drain()

    assert world.row(claim.cancellation_id).status == "completed"
    assert as_it_is(world, claim).missed == 1
    assert len(told(world, claim, "webhook_missed")) == 1


def test_what_a_webhook_told_was_not_missed(world: World) -> None:
    claim = claimed(world, journey="claim_then_cancel", refund=SKIP)
    becomes(world, claim, "Under Review")
    arrives(world, claim, "Under Review")
    world.drain()

    poll(world, FIRST)

    assert (as_it_is(world, claim).status, as_it_is(world, claim).missed) == ("Under Review", 0)
    assert told(world, claim, "webhook_missed") == []


def test_the_first_status_of_a_claim_that_was_named_by_hand_was_not_missed(world: World) -> None:
    claim = claimed(world)
    with world.database.transaction() as tx:
        tx.session.execute(update(Claim).values(status=None, status_name=None, fetched_at=None))

    poll(world, FIRST)

    assert (as_it_is(world, claim).status, as_it_is(world, claim).missed) == ("Submitted", 0)


def test_a_declined_claim_whose_webhook_was_lost_stops_the_cancellation_and_is_not_asked_about_again(
    world: World,
) -> None:
    claim = claimed(world)
    becomes(world, claim, "Declined")

    poll(world, FIRST)

    row = world.row(claim.cancellation_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("claim-closed-unpaid")
    assert poll(world, 10 * WAITS[-1]) == []


def test_a_worker_that_dies_while_it_asks_is_replaced_and_what_it_says_late_is_not_written(world: World) -> None:
    claim = claimed(world)
    world.later(FIRST)
    assert rung(world) == [claim.id]
    with world.database.transaction() as tx:
        begun = claim_polls.begin(tx, claim.id)
    assert begun is not None
    becomes(world, claim, "Under Review")

    assert poll(world, ASKING_FOR - 1) == []
    assert poll(world, 2) == [claim.id]
    wait = seconds_to_next(world, claim)
    with world.database.transaction() as tx:
        claim_polls.ask_later(tx, begun[0], polls=4)

    assert (as_it_is(world, claim).status, as_it_is(world, claim).polls) == ("Under Review", 0)
    assert wait - 5 < seconds_to_next(world, claim) <= wait


def test_a_question_and_a_webhook_at_the_same_moment_reach_the_milestone_once(world: World) -> None:
    claim = claimed(world, journey="claim_then_cancel", refund=SKIP)
    world.control.patch_booking(
        claim.booking_id, faults=[{"on": "get_claim", "do": "slow", "seconds": 0.3, "times": 2}]
    )
    becomes(world, claim, "Payment Processing", **PREMIUM_REFUND)
    world.later(FIRST)
    assert rung(world) == [claim.id]
    delivery_id = arrives(world, claim, "Payment Processing")
    world.database.published.clear()

    at_once(lambda: world.run(TaskName.POLL_CLAIM, claim.id), lambda: world.run(TaskName.HANDLE_WEBHOOK, delivery_id))
    world.settle()

    assert len(told(world, claim, "claim_milestone")) == 1
    assert as_it_is(world, claim).missed <= 1
    assert world.row(claim.cancellation_id).status == "completed"


def test_while_xclaim_is_down_it_is_asked_as_often_as_before_and_the_news_is_found_afterwards(world: World) -> None:
    claim = claimed(world)
    becomes(world, claim, "Declined")
    world.control.settings(outage=503)
    for _ in range(3):
        assert poll(world, FIRST) == [claim.id]
        assert (as_it_is(world, claim).status, as_it_is(world, claim).polls) == ("Submitted", 0)

    world.control.settings(outage=None)
    poll(world, FIRST)

    assert list(as_it_is(world, claim).milestones) == ["claim_closed_unpaid"]


def test_a_claim_that_xclaim_does_not_show_is_told_once_asked_about_daily_and_never_closed(world: World) -> None:
    claim = claimed(world)
    world.control.send_event(claim.reference, event="claim.deleted", send=False)

    poll(world, FIRST)
    assert seconds_to_next(world, claim) > WAITS[-1] - 10
    poll(world, WAITS[-1] * 1.2 + 1)

    now = as_it_is(world, claim)
    assert (now.status, now.milestones, now.closed_at) == ("Submitted", {}, None)
    assert len(told(world, claim, "claim_not_shown")) == 1
    assert world.row(claim.cancellation_id).status == "awaiting_refund"


def test_what_xclaim_calls_closed_closes_nothing_unless_it_is_mapped_to_a_milestone(world: World) -> None:
    world.configure(claim_milestones={"claim_closed_unpaid": ["Declined"]})
    claim = claimed(world)
    with world.database.transaction() as tx:  # known by its reference alone, by which XClaim tells `is_closed`
        tx.session.execute(update(Claim).values(claim_id=None))
    becomes(world, claim, "Withdrawn")

    poll(world, FIRST)

    now = as_it_is(world, claim)
    assert (now.status, now.milestones, now.closed_at) == ("Withdrawn", {}, None)
    assert poll(world, FIRST) == [claim.id]


def test_an_unknown_category_is_told_once_for_each_claim_and_category(world: World) -> None:
    claim = claimed(world)
    with capture_logs() as logs:
        for category in ("Some New Thing", "Another", "Some New Thing", "Under Review"):
            becomes(world, claim, category)
            poll(world, FIRST)
            arrives(world, claim, category)
            world.drain()

    words = [entry["word"] for entry in logs if entry["event"] == "claim_category_unknown"]
    assert words == ["Some New Thing", "Another"]
    assert len(told(world, claim, "claim_category_unknown")) == 2
