"""Reporting a refund and aborting through the Celery door: as over HTTP, by the caller's own key, and never dropped."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from celery.exceptions import Reject
from kombu.utils.json import dumps, loads
from sqlalchemy.exc import OperationalError

from shared import broker
from shared.lifecycle import TaskName
from shared.models import Cancellation, Transition
from tests.gateway import Gateway
from tests.recording import RecordingDatabase
from tests.simulator import CLAIM_TYPE_ID, PARTNER_CODE
from tests.world import World
from workers import celery_door, runtime
from workers.app import app

PAID = {"amount": "22.40", "currency": "EUR", "reference": "re_1"}
TASKS = {TaskName.REPORT_REFUND: PAID, TaskName.ABORT: {}}
BOTH = pytest.mark.parametrize("task", list(TASKS))


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses the door would have made."""
    taken: list[float] = []
    monkeypatch.setattr(celery_door.time, "sleep", taken.append)
    return taken


@pytest.fixture
def gateway(world: World) -> Gateway:
    """The HTTP door of the same deployment."""
    world.configure(API_TOKENS="shop:token,other:token-2")
    return Gateway(world.database, xcover_partner_code=PARTNER_CODE, xclaim_claim_type_id=CLAIM_TYPE_ID)


def send(task: TaskName, *args: Any, **kwargs: Any) -> None:
    """Run the task on what is left of its arguments after their journey through Redis."""
    positional, named = loads(dumps([list(args), kwargs]))
    app.tasks[task.value](*positional, **named)


def report(**kwargs: Any) -> None:
    send(TaskName.REPORT_REFUND, **{"idempotency_key": "key-1", "caller": "shop", **PAID, **kwargs})


def abort(**kwargs: Any) -> None:
    send(TaskName.ABORT, **{"idempotency_key": "key-1", "caller": "shop", **kwargs})


def entry(world: World) -> Cancellation:
    """Return the only rejected entry."""
    (row,) = [row for row in world.rows() if row.status == "rejected"]
    assert (row.next_step, row.next_attempt_at) == (None, None)
    assert row.problem is not None
    return row


def slug_of(row: Cancellation) -> str:
    assert row.problem is not None
    return str(row.problem["type"]).rpartition("/")[2]


def last_line(world: World, row_id: str) -> Transition:
    return world.timeline(UUID(row_id))[-1]


def test_a_reported_refund_sends_the_cancellation_on(world: World, gateway: Gateway) -> None:
    found = gateway.accept_previewed()

    report()

    row = gateway.row(found)
    assert (row.status, row.next_step, row.refund_reference) == ("in_progress", "confirm", "re_1")
    assert (last_line(world, found).event, last_line(world, found).actor) == ("refund_reported", "caller:shop")
    assert world.database.published[-1] == (TaskName.CONFIRM, UUID(found))
    assert len(world.rows()) == 1


def test_a_report_delivered_twice_is_one_report(world: World, gateway: Gateway) -> None:
    found = gateway.accept_previewed()

    report()
    report(idempotency_key='"key-1"', amount="22.4")

    assert [line.event for line in world.timeline(UUID(found))].count("refund_reported") == 1
    assert len(world.rows()) == 1


def test_a_refused_report_stays_in_the_timeline_and_is_no_entry_of_its_own(world: World, gateway: Gateway) -> None:
    found = gateway.accept_previewed()

    report(amount="22.41")

    line = last_line(world, found)
    assert (line.event, line.details) == ("refund_report_refused", {**PAID, "amount": "22.41"})
    assert [row.status for row in world.rows()] == ["awaiting_refund"]


def test_a_refund_reported_after_the_end_is_stored_for_a_person(world: World, gateway: Gateway) -> None:
    found = gateway.accept_previewed()
    abort()

    report()

    row = gateway.row(found)
    assert (row.status, slug_of(row)) == ("needs_review", "refund-after-end")


