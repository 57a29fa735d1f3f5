"""Flower itself, as the Procfile starts it: closed without the password, and no personal data in what it shows."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from celery.utils.imports import symbol_by_name

from shared.broker import message_id
from shared.lifecycle import TaskName
from tests.processes import ROOT
from tests.servers import free_port
from workers import flower_conf
from workers.app import app
from workers.quiet_requests import HIDDEN, QuietRequest

MARK = "qqmark"
ROW = UUID("01a2016a-30c2-7109-ac13-eb98ad4d66c3")
ANNA = ("anna", "pw-of-anna")


@pytest.fixture(scope="module")
def flower(broker: str) -> Iterator[str]:
    """Its address; the console's is given too."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"], "PORT": str(port), "REDIS_URL": broker, "FLOWER_BASIC_AUTH": ":".join(ANNA),
        "PUBLIC_URL": "https://cfar.example/",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "workers.flower"], cwd=ROOT, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{url}/tasks", trust_env=False).status_code == 401)
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_for(is_so: Callable[[], bool]) -> None:
    """Look again and again; pytest's own limit ends what never comes."""
    while True:
        try:
            if is_so():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


def sent(**message: Any) -> QuietRequest:
    """Return what a worker makes of a message."""
    values: dict[str, Any] = {"args": [str(ROW)], "kwargs": {}, "argsrepr": None, "kwargsrepr": None, **message}
    made = app.amqp.as_task_v2(str(uuid4()), TaskName.CONFIRM.value, **values)
    carried = SimpleNamespace(
        headers=made.headers, body=made.body, properties=made.properties, delivery_info={}, payload=made.body,
        content_type="application/json", content_encoding="utf-8", delivery_tag="1", ack=None, reject=None,
    )  # fmt: skip
    return QuietRequest(
        carried, app=app, task=app.tasks[TaskName.CONFIRM.value], headers=made.headers, body=made.body, decoded=True
    )


def said(request: QuietRequest) -> str:
    """Return all that Flower, `inspect` and the log can ask a worker about a message."""
    return " ".join([request.argsrepr, request.kwargsrepr, repr(request), str(request.info()), request.humaninfo()])


@pytest.mark.parametrize("name", sorted(task for task in TaskName))
def test_every_task_of_ours_shows_only_ids(name: str) -> None:
    assert symbol_by_name(app.tasks[name].Request) is QuietRequest


def test_a_step_shows_its_cancellation() -> None:
    assert str(ROW) in sent().argsrepr
    assert str(ROW) in said(sent())


def test_a_caller_that_hides_what_it_sends_has_its_key_shown() -> None:
    request = sent(args=[], kwargs={"metadata": MARK}, kwargsrepr=repr({"idempotency_key": "order-A-1002"}))

    assert "order-A-1002" in request.kwargsrepr
    assert MARK not in said(request)


@pytest.mark.parametrize(
    "message",
    [
        {"args": [MARK]},
        {"args": [], "kwargs": {"idempotency_key": "k", "metadata": {"name": MARK}}},
        {"kwargsrepr": repr({"idempotency_key": "k", "name": MARK})},
        {"args": [str(ROW), MARK]},
    ],
    ids=["argument", "fields", "careless", "both"],
)
def test_a_caller_that_hides_nothing_has_it_hidden(message: dict[str, Any]) -> None:
    request = sent(**message)

    assert MARK not in said(request)
    assert HIDDEN in said(request)


def test_a_message_is_named_after_its_row_and_task() -> None:
    one, again = (message_id(TaskName.CONFIRM, [ROW]) for _ in range(2))

    assert one.startswith(f"{ROW}.cancellation.confirm.")
    assert one != again
    assert message_id(TaskName.FAN_OUT_WEBHOOKS, [ROW, ROW]).startswith("webhook.fan_out.")


@pytest.mark.parametrize(
    ("task", "is_told"),
    [(TaskName.CONFIRM, True), (TaskName.CLAIM, True), (TaskName.POLL_CLAIM, False), (TaskName.HANDLE_WEBHOOK, False)],
)
def test_a_task_tells_where_the_console_shows_its_cancellation(
    task: TaskName, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://cfar.example/")
    shown = flower_conf.format_task(SimpleNamespace(uuid=message_id(task, [ROW]), args="('x',)"))

    assert (f"https://cfar.example/console/cancellations/{ROW}" in shown.args) is is_told


def test_flower_is_closed_without_the_password_and_finds_a_step_by_its_cancellation(flower: str) -> None:
    with httpx.Client(base_url=flower, trust_env=False) as client:
        for path in ("/", "/tasks", "/workers", "/api/tasks", "/broker"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, auth=("anna", "wrong")).status_code == 401, path

    task_id = message_id(TaskName.CONFIRM, [ROW])
    told = {"uuid": task_id, "name": TaskName.CONFIRM.value, "args": f"['{ROW}']", "kwargs": "{}"}
    with httpx.Client(base_url=flower, trust_env=False, auth=ANNA) as client, app.events.default_dispatcher() as events:

        def is_found() -> bool:
            events.send("task-received", **told)
            return task_id in client.get("/api/tasks", params={"search": str(ROW)}).text

        wait_for(is_found)
        page = client.get(f"/task/{task_id}").text
    assert "cancellation.confirm" in page
    assert f"https://cfar.example/console/cancellations/{ROW}" in page
