"""What one release leaves behind, in every status and in the middle of every step, another brings to its end.

Forwards, as a deploy does: rows of the previous release, then the migrations, then this release. And backwards, as a
rollback does: rows of this release, on its schema, taken over by the previous one.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.deploys.release import Release
from tests.deploys.rollout import Rollout, Setting
from tests.deploys.situations import SITUATIONS, Situation
from tests.every_ending import STATES
from tests.simulator import SimBooking

pytestmark = pytest.mark.processes

PLACES = {(state.status, state.step) for state in STATES.values()}
"""Every status with every next step that a cancellation can have in it."""

PROBLEMS = {"rejected": "policy-cannot-be-cancelled", "needs_review": "refund-after-end"}


@dataclass(frozen=True)
class Left:
    """A cancellation that was left somewhere."""

    situation: Situation
    booking: SimBooking
    id: str


@pytest.mark.parametrize("empty_database", ["postgresql", "sqlite"], indirect=True)
def test_this_release_ends_what_the_previous_one_left(setting: Setting, empty_database: str) -> None:
    previous, this = setting.previous, setting.this
    previous.ask("migrate", url=empty_database)
    before = _start(setting, previous, empty_database, other=this)
    left = _leave(before)

    this.ask("migrate", url=empty_database)

    after = _start(setting, this, empty_database, other=previous)
    after.published = before.published  # what waits in Redis outlives the release that sent it
    assert _endings(after, left) == _expected(left)
    assert (before.failed, after.failed) == ([], [])


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_after_a_rollback_the_previous_release_ends_what_this_one_left(setting: Setting, empty_database: str) -> None:
    previous, this = setting.previous, setting.this
    this.ask("migrate", url=empty_database)
    before = _start(setting, this, empty_database, other=previous)
    left = _leave(before)

    after = _start(setting, previous, empty_database, other=this)
    after.published = before.published
    assert _endings(after, left) == _expected(left)
    assert (before.failed, after.failed) == ([], [])


def _start(setting: Setting, release: Release, url: str, *, other: Release) -> Rollout:
    other.ask("close")
    release.ask("open", url=url)
    return Rollout(setting, door=release, hands=[release])


def _leave(rollout: Rollout) -> list[Left]:
    """Bring a cancellation into each situation; nothing is in order before all of them are where they should be."""
    rollout.setting.start_over()
    left = []
    for situation in sorted(SITUATIONS, key=lambda one: not one.takes_long):
        booking = rollout.control.add_booking(**{"claim_story": [], **situation.spec})
        row_id = rollout.accept(booking, **situation.asked)
        for move in situation.reach:
            move(rollout, row_id)
        left.append(Left(situation, booking, row_id))
    shown = {row["id"]: row for row in rollout.rows()}
    stands = {one.situation.name: _stands(shown[one.id]) for one in left}
    assert stands == {one.situation.name: one.situation.stands for one in left}
    assert set(stands.values()) == PLACES, "a place that nobody was left in, or that the table of states lacks"
    return left


def _endings(rollout: Rollout, left: list[Left]) -> dict[str, Any]:
    """Let the other release take over: callers and operators go on where they were, and everything ends."""
    assert {row["id"]: _stands(row) for row in rollout.rows()} == {one.id: one.situation.stands for one in left}
    rollout.settle()
    for one in left:
        for move in one.situation.then:
            move(rollout, one.id)
    rollout.settle()
    done = rollout.summary(one.booking for one in left)
    shown = {row["id"]: row for row in rollout.rows()}
    endings = {}
    for one in left:
        row = shown[one.id]
        events = rollout.request("GET", f"/{one.id}/events")["items"]
        unhandled = [event for event in events if event["kind"] == "webhook" and event["handled_at"] is None]
        endings[one.situation.name] = (row["status"], done[one.booking.id], len(unhandled), _problem(row))
    return endings


def _expected(left: list[Left]) -> dict[str, Any]:
    return {
        one.situation.name: (one.situation.ends, one.situation.done, 0, PROBLEMS.get(one.situation.ends))
        for one in left
    }


def _stands(row: dict[str, Any]) -> tuple[str, str | None]:
    return row["status"], row["next_step"]


def _problem(row: dict[str, Any]) -> str | None:
    """Return why it did not get further; a closed one keeps what it was closed for."""
    return row["problem"]["type"].rsplit("/", 1)[-1] if row["status"] in PROBLEMS else None