def test_an_abort_takes_it_back_and_may_be_repeated(world: World, gateway: Gateway) -> None:
    found = gateway.accept()

    abort()
    abort()

    assert gateway.row(found).status == "aborted"
    assert [(line.event, line.actor) for line in world.timeline(UUID(found))][1:] == [("aborted", "caller:shop")]


def test_an_abort_that_comes_too_late_stays_in_the_timeline(world: World, gateway: Gateway) -> None:
    found = gateway.accept_previewed()
    report()
    before = gateway.get(f"/{found}").get_json()

    abort()

    line = last_line(world, found)
    assert (line.event, line.actor) == ("abort_refused", "caller:shop")
    assert line.details == {"problem": "/problems/point-of-no-return"}
    assert "point of no return" in line.reason
    assert gateway.get(f"/{found}").get_json() == before
    assert len(world.rows()) == 1


def test_without_a_caller_it_is_the_doors_own_cancellation_that_is_meant(world: World, gateway: Gateway) -> None:
    shops = gateway.accept()
    celery_door.request(booking_id="8WD8Y-LTEKE-INS", idempotency_key="key-1")

    send(TaskName.ABORT, idempotency_key="key-1")

    assert gateway.row(shops).status == "in_progress"
    assert {row.caller: row.status for row in world.rows()} == {"shop": "in_progress", "celery": "aborted"}


@BOTH
def test_nobody_steers_anothers_cancellation(world: World, gateway: Gateway, task: TaskName) -> None:
    found = gateway.accept_previewed()

    send(task, idempotency_key="key-1", caller="other", **TASKS[task])

    assert gateway.row(found).status == "awaiting_refund"
    assert (entry(world).caller, slug_of(entry(world))) == ("other", "not-found")


@BOTH
def test_an_unknown_key_becomes_a_rejected_entry_that_says_what_was_asked(
    world: World, gateway: Gateway, task: TaskName
) -> None:
    for _ in range(2):
        send(task, idempotency_key="key-9", caller="shop", **TASKS[task])

    row = entry(world)
    assert (slug_of(row), row.caller) == ("not-found", "shop")
    assert row.idempotency_key.startswith("key-9#refused-")
    assert row.problem is not None
    assert (row.problem["task"], row.problem.get("report")) == (task.value, TASKS[task] or None)
    assert [line.event for line in world.timeline(row.id)] == ["rejected"]
    assert gateway.get(f"/{row.id}").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 22.4}, {"amount": "-22.40"}, {"amount": None}, {"currency": "eur"}, {"reference": "a\nb"},
        {"reference": "a\x00b"}, {"reference": "\ud800"}, {"extra": 1}, {"x" * 5000: 1}, {"a\x00b": 1},
        {"amount": {"__type__": "decimal", "__value__": "22.40"}}, {"reference": [["x"] * 100] * 100},
    ],
)  # fmt: skip
def test_a_malformed_report_becomes_a_rejected_entry(
    world: World, gateway: Gateway, naps: list[float], wrong: dict[str, Any]
) -> None:
    found = gateway.accept_previewed()

    report(**wrong)

    assert slug_of(entry(world)) == "invalid-request"
    assert (gateway.row(found).status, naps) == ("awaiting_refund", [])


def test_a_malformed_report_is_refused_in_the_words_of_the_other_door(world: World, gateway: Gateway) -> None:
    found = gateway.accept_previewed()
    wrong = {**PAID, "amount": "1e3", "extra": 1}

    report(**wrong)

    over_http = gateway.post(f"/{found}/refund", wrong).get_json()
    over_celery = entry(world).problem
    assert over_celery is not None
    for member in ("type", "detail", "errors"):
        assert over_celery[member] == over_http[member]


def test_an_abort_takes_nothing_else(world: World, gateway: Gateway) -> None:
    found = gateway.accept()

    abort(reason="no longer wanted")

    assert slug_of(entry(world)) == "invalid-request"
    assert gateway.row(found).status == "in_progress"


