"""While a release replaces another, doors and hands of both work on one database: of the newest schema."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from shared.lifecycle import Journey
from tests.deploys.rollout import Rollout, Setting
from tests.deploys.situations import WHOLE, Situation
from tests.simulator import SimBooking

pytestmark = pytest.mark.processes

Begun = list[tuple[Situation, SimBooking, str]]


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_each_journey_ends_whichever_release_serves_and_whichever_works(setting: Setting, empty_database: str) -> None:
    previous, this = setting.previous, setting.this
    setting.start_over()
    this.ask("migrate", url=empty_database)
    for release in (previous, this):
        release.ask("open", url=empty_database)

    for door, hand in ((previous, previous), (previous, this), (this, previous)):
        rollout = Rollout(setting, door=door, hands=[hand])
        begun = _begin(rollout)
        rollout.settle()
        for situation, _, row_id in begun:
            for move in situation.then:
                move(rollout, row_id)
        rollout.settle()
        assert _endings(rollout, begun) == _expected(begun), f"{door.name} serves, {hand.name} works"
        assert rollout.failed == []


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_workers_of_both_releases_share_one_redis(setting: Setting, empty_database: str) -> None:
    releases = (setting.previous, setting.this)
    setting.start_over()
    setting.this.ask("migrate", url=empty_database)
    for release in releases:
        release.ask("open", url=empty_database)
        release.ask("work")
    rollouts = [Rollout(setting, door=release, hands=[release]) for release in releases]

    begun = [_begin(rollout) for rollout in rollouts]
    for ours, other in zip(begun, reversed(rollouts), strict=True):
        _wait_for(partial(_stands, other, ours), {situation.name: situation.stands for situation, _, _ in ours}, other)
        for situation, _, row_id in ours:
            for move in situation.then:
                move(other, row_id)  # what one release accepted, its caller goes on with at the other
    for ours, other in zip(begun, reversed(rollouts), strict=True):
        _wait_for(partial(_endings, other, ours), _expected(ours), other)

    ran = {release.name: release.ask("rest") for release in releases}
    assert all(len(set(tasks)) > 3 for tasks in ran.values()), f"both took part in most kinds of work: {ran}"


def _begin(rollout: Rollout) -> Begun:
    begun = []
    for situation in WHOLE:
        booking = rollout.control.add_booking(**{"claim_story": [], **situation.spec})
        begun.append((situation, booking, rollout.accept(booking, **situation.asked)))
    journeys = {row["journey"] for row in rollout.rows()}
    assert journeys == set(Journey), "a journey that is not taken here"
    return begun


def _stands(rollout: Rollout, begun: Begun) -> dict[str, Any]:
    shown = {row["id"]: (row["status"], row["next_step"]) for row in rollout.rows()}
    return {situation.name: shown[row_id] for situation, _, row_id in begun}


def _endings(rollout: Rollout, begun: Begun) -> dict[str, Any]:
    done = rollout.summary(booking for _, booking, _ in begun)
    shown = {row["id"]: (row["status"], row["claim"]["milestones"]) for row in rollout.rows()}
    return {situation.name: (*shown[row_id], done[booking.id]) for situation, booking, row_id in begun}


def _expected(begun: Begun) -> dict[str, Any]:
    return {situation.name: ("completed", situation.told, situation.done) for situation, _, _ in begun}


def _wait_for(look: Callable[[], Any], expected: Any, rollout: Rollout) -> None:
    """Wait until it is so; a timeout shows what it is instead."""
    try:
        rollout.control.wait_until(lambda: look() == expected, timeout=60)
    except TimeoutError:
        assert look() == expected
