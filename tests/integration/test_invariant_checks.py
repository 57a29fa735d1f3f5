"""How invariants are checked: in slices, under the lock, by several at once, and without what may be forgotten."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from uuid import UUID

import pytest
import structlog

from shared import broker, forgettable, invariant_checks
from shared.cancellations import finish_step
from shared.clock import utc_now
from shared.config import Settings
from shared.invariant_checks import (
    OVERDUE_AFTER,
    RINGS_WITHOUT_ANSWER,
    all_after,
    block,
    changed_after,
    check_all,
    judge,
    load,
)
from shared.invariants import MOVING
from shared.lifecycle import Step, TaskName
from shared.models import Cancellation, Transition
from shared.transitions import LeaseLost
from tests.breaches import BREACHES, add_call, blocks_of, change, check, forget_checks
from tests.every_ending import STATES, write
from tests.gateway import Gateway
from tests.world import World
from workers import check_invariants
from workers.app import app


@pytest.fixture(autouse=True)
def _nothing_is_remembered(broker: str) -> Iterator[None]:
    """Each test's first check knows of none before it."""
    forget_checks()
    yield
    forget_checks()


def test_a_step_that_runs_loses_its_row_to_the_block(world: World) -> None:
    row_id = write(world, STATES["in_progress/confirm!+reported"])
    change(world, Cancellation, row_id, lease_until=utc_now() + timedelta(seconds=8))
    held = world.row(row_id)
    add_call(world, row_id, "refund", 1)
    add_call(world, row_id, "refund", 2)

    assert len(check()) == 1

    with pytest.raises(LeaseLost), world.database.transaction() as tx:
        finish_step(tx, held, Step.CONFIRM, "confirmed")
    assert world.row(row_id).status == "needs_review"


def test_what_is_right_again_under_the_lock_is_not_blocked(world: World) -> None:
    (row_id,) = BREACHES["refunded_as_confirmed: another amount"](world)
    with world.database.reading() as session:
        assert list(judge(load(session, [row_id]))) == [row_id]
    change(world, Cancellation, row_id, refund_amount=Decimal("22.4"))

    with world.database.transaction() as tx:
        assert block(tx, row_id) == {}

    assert world.row(row_id).status == "completed"


def test_two_checks_at_once_block_once(world: World) -> None:
    concerned = BREACHES["one_cancel: by two cancellations"](world)
    together = Barrier(2)

    def one_check() -> None:
        together.wait()
        app.tasks[TaskName.CHECK_INVARIANTS.value]()

    with ThreadPoolExecutor(2) as pool:
        for running in [pool.submit(one_check) for _ in range(2)]:
            running.result()

    assert [len(blocks_of(world, row_id)) for row_id in concerned] == [1, 1]


@pytest.mark.parametrize(
    ("rings", "due_for", "lease", "stuck"),
    [
        (RINGS_WITHOUT_ANSWER, OVERDUE_AFTER + 1, None, 1),
        (RINGS_WITHOUT_ANSWER, OVERDUE_AFTER + 1, -1, 1),
        (RINGS_WITHOUT_ANSWER, OVERDUE_AFTER + 1, 8, 0),
        (RINGS_WITHOUT_ANSWER, OVERDUE_AFTER - 60, None, 0),
        (RINGS_WITHOUT_ANSWER - 1, OVERDUE_AFTER + 1, None, 0),
    ],
)
def test_one_that_nobody_comes_for_is_told_and_not_blocked(
    world: World, rings: int, due_for: float, lease: int | None, stuck: int
) -> None:
    row_id = write(world, STATES["in_progress/preview"])
    until = None if lease is None else utc_now() + timedelta(seconds=lease)
    due_at = utc_now() - timedelta(seconds=due_for)
    change(world, Cancellation, row_id, rings=rings, next_attempt_at=due_at, lease_until=until)

    with structlog.testing.capture_logs() as logs:
        app.tasks[TaskName.CHECK_INVARIANTS.value]()

    assert [line["count"] for line in logs if line["event"] == "cancellations_stuck"] == [1] * stuck
    assert world.row(row_id).status == "in_progress"
    metrics = Gateway(world.database).client.get("/metrics").text
    assert f'cfar_invariant_broken{{invariant="{MOVING}"}} {float(stuck)}' in metrics


