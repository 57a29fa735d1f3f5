"""Who works on a row: one at a time, for a while, and nobody who lost it writes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from shared import caller_actions, cancellations, clock, intake, transitions
from shared.cancellation_request import parse
from shared.cancellations import (
    LEASE_SECONDS,
    MAX_ABANDONED,
    MAX_TRIES,
    await_refund,
    begin_step,
    finish_step,
    park,
    postpone,
    reject,
    renew_lease,
    renew_preview,
)
from shared.config import AcceptingSettings
from shared.db import Transaction
from shared.lifecycle import TASK_OF, Step, TaskName, next_step
from shared.models import Cancellation, Transition
from shared.transitions import LeaseLost, note
from tests.recording import RecordingDatabase
from tests.world import World

SETTINGS = AcceptingSettings(xcover_partner_code="ABCDE")
AFTER_THE_LEASE = LEASE_SECONDS + 1

ThirdBeat = Callable[[Transaction, Cancellation], None]
THIRD_BEATS: dict[str, ThirdBeat] = {
    "finish_step": lambda tx, held: finish_step(tx, held, Step.LOOK_UP, "done"),
    "postpone": lambda tx, held: postpone(tx, held, "later", seconds=5),
    "await_refund": lambda tx, held: await_refund(tx, held, "waits", seconds=60),
    "renew_preview": lambda tx, held: renew_preview(tx, held, "anew"),
    "park": lambda tx, held: park(tx, held, "internal-error", "a person must look"),
    "reject": lambda tx, held: reject(tx, held, "insurer-refused", "no"),
}


@pytest.fixture
def row_id(database: RecordingDatabase) -> UUID:
    """A cancellation that is due for its look-up."""
    sent = {"booking_id": "8WD8Y-LTEKE-INS"}
    with database.transaction() as tx:
        request = parse(sent, settings=SETTINGS)
        accepted, _ = intake.accept(tx, request, sent=sent, caller="shop", key="key-1")
    database.published.clear()
    return accepted


def later(seconds: float) -> Any:
    """Let time pass inside the block."""
    return clock.travel(timedelta(seconds=seconds))


def begin(database: RecordingDatabase, row_id: UUID, step: Step = Step.LOOK_UP) -> Cancellation | None:
    """Try to take the lease, as a worker does."""
    with database.transaction() as tx:
        return begin_step(tx, row_id, step)


def begun(database: RecordingDatabase, row_id: UUID, step: Step = Step.LOOK_UP) -> Cancellation:
    """Take the lease, which must be free."""
    held = begin(database, row_id, step)
    assert held is not None
    return held


def write(database: RecordingDatabase, held: Cancellation, beat: ThirdBeat) -> None:
    """Write a third beat with company: a line in the timeline and a message."""
    with database.transaction() as tx:
        note(tx, held, "company", actor="worker", reason="written in the same transaction", details={})
        tx.enqueue(TaskName.PROBE, held.id)
        beat(tx, held)


def row(database: RecordingDatabase, row_id: UUID) -> Cancellation:
    """Return the row as it is now."""
    with database.reading() as session:
        return session.get_one(Cancellation, row_id)


def snapshot(database: RecordingDatabase, row_id: UUID) -> tuple[Any, ...]:
    """Return everything that a third beat could have changed."""
    with database.reading() as session:
        found = session.get_one(Cancellation, row_id)
        columns = {column.key: getattr(found, column.key) for column in Cancellation.__mapper__.column_attrs}
        lines = session.scalars(select(Transition.event).where(Transition.cancellation_id == row_id)).all()
    return columns, sorted(lines), list(database.published)


def abort(database: RecordingDatabase, row_id: UUID) -> None:
    """Take it back, as its caller does."""
    with database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")


def test_a_due_step_is_begun_and_held(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)

    assert (held.lease, held.tries, held.abandoned) == (1, 1, 0)
    assert held.begun_at is not None
    assert held.lease_until is not None
    assert (held.lease_until - held.begun_at).total_seconds() == pytest.approx(LEASE_SECONDS, abs=0.1)


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.LOOK_UP])
def test_only_the_next_step_is_begun(database: RecordingDatabase, row_id: UUID, step: Step) -> None:
    before = snapshot(database, row_id)

    assert begin(database, row_id, step) is None
    assert snapshot(database, row_id) == before


def test_a_row_that_does_not_exist_is_not_begun(database: RecordingDatabase) -> None:
    assert begin(database, UUID(int=7)) is None


def test_a_step_in_hand_is_not_begun_again_until_its_lease_runs_out(database: RecordingDatabase, row_id: UUID) -> None:
    begun(database, row_id)

    assert begin(database, row_id) is None
    with later(LEASE_SECONDS - 1):
        assert begin(database, row_id) is None
    with later(AFTER_THE_LEASE):
        assert begun(database, row_id).lease == 2


def test_a_postponed_step_is_not_begun_before_its_time(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        postpone(tx, held, "later", seconds=60)

    assert begin(database, row_id) is None
    with later(59):
        assert begin(database, row_id) is None
    with later(61):
        assert begun(database, row_id).tries == 2


def test_news_ends_the_wait_of_a_postponed_step(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        postpone(tx, held, "later", seconds=3600)

    with database.transaction() as tx:
        waiting = transitions.lock(tx, row_id)
        assert waiting is not None
        cancellations.hurry(tx, waiting, "news has come")

    assert begun(database, row_id).tries == 2


def test_a_wait_for_a_refund_ends_by_itself(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        await_refund(tx, held, "waits", seconds=3600)

    with later(3599):
        assert begin(database, row_id) is None
    with later(3601):
        assert begun(database, row_id).status == "awaiting_refund"


def test_a_finished_step_is_not_begun_again(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        finish_step(tx, held, Step.LOOK_UP, "done")

    assert begin(database, row_id) is None
    assert begun(database, row_id, Step.PREVIEW).tries == 1
    assert database.published == [(TaskName.PREVIEW, row_id)]


@pytest.mark.parametrize("beat", ["park", "reject"])
def test_what_is_parked_or_ended_is_not_begun(database: RecordingDatabase, row_id: UUID, beat: str) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        THIRD_BEATS[beat](tx, held)

    with later(10**6):
        assert begin(database, row_id) is None


def test_what_is_aborted_is_not_begun(database: RecordingDatabase, row_id: UUID) -> None:
    abort(database, row_id)

    with later(10**6):
        assert begin(database, row_id) is None


@pytest.mark.parametrize("time", range(3))
def test_of_many_workers_at_once_exactly_one_begins(database: RecordingDatabase, row_id: UUID, time: int) -> None:
    barrier = Barrier(8)

    def take(_number: int) -> Cancellation | None:
        barrier.wait()
        return begin(database, row_id)

    with ThreadPoolExecutor(8) as threads:
        taken = [held for held in threads.map(take, range(8)) if held is not None]

    assert len(taken) == 1
    assert (row(database, row_id).lease, row(database, row_id).tries) == (1, 1)


def test_of_many_workers_at_once_exactly_one_takes_over_an_abandoned_step(
    database: RecordingDatabase, row_id: UUID
) -> None:
    begun(database, row_id)
    barrier = Barrier(8)

    def take(_number: int) -> Cancellation | None:
        barrier.wait()
        return begin(database, row_id)

    with later(AFTER_THE_LEASE), ThreadPoolExecutor(8) as threads:
        taken = [held for held in threads.map(take, range(8)) if held is not None]

    assert [held.lease for held in taken] == [2]
    assert row(database, row_id).abandoned == 1


def test_the_lease_number_only_grows(database: RecordingDatabase, row_id: UUID) -> None:
    numbers = []

    def take(step: Step) -> Cancellation:
        held = begun(database, row_id, step)
        numbers.append(held.lease)
        return held

    held = take(Step.LOOK_UP)
    with database.transaction() as tx:
        postpone(tx, held, "at once", seconds=0)
    take(Step.LOOK_UP)
    with later(AFTER_THE_LEASE):
        held = take(Step.LOOK_UP)
        with database.transaction() as tx:
            finish_step(tx, held, Step.LOOK_UP, "done")
        held = take(Step.PREVIEW)
        with database.transaction() as tx:
            park(tx, held, "internal-error", "a person must look")
        with database.transaction() as tx:
            caller_actions.retry(tx, row_id, actor="operator:anna")
        take(Step.PREVIEW)
        abort(database, row_id)
    numbers.append(row(database, row_id).lease)

    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("beat", list(THIRD_BEATS))
def test_a_worker_whose_step_was_taken_over_writes_nothing(
    database: RecordingDatabase, row_id: UUID, beat: str
) -> None:
    slow = begun(database, row_id)
    with later(AFTER_THE_LEASE):
        begun(database, row_id)
        before = snapshot(database, row_id)

        with pytest.raises(LeaseLost):
            write(database, slow, THIRD_BEATS[beat])

    assert snapshot(database, row_id) == before


@pytest.mark.parametrize("beat", list(THIRD_BEATS))
def test_a_worker_whose_step_another_finished_writes_nothing(
    database: RecordingDatabase, row_id: UUID, beat: str
) -> None:
    slow = begun(database, row_id)
    with later(AFTER_THE_LEASE):
        other = begun(database, row_id)
        with database.transaction() as tx:
            finish_step(tx, other, Step.LOOK_UP, "done")
        before = snapshot(database, row_id)

        with pytest.raises(LeaseLost):
            write(database, slow, THIRD_BEATS[beat])

    assert snapshot(database, row_id) == before


@pytest.mark.parametrize("beat", list(THIRD_BEATS))
def test_a_worker_whose_cancellation_was_aborted_writes_nothing(
    database: RecordingDatabase, row_id: UUID, beat: str
) -> None:
    held = begun(database, row_id)
    abort(database, row_id)
    before = snapshot(database, row_id)

    with pytest.raises(LeaseLost):
        write(database, held, THIRD_BEATS[beat])

    assert snapshot(database, row_id) == before
    assert row(database, row_id).status == "aborted"


@pytest.mark.parametrize("beat", list(THIRD_BEATS))
def test_a_worker_that_has_ended_its_try_writes_nothing_more(
    database: RecordingDatabase, row_id: UUID, beat: str
) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        THIRD_BEATS[beat](tx, held)
    before = snapshot(database, row_id)

    with pytest.raises(LeaseLost):  # as when an error rises after the commit, and is about to be written too
        write(database, held, THIRD_BEATS["postpone"])

    assert snapshot(database, row_id) == before


@pytest.mark.parametrize("step", [Step.LOOK_UP, Step.PREVIEW, Step.REFUND, Step.CONFIRM])
def test_an_error_after_the_commit_does_not_undo_the_step(
    world: World, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund={"mode": "skip"})
    while (task := world.database.published[0][0]) is not TASK_OF[step]:
        world.run(task, world.database.published.pop(0)[1])

    def fail(_messages: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken, suppress(ZeroDivisionError):
        broken.setattr(world.database, "_publish", fail)
        world.run(*world.database.published.pop(0))

    assert step in world.row(row_id).done_steps
    assert world.row(row_id).next_step == next_step(world.row(row_id).steps, world.row(row_id).done_steps)


def test_a_lease_is_renewed_while_it_is_held(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)

    with later(LEASE_SECONDS - 1), database.transaction() as tx:
        assert renew_lease(tx, held)

    with later(AFTER_THE_LEASE):
        assert begin(database, row_id) is None
    with later(2 * LEASE_SECONDS):
        assert begun(database, row_id).abandoned == 1


def test_a_lease_that_was_renewed_is_still_its_holders_to_end(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        renew_lease(tx, held)

    with database.transaction() as tx:
        finish_step(tx, held, Step.LOOK_UP, "done")

    assert row(database, row_id).next_step == "preview"


@pytest.mark.parametrize("beat", list(THIRD_BEATS))
def test_a_renewal_that_comes_after_the_end_revives_nothing(
    database: RecordingDatabase, row_id: UUID, beat: str
) -> None:
    held = begun(database, row_id)
    with database.transaction() as tx:
        THIRD_BEATS[beat](tx, held)

    with database.transaction() as tx:
        assert not renew_lease(tx, held)

    assert row(database, row_id).lease_until is None


def test_a_renewal_that_comes_after_an_abort_revives_nothing(database: RecordingDatabase, row_id: UUID) -> None:
    held = begun(database, row_id)
    abort(database, row_id)

    with database.transaction() as tx:
        assert not renew_lease(tx, held)

    assert row(database, row_id).lease_until is None


def test_a_renewal_by_a_worker_that_lost_its_row_changes_nothing(database: RecordingDatabase, row_id: UUID) -> None:
    slow = begun(database, row_id)
    with later(AFTER_THE_LEASE):
        begun(database, row_id)
        before = row(database, row_id).lease_until

        with database.transaction() as tx:
            assert not renew_lease(tx, slow)

        assert row(database, row_id).lease_until == before


def test_a_step_that_workers_keep_dying_in_is_shown_to_a_person(database: RecordingDatabase, row_id: UUID) -> None:
    for crash in range(MAX_ABANDONED + 1):
        with later(crash * AFTER_THE_LEASE):
            assert begun(database, row_id).abandoned == crash

    with later((MAX_ABANDONED + 1) * AFTER_THE_LEASE):
        assert begin(database, row_id) is None

    found = row(database, row_id)
    assert (found.status, found.next_step, found.lease_until) == ("needs_review", "look_up", None)
    assert found.problem is not None
    assert found.problem["type"] == "/problems/worker-crashed"
    assert "look_up" in found.problem["detail"]


def test_a_try_that_ended_with_a_word_is_no_crash(database: RecordingDatabase, row_id: UUID) -> None:
    for _ in range(MAX_ABANDONED + 3):
        held = begun(database, row_id)
        with database.transaction() as tx:
            postpone(tx, held, "at once", seconds=0)

    assert row(database, row_id).abandoned == 0


def test_crashes_and_tries_are_counted_anew_for_the_next_step(database: RecordingDatabase, row_id: UUID) -> None:
    begun(database, row_id)
    with later(AFTER_THE_LEASE):
        held = begun(database, row_id)
        assert (held.tries, held.abandoned) == (2, 1)
        with database.transaction() as tx:
            finish_step(tx, held, Step.LOOK_UP, "done")

    assert (row(database, row_id).tries, row(database, row_id).abandoned) == (0, 0)


def test_a_step_whose_tries_are_spent_is_shown_to_a_person(database: RecordingDatabase, row_id: UUID) -> None:
    with database.transaction() as tx:
        tx.session.execute(update(Cancellation).values(tries=MAX_TRIES - 1))
    held = begun(database, row_id)
    with database.transaction() as tx:
        postpone(tx, held, "the last try failed", seconds=0)

    assert begin(database, row_id) is None

    found = row(database, row_id)
    assert (found.status, found.next_step, found.lease_until) == ("needs_review", "look_up", None)
    assert found.problem is not None
    assert found.problem["type"] == "/problems/tries-spent"


def test_waiting_for_a_turn_spends_no_try(database: RecordingDatabase, row_id: UUID) -> None:
    with database.transaction() as tx:
        tx.session.execute(update(Cancellation).values(tries=MAX_TRIES - 1))
    for _ in range(5):
        held = begun(database, row_id)
        with database.transaction() as tx:
            postpone(tx, held, "not our turn", seconds=0, counts=False)

    assert row(database, row_id).tries == MAX_TRIES - 1


@pytest.mark.parametrize("spent", [{"tries": MAX_TRIES}, {"lease_until": "past", "abandoned": MAX_ABANDONED}])
def test_an_operators_retry_gives_all_tries_back(
    database: RecordingDatabase, row_id: UUID, spent: dict[str, Any]
) -> None:
    values = {name: cancellations.now_plus(-1) if value == "past" else value for name, value in spent.items()}
    with database.transaction() as tx:
        tx.session.execute(update(Cancellation).values(values))
    assert begin(database, row_id) is None

    with database.transaction() as tx:
        caller_actions.retry(tx, row_id, actor="operator:anna")

    held = begun(database, row_id)
    assert (held.tries, held.abandoned) == (1, 0)
