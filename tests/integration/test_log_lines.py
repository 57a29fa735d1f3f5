"""Every line about a cancellation says which one, whose, which try and which trace; every line of a request, which."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog

from shared import log_context, trace_context
from shared.lifecycle import TaskName
from tests.gateway import OPERATOR, Gateway, bearer
from tests.recording import RecordingDatabase
from tests.server_log import server_log
from tests.simulator import PARTNER_CODE
from tests.world import World
from workers import celery_door, task_context
from workers.app import app

Lines = Callable[[], list[dict[str, Any]]]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
NO_TRACE = f"00-{'0' * 32}-00f067aa0ba902b7-01"
FAILS_ONCE = [{"on": "preview", "do": "error_before", "status": 503}]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What a server writes from here on, line by line."""
    with server_log() as written:
        yield lambda: [json.loads(line) for line in written]


def test_each_line_of_a_step_names_the_cancellation_its_caller_its_try_and_its_trace(
    world: World, lines: Lines
) -> None:
    row_id = world.accept(world.booking(faults=FAILS_ONCE), refund={"mode": "skip"})
    world.settle()

    told = [line for line in lines() if line["event"] in {"step_done", "postponed", "call_failed"}]
    trace = trace_context.trace_id(world.row(row_id).traceparent)
    assert {line["event"] for line in told} == {"step_done", "postponed", "call_failed"}
    for line in told:
        ids = (line["cancellation_id"], line["caller"], line["partner"], line["trace_id"])
        assert ids == (str(row_id), "shop", PARTNER_CODE, trace)
    assert [(line["step"], line["attempt"]) for line in told if line["event"] == "step_done"] == [
        ("look_up", 1),
        ("preview", 2),
        ("refund", 1),
        ("confirm", 1),
    ]


def test_what_is_bound_for_one_step_is_forgotten_after_it(world: World, lines: Lines) -> None:
    world.accept(world.booking(), refund={"mode": "skip"})
    world.drain()
    structlog.get_logger().warning("afterwards")

    assert lines()[-1].keys() == {"event", "level", "timestamp"}


@pytest.mark.parametrize("header", ["", "nonsense", NO_TRACE], ids=["none", "nonsense", "zeros"])
def test_a_request_that_names_no_trace_begins_one(database: RecordingDatabase, lines: Lines, header: str) -> None:
    gateway = Gateway(database)
    first = gateway.accept(key="k-1")
    headers = {"Idempotency-Key": "k-2", **bearer(OPERATOR), "traceparent": header}
    answer = gateway.client.post("/v1/cancellations", json={"booking_id": "B-2-INS"}, headers=headers)

    traces = {trace_context.trace_id(gateway.row(one).traceparent) for one in (first, answer.get_json()["id"])}
    accepted = [line for line in lines() if line["event"] == "cancellation_accepted"]
    assert len(traces) == 2
    assert {line["trace_id"] for line in accepted} == traces
    assert {line["caller"] for line in accepted} == {"shop", "anna"}


def test_a_request_belongs_to_the_trace_and_the_id_it_names(database: RecordingDatabase, lines: Lines) -> None:
    gateway = Gateway(database)
    headers = {"Idempotency-Key": "k", "traceparent": TRACEPARENT, "X-Request-ID": "router-7", **bearer(OPERATOR)}
    answer = gateway.client.post("/v1/cancellations", json={"booking_id": "B-1-INS"}, headers=headers)

    (line,) = [line for line in lines() if line["event"] == "cancellation_accepted"]
    assert (line["trace_id"], line["request_id"]) == (TRACE, "router-7")
    assert gateway.row(answer.get_json()["id"]).traceparent == TRACEPARENT
    assert answer.headers["X-Request-ID"] == "router-7"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "<script>"])
def test_a_request_id_that_is_none_is_replaced(database: RecordingDatabase, sent: str) -> None:
    answer = Gateway(database).client.get("/livez", headers={"X-Request-ID": sent})

    assert len(answer.headers["X-Request-ID"]) == 16


def test_what_comes_by_celery_has_a_trace_of_its_own(world: World, lines: Lines) -> None:
    for number in range(2):
        celery_door.request(booking_id=f"B-{number}-INS", idempotency_key=f"k-{number}", caller="celery")

    told = [line for line in lines() if line["event"] == "request_accepted"]
    rows = {str(row.id): trace_context.trace_id(row.traceparent) for row in world.rows()}
    assert {line["cancellation_id"]: line["trace_id"] for line in told} == rows
    assert len(set(rows.values())) == 2


def test_a_task_is_named_on_its_lines_and_forgotten_at_its_end(lines: Lines) -> None:
    class Task:
        name = TaskName.SWEEP.value

    task_context._begin(task=Task, task_id="m-1")
    structlog.get_logger().warning("within")
    log_context.bind(cancellation_id=str(UUID(int=1)))
    task_context._end()
    structlog.get_logger().warning("after")

    within, after = lines()
    assert (within["task"], within["message_id"]) == ("sweep.ring", "m-1")
    assert after.keys() == {"event", "level", "timestamp"}
    assert app.tasks[TaskName.SWEEP.value].name == within["task"]
