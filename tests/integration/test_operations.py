"""Pauses, the audit log, and who is known to be alive."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, exc, select, update

from shared import audit, clock, pauses
from shared.lifecycle import Step
from shared.operations_models import AuditEntry, ProcessSeen
from tests.recording import RecordingDatabase
from tests.simulator import PARTNER_CODE
from tests.world import World
from workers import presence

SKIP = {"mode": "skip"}
PAUSES: dict[str, dict[str, Any]] = {
    "everything": {},
    "the partner": {"partner": PARTNER_CODE},
    "the step": {"step": Step.CONFIRM},
    "the step of the partner": {"partner": PARTNER_CODE, "step": Step.CONFIRM},
}
OTHERS: dict[str, dict[str, Any]] = {
    "another partner": {"partner": "OTHER"},
    "a step that is done": {"step": Step.LOOK_UP},
    "the step of another partner": {"partner": "OTHER", "step": Step.CONFIRM},
}


def pause(world: World, **where: Any) -> bool:
    with world.database.transaction() as tx:
        return pauses.pause(tx, **where, by="operator:anna", note="looking into it")


def resume(world: World, **where: Any) -> bool:
    with world.database.transaction() as tx:
        return pauses.resume(tx, **where, by="operator:anna")


def before_confirm(world: World) -> UUID:
    """Bring one to where only its confirm is left, and its message is on its way."""
    row_id = world.accept(world.booking(), refund=SKIP)
    while world.row(row_id).next_step != "confirm":
        world.run(*world.database.published.pop(0))
    return row_id


def go_on(world: World) -> None:
    world.drain()
    world.later(60)
    world.sweep()
    world.drain()


@pytest.mark.parametrize("where", PAUSES.values(), ids=PAUSES)
def test_what_is_paused_is_not_begun_and_goes_on_where_it_stood(world: World, where: dict[str, Any]) -> None:
    row_id = before_confirm(world)
    assert pause(world, **where) is True
    go_on(world)
    go_on(world)
    row = world.row(row_id)
    assert (row.status, row.next_step, row.tries) == ("in_progress", "confirm", 0)
    assert world.database.published == []

    assert resume(world, **where) is True
    go_on(world)
    assert world.row(row_id).status == "completed"


@pytest.mark.parametrize("where", OTHERS.values(), ids=OTHERS)
def test_a_pause_of_something_else_stops_nothing(world: World, where: dict[str, Any]) -> None:
    row_id = before_confirm(world)
    pause(world, **where)
    world.drain()
    assert world.row(row_id).status == "completed"


def test_what_waits_in_line_for_a_turn_is_not_rung_for_while_it_is_paused(world: World) -> None:
    row_id = world.accept(world.booking(), refund=SKIP)
    world.database.published.clear()
    with world.database.transaction() as tx:
        tx.session.execute(update(type(world.row(row_id))).values(turn_class=1, turn=1, ring_after=None))
    pause(world)
    world.sweep()
    assert world.database.published == []
    resume(world)
    world.sweep()
    world.settle()
    assert world.row(row_id).status == "completed"


def test_one_pause_is_taken_back_without_the_other(world: World) -> None:
    row_id = before_confirm(world)
    pause(world)
    pause(world, step=Step.CONFIRM)
    assert (pause(world), resume(world), resume(world)) == (False, True, False)
    go_on(world)
    assert world.row(row_id).status == "in_progress"
    with world.database.reading() as session:
        assert [(one.partner, one.step, one.paused_by) for one in pauses.in_force(session)] == [
            ("", "confirm", "operator:anna")
        ]


def test_each_press_is_an_entry_of_the_audit_log(world: World) -> None:
    pause(world, step=Step.CONFIRM)
    pause(world, step=Step.CONFIRM)  # changes nothing
    resume(world, step=Step.CONFIRM)
    with world.database.reading() as session:
        found = audit.entries(session, limit=10)
    assert [(entry.action, entry.actor, entry.note, entry.details) for entry in found] == [
        ("resume", "operator:anna", None, {"partner": "", "step": "confirm"}),
        ("pause", "operator:anna", "looking into it", {"partner": "", "step": "confirm"}),
    ]


@pytest.mark.parametrize(
    "change", [update(AuditEntry).values(actor="nobody"), delete(AuditEntry)], ids=["change", "remove"]
)
def test_the_database_refuses_to_change_or_remove_an_entry(database: RecordingDatabase, change: Any) -> None:
    with database.transaction() as tx:
        audit.record(tx, "pause", actor="operator:anna")
    with pytest.raises(exc.DBAPIError, match="append-only"), database.transaction() as tx:
        tx.session.execute(change)
    with database.reading() as session:
        assert [entry.actor for entry in audit.entries(session, limit=2)] == ["operator:anna"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let nothing be remembered as told, as in a new process or after a while."""

    def forget() -> None:
        monkeypatch.setattr(presence, "_told", {})

    forget()
    return forget


def test_a_worker_and_beat_are_seen_when_they_work(world: World, told: Callable[[], None]) -> None:
    def seen() -> dict[str, Any]:
        with world.database.reading() as session:
            return {one.name: one for one in session.scalars(select(ProcessSeen))}

    presence.note("celery@here", kind="worker")
    first = seen()["celery@here"]
    told()
    world.later(30)
    presence.note("celery@here", kind="worker")
    presence.note("beat", kind="beat")

    assert {one.kind for one in seen().values()} == {"worker", "beat"}
    again = seen()["celery@here"]
    assert again.first_seen_at == first.first_seen_at
    assert (again.seen_at - first.seen_at).total_seconds() >= 30
    assert clock.shift().total_seconds() >= 30