def test_a_check_reads_what_changed_and_goes_on_from_there(world: World) -> None:
    ids = [write(world, STATES["in_progress/preview"]) for _ in range(3)]
    with world.database.reading() as session:
        first = changed_after(session, UUID(int=0), limit=2)
        assert first.last is not None
        rest = changed_after(session, first.last, limit=2)
        assert rest.last is not None
        end = changed_after(session, rest.last, limit=2)

    assert sorted({*first.ids, *rest.ids}) == sorted(ids)
    assert (len(first.ids), end.ids, end.last) == (2, [], None)


def test_ids_given_lately_follow_the_floor_and_older_ones_do_not(world: World) -> None:
    row_id = write(world, STATES["in_progress/preview"])
    with world.database.reading() as session:
        assert changed_after(session, invariant_checks.floor_before(60), limit=9).ids == [row_id]
        assert changed_after(session, invariant_checks.floor_before(-60), limit=9).ids == []


def test_what_broke_without_a_line_in_its_timeline_is_found_little_by_little(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_invariants, "OVERLAP", -3600.0)  # nothing counts as changed lately
    monkeypatch.setattr(check_invariants, "all_after", lambda session, floor: all_after(session, floor, limit=1))
    monkeypatch.setattr(check_invariants, "SLICES_OF_ALL", 2)
    for _ in range(3):
        write(world, STATES["completed/-!"])
    (row_id,) = BREACHES["refunded_as_confirmed: another amount"](world)

    assert [len(check()) for _ in range(2)] == [0, 1]
    assert world.row(row_id).status == "needs_review"
    assert check() == []  # the round is over
    assert forgettable.recall(app, check_invariants.ALL) == {check_invariants.ALL: ""}


def test_a_check_that_finds_too_much_goes_on_in_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_invariants, "TIME_BOX", -1.0)
    monkeypatch.setattr(check_invariants, "SLICES_OF_ALL", 0)
    BREACHES["refunded_as_confirmed: another amount"](world)
    assert check() == []
    known = forgettable.recall(app, check_invariants.CHANGED)[check_invariants.CHANGED]
    monkeypatch.setattr(check_invariants, "TIME_BOX", 20.0)

    assert UUID(known) < world.all(Transition)[0].id
    assert len(check()) == 1


@pytest.mark.parametrize("known", ["", "nonsense"])
def test_a_check_needs_to_remember_nothing(world: World, known: str) -> None:
    forgettable.remember(app, dict.fromkeys((check_invariants.CHANGED, check_invariants.ALL), known))
    BREACHES["refunded_as_confirmed: another amount"](world)

    assert len(check()) == 1


def test_a_check_does_without_redis(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    away = broker.create_celery(Settings(redis_url="redis://127.0.0.1:1/0"))
    recall, remember = forgettable.recall, forgettable.remember
    monkeypatch.setattr(check_invariants.forgettable, "recall", lambda _app, *names: recall(away, *names))
    monkeypatch.setattr(check_invariants.forgettable, "remember", lambda _app, facts: remember(away, facts))
    BREACHES["refunded_as_confirmed: another amount"](world)

    assert len(check()) == 1


def test_checking_everything_in_slices_gives_each_breach_once_and_blocks_nothing(world: World) -> None:
    concerned = {row_id for plant in BREACHES.values() for row_id in plant(world)}

    given = [row_id for row_id, _ in check_all(world.database, size=3)]

    assert sorted(given) == sorted(concerned)
    assert all(blocks_of(world, row_id) == [] for row_id in concerned)


def test_checks_overlap_and_end_before_their_task() -> None:
    schedule = app.conf.beat_schedule[TaskName.CHECK_INVARIANTS.value]

    assert broker.queue_of(TaskName.CHECK_INVARIANTS) == schedule["options"]["queue"] == broker.SWEEP_QUEUE
    assert 2 * schedule["schedule"] < check_invariants.OVERLAP
    assert 2 * check_invariants.TIME_BOX < broker.TASK_SOFT_LIMIT


def test_rows_that_cannot_be_judged_keep_no_others_from_being_blocked(world: World) -> None:
    spoilt = write(world, STATES["in_progress/confirm!+reported"])
    change(world, Cancellation, spoilt, quotes=[{"no": "id"}], done_steps=["look_up", "preview", "refund", "confirm"])
    (concerned,) = BREACHES["refunded_as_confirmed: another amount"](world)

    with structlog.testing.capture_logs() as logs:
        app.tasks[TaskName.CHECK_INVARIANTS.value]()

    assert world.row(concerned).status == "needs_review"
    assert world.row(spoilt).status == "in_progress"
    assert [str(spoilt)] in [line["cancellation_ids"] for line in logs if line["event"] == "invariants_not_judged"]
