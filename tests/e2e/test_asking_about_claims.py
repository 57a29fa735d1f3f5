"""Story: when XClaim is asked about a claim without a webhook: which claims, how often, how many at once."""

from collections.abc import Iterator
from uuid import UUID

import pytest
import redis
from sqlalchemy import update

from shared import broker, claim_polls
from shared.claim_polls import AT_ONCE, RUNG_FOR, WAITS
from shared.db import now_plus
from shared.lifecycle import TaskName
from shared.models import Claim
from tests.e2e.test_missed_webhooks import (
    FIRST,
    arrives,
    as_it_is,
    at_once,
    becomes,
    claimed,
    poll,
    rung,
    seconds_to_next,
    times_asked,
)
from tests.world import World
from workers.app import app


@pytest.fixture
def broker_queue(broker: str) -> Iterator[redis.Redis]:
    """The broker as a worker meets it, with no webhook left by others."""
    with redis.Redis.from_url(broker) as server:
        server.delete("webhooks")
        yield server
        server.delete("webhooks")


def test_questions_without_news_change_nothing_and_grow_rarer(world: World) -> None:
    claim = claimed(world)
    lines, before = len(world.timeline(claim.cancellation_id)), times_asked(world, claim)

    for number, wait in enumerate([*WAITS, WAITS[-1]]):
        assert 0.95 * wait < seconds_to_next(world, claim) <= 1.2 * wait, number
        assert poll(world, wait - 10) == [], number
        assert poll(world, 0.2 * wait + 11) == [claim.id], number
        assert (as_it_is(world, claim).polls, times_asked(world, claim)) == (number + 1, before + number + 1)

    assert (len(world.timeline(claim.cancellation_id)), as_it_is(world, claim).missed) == (lines, 0)


@pytest.mark.parametrize("brings_news", [True, False])
def test_a_webhook_that_brings_news_starts_the_waits_anew(world: World, *, brings_news: bool) -> None:
    claim = claimed(world)
    for wait in WAITS[:3]:
        poll(world, wait * 1.2 + 1)
    if brings_news:
        becomes(world, claim, "Under Review")
    arrives(world, claim, "Under Review")
    world.drain()

    now = as_it_is(world, claim)
    assert now.polls == (0 if brings_news else 3)
    assert (seconds_to_next(world, claim) < FIRST) is brings_news


def test_a_question_that_brings_news_starts_the_waits_anew(world: World) -> None:
    claim = claimed(world)
    for wait in WAITS[:2]:
        poll(world, wait * 1.2 + 1)
    becomes(world, claim, "Under Review")

    poll(world, WAITS[2] * 1.2 + 1)

    assert as_it_is(world, claim).polls == 0
    assert seconds_to_next(world, claim) < FIRST


def test_claims_of_one_burst_do_not_stay_one(world: World) -> None:
    claim = claimed(world)
    waits = set()
    for _ in range(8):
        with world.database.transaction() as tx:
            taken = tx.session.get_one(Claim, claim.id)
            claim_polls.ask_later(tx, taken, polls=claim_polls.RAREST)
        waits.add(round(seconds_to_next(world, claim)))

    assert len(waits) > 1


def test_sweepers_at_the_same_moment_ring_once(world: World) -> None:
    claims = [claimed(world) for _ in range(3)]
    world.later(FIRST)

    at_once(*[world.sweep] * 4)

    found = [row_id for task, row_id in world.database.published if task is TaskName.POLL_CLAIM]
    assert sorted(found) == sorted(claim.id for claim in claims)


def test_a_lost_message_is_rung_for_again_and_one_that_comes_twice_asks_once(world: World) -> None:
    claim = claimed(world)
    before = times_asked(world, claim)
    world.later(FIRST)
    assert rung(world) == [claim.id]

    world.later(RUNG_FOR - 1)
    assert rung(world) == []
    world.later(2)
    assert rung(world) == [claim.id]
    for _ in range(2):
        world.run(TaskName.POLL_CLAIM, claim.id)

    assert (times_asked(world, claim), as_it_is(world, claim).polls) == (before + 1, 1)


def test_while_claims_are_switched_off_nothing_is_asked_and_nothing_is_forgotten(world: World) -> None:
    claim = claimed(world)
    becomes(world, claim, "Declined")
    world.later(FIRST)
    assert rung(world) == [claim.id]
    world.configure(claims_enabled=False)

    world.run(TaskName.POLL_CLAIM, claim.id)  # rung for by a worker where they are switched on
    assert (as_it_is(world, claim).polls, as_it_is(world, claim).status) == (0, "Submitted")
    assert poll(world, FIRST) == []

    world.configure()
    assert poll(world, 1) == [claim.id]
    assert as_it_is(world, claim).status == "Declined"


def test_a_claim_that_an_older_release_opened_is_asked_about_after_the_first_wait(world: World) -> None:
    claim = claimed(world)
    with world.database.transaction() as tx:
        tx.session.execute(update(Claim).values(next_poll_at=None))

    assert rung(world) == []
    assert WAITS[0] - 5 < seconds_to_next(world, claim) < FIRST
    assert poll(world, FIRST) == [claim.id]


def test_a_claim_without_a_name_and_one_that_its_own_step_looks_at_are_not_asked_about(world: World) -> None:
    pending = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_polls=500)
    lost = world.booking(
        policies=[{"price": 50}],
        claim_story=[],
        faults=[{"on": "create_claim", "do": "drop_before"}, {"on": "list_claims", "do": "throttle", "times": 99}],
    )
    ids = [world.accept(booking, claim={}) for booking in (pending, lost)]
    world.drain()
    named, nameless = (world.claim(row_id) for row_id in ids)
    assert (named.reference is not None, nameless.reference) == (True, None)

    assert poll(world, WAITS[-1] * 2) == []
    assert world.claim(ids[1]).next_poll_at is None


def test_a_sweep_rings_for_few_claims_those_first_that_are_due_for_longest(world: World) -> None:
    claim = claimed(world)
    stored = copies(world, claim, AT_ONCE + 5)
    world.later(1)

    swept = [set(rung(world)) for _ in range(3)]

    assert swept == [set(stored[:AT_ONCE]), set(stored[AT_ONCE:]), set()]


def test_no_question_is_rung_for_while_many_messages_wait(world: World, broker_queue: redis.Redis) -> None:
    claim = claimed(world)
    assert broker.publish(app, [(TaskName.HANDLE_WEBHOOK, claim.id)] * AT_ONCE)
    world.later(FIRST)

    assert rung(world) == []
    broker_queue.delete(broker.WEBHOOKS_QUEUE)
    assert rung(world) == [claim.id]


def copies(world: World, claim: Claim, number: int) -> list[UUID]:
    """Store claims that have been due for as many seconds as there are before them, longest first."""
    ids = []
    with world.database.transaction() as tx:
        for count in range(number):
            row = Claim(
                partner=claim.partner, cancellation_id=claim.cancellation_id, booking_id=claim.booking_id,
                quote_id=f"q-{count}", claim_type_id=claim.claim_type_id, webhook_token=f"token-{count}",
                claim_id=f"id-{count}", next_poll_at=now_plus(count - number),
            )  # fmt: skip
            tx.session.add(row)
            tx.session.flush()
            ids.append(row.id)
    return ids