@BOTH
@pytest.mark.parametrize(
    ("args", "kwargs", "slug"),
    [
        ((), {"caller": "shop"}, "idempotency-key-missing"),
        ((), {"caller": "shop", "idempotency_key": "a b"}, "idempotency-key-missing"),
        ((), {"caller": "shop", "idempotency_key": 5}, "idempotency-key-missing"),
        ((), {"caller": "nobody", "idempotency_key": "key-1"}, "invalid-request"),
        ((), {"caller": ["shop"], "idempotency_key": "key-1"}, "invalid-request"),
        (("key-1",), {"caller": "shop", "idempotency_key": "key-1"}, "invalid-request"),
    ],
)
def test_what_cannot_be_placed_becomes_a_rejected_entry(
    world: World, gateway: Gateway, task: TaskName, args: tuple[Any, ...], kwargs: dict[str, Any], slug: str
) -> None:
    found = gateway.accept_previewed()

    send(task, *args, **kwargs, **TASKS[task])

    assert slug_of(entry(world)) == slug
    assert gateway.row(found).status == "awaiting_refund"


@BOTH
def test_a_mistake_of_ours_leaves_an_entry_and_not_a_task_that_fails_for_ever(
    world: World, gateway: Gateway, task: TaskName, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gateway.accept_previewed()

    def breaks(*_args: Any, **_more: Any) -> Any:
        raise ZeroDivisionError("Smith")

    monkeypatch.setattr(celery_door.caller_actions, task.value.rpartition(".")[2], breaks)

    for _ in range(2):
        send(task, idempotency_key="key-1", caller="shop", **TASKS[task])

    assert slug_of(entry(world)) == "internal-error"
    assert "Smith" not in str(entry(world).problem)
    assert gateway.row(found).status == "awaiting_refund"


@BOTH
def test_the_same_wrong_arguments_of_two_tasks_are_two_entries(world: World, gateway: Gateway, task: TaskName) -> None:
    send(TaskName.REQUEST, idempotency_key="key-1", caller="shop", wrong=1)
    send(task, idempotency_key="key-1", caller="shop", wrong=1)

    assert [row.status for row in world.rows()] == ["rejected", "rejected"]


@pytest.mark.parametrize("act", [report, abort])
def test_while_the_database_is_away_the_message_is_put_back_after_a_pause_and_taken_when_it_returns(
    world: World, gateway: Gateway, naps: list[float], act: Callable[..., None]
) -> None:
    found = gateway.accept_previewed()
    here = runtime.runtime()
    away = RecordingDatabase("postgresql+psycopg://nobody@127.0.0.1:9/none")
    runtime.configure(lambda: replace(here, database=away))

    with pytest.raises(Reject) as put_back:
        act()
    away.close()
    runtime.configure(lambda: here)

    assert (put_back.value.requeue, naps) == (True, [celery_door.PAUSE])
    assert gateway.row(found).status == "awaiting_refund"
    act()
    assert gateway.row(found).status != "awaiting_refund"
    assert len(world.rows()) == 1


def test_a_refusal_that_cannot_be_noted_is_put_back_too(
    world: World, gateway: Gateway, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.accept_previewed()
    report()

    def away(*_args: Any, **_more: Any) -> Any:
        raise OperationalError("x", {}, Exception("gone"))

    monkeypatch.setattr(celery_door.transitions, "note", away)

    with pytest.raises(Reject):
        abort()
    assert naps == [celery_door.PAUSE]


@pytest.mark.parametrize("task", [TaskName.REQUEST, TaskName.REPORT_REFUND, TaskName.ABORT])
def test_the_doors_tasks_have_their_promised_names_and_queue(task: TaskName) -> None:
    assert task.value in app.tasks
    assert broker.queue_of(task) == "cancellations"
