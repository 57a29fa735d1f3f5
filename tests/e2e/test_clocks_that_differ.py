"""Story: a worker's own clock is wrong by an hour. Leases, waits and proofs go by the database's and the insurer's."""

from datetime import timedelta
from typing import Any

import pytest

from shared import caller_actions, cancellations, clock
from shared.lifecycle import Step
from tests.world import World

SKIP = {"mode": "skip"}

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has the host's clock only


@pytest.fixture(params=[timedelta(hours=-1), timedelta(hours=1)], ids=["an hour behind", "an hour ahead"], autouse=True)
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """This host's clock is wrong by so much, from before the world's beginning to after its end."""
    by: timedelta = request.param
    monkeypatch.setattr(clock, "_shift", by)
    monkeypatch.setattr(clock, "shift", lambda: clock._shift - by)
    return by


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [{"on": "confirm", "do": "act_then_drop"}, {"on": "create_claim", "do": "act_then_drop"}],
        [{"on": "confirm", "do": "drop_before"}, {"on": "create_claim", "do": "drop_before"}],
        [{"on": "confirm", "do": "throttle", "retry_after": 7}, {"on": "preview", "do": "throttle", "retry_after": 7}],
    ],
    ids=["nothing goes wrong", "answers are lost", "requests are lost", "told to wait"],
)
def test_a_journey_ends_as_with_a_right_clock(world: World, wrong: timedelta, faults: list[dict[str, Any]]) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[], faults=faults)
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "completed", world.row(row_id).problem
    assert len(world.effects("confirm", booking)) == 1
    assert len(world.effects("claim", booking)) == 1


def test_a_lease_lasts_as_long_as_with_a_right_clock(world: World, wrong: timedelta) -> None:
    row_id = world.accept(world.booking())

    def take() -> bool:
        with world.database.transaction() as tx:
            return cancellations.begin_step(tx, row_id, Step.LOOK_UP) is not None

    assert take()
    assert not take()
    world.later(cancellations.LEASE_SECONDS - 1)
    assert not take()
    world.later(1.5)
    assert take()


def test_an_offer_is_renewed_in_time_and_not_before(world: World, wrong: timedelta) -> None:
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()
    row = world.row(row_id)
    assert (row.status, row.round) == ("awaiting_refund", 1)

    world.settle()
    assert world.row(row_id).round == 1

    verdict = world.report_refund(row_id, str(row.preview_total), str(row.preview_currency))
    world.drain()
    assert verdict.problem is None
    assert world.row(row_id).status == "completed"
    with pytest.raises(caller_actions.Problem), world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")
