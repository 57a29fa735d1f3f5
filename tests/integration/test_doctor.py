"""The doctor's doors: who may ask, how it is shown, and how it looks where there is no gateway."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import click.testing
import pytest
from redis import Redis
from sqlalchemy import select, text

from shared.broker import SWEEP_QUEUE, create_celery
from shared.doctor import celery_app
from shared.doctor.asking import ask_insurers
from shared.doctor.patient import Patient
from shared.lifecycle import TaskName
from shared.operations_models import InsurerCheck
from tests.gateway import OPERATOR, SHOP, bearer, web_settings
from tests.recording import RecordingDatabase
from tests.simulator import PARTNER_CODE
from tests.terminal import Terminal, on_a_file
from tests.world import World
from webhook_gateway import cli
from workers import presence
from workers.app import app

VIEWER = "viewer-token"
URL = "/v1/doctor"
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def terminal(sqlite_template: Path, tmp_path: Path, broker: str) -> Iterator[Terminal]:
    tokens = f"shop:{SHOP},anna:{OPERATOR}:operator,eve:{VIEWER}:viewer"
    with on_a_file(sqlite_template, tmp_path, redis_url=broker, api_tokens=tokens) as opened:
        yield opened


def test_operators_and_viewers_may_look_and_only_operators_may_have_the_insurer_asked(terminal: Terminal) -> None:
    client = terminal.gateway.client
    asked = {token: (client.get(URL, headers=bearer(token)), client.post(URL, headers=bearer(token)))
             for token in (SHOP, VIEWER, OPERATOR)}  # fmt: skip
    statuses = {token: tuple(answer.status_code for answer in answers) for token, answers in asked.items()}
    assert statuses == {SHOP: (403, 403), VIEWER: (200, 403), OPERATOR: (200, 200)}


def test_what_is_wrong_comes_first_with_its_reason_and_exit_code_1(terminal: Terminal) -> None:
    result = terminal.run("doctor", token=OPERATOR)
    assert result.exit_code == 1
    assert result.stdout.startswith("✗ workers: none was ever seen\n  Nobody works on anything")
    assert "→ docs/runbook.md#no-worker" in result.stdout
    assert "✓ redis: answers" in result.stdout
    assert result.stdout.rstrip().endswith("Something is wrong.")


def test_json_is_the_answer_as_it_came(terminal: Terminal) -> None:
    result = terminal.run("doctor", "--no-ask", "--json", token=VIEWER)
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["state"]) == (1, "wrong")
    assert {finding["check"] for finding in shown["findings"]} >= {"workers", "redis", "database-writes"}


def test_looking_writes_nothing(terminal: Terminal) -> None:
    terminal.run("doctor", token=OPERATOR)
    with terminal.gateway.database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM processes")) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_is_had_to_ask_the_insurer_now(world: World, broker: str) -> None:
    presence.note("worker@here", kind="worker")
    with Redis.from_url(broker) as redis:
        redis.delete(SWEEP_QUEUE)
        worker = Thread(target=work_off_one, args=[redis])
        worker.start()
        assert ask_insurers(patient(world.database, broker), patience=20) is True
        worker.join()
    with world.database.reading() as session:
        assert {one.verdict for one in session.scalars(select(InsurerCheck))} == {"ok"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_where_no_worker_lives_nobody_is_waited_for(world: World, broker: str) -> None:
    with Redis.from_url(broker) as redis:
        redis.delete(SWEEP_QUEUE)
        assert ask_insurers(patient(world.database, broker), patience=600) is False
        assert redis.llen(SWEEP_QUEUE) == 0


def patient(database: RecordingDatabase, redis_url: str) -> Patient:
    settings = web_settings(xcover_partner_code=PARTNER_CODE, redis_url=redis_url)
    return Patient(settings=settings, database=database, celery=create_celery(settings), environment={})


def work_off_one(redis: Any) -> None:
    """Take the message as a worker does, and run what it names."""
    found = redis.brpop([SWEEP_QUEUE], timeout=60)
    assert json.loads(found[1])["headers"]["task"] == TaskName.CHECK_INSURER
    app.tasks[TaskName.CHECK_INSURER.value]()


def local(monkeypatch: pytest.MonkeyPatch, **environment: str) -> click.testing.Result:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return click.testing.CliRunner().invoke(cli.main, ["doctor", "--local", "--no-ask"])


def test_without_a_gateway_the_environment_is_examined_in_its_place(
    terminal: Terminal, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(terminal.gateway.database.engine.url)
    web = {"XCOVER_PARTNER_CODE": PARTNER_CODE, "API_TOKENS": f"shop:{SHOP}", "XCLAIM_WEBHOOK_KEYS": "some-key"}
    result = local(monkeypatch, DATABASE_URL=url, REDIS_URL=broker, PUBLIC_URL="http://elsewhere.example.org", **web)
    assert "✗ public-url: PUBLIC_URL must be an https:// address" in result.stdout
    assert "! settings: worker would not start here: " in result.stdout
    assert "XCOVER_BASE_URL: required" in " ".join(result.stdout.split())
    assert "✓ redis: answers" in result.stdout
    assert (result.exit_code, SHOP in result.stdout) == (1, False)


def test_settings_that_nothing_starts_with_are_all_named_and_what_can_be_asked_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = local(monkeypatch, DATABASE_URL=f"sqlite:///{tmp_path}/none.db", REDIS_URL=NOWHERE, API_TOKENS="secret")
    assert "✗ settings: web would not start here" in result.stdout
    assert "XCOVER_PARTNER_CODE: required" in " ".join(result.stdout.split())
    assert "✗ schema: The database's schema is at nothing" in result.stdout
    assert "✗ redis: cannot be asked" in result.stdout
    assert (result.exit_code, "secret" in result.stdout) == (1, False)


def test_an_address_that_is_no_database_is_said_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = local(monkeypatch, DATABASE_URL="mysql://user:word@host/name")
    assert "DATABASE_URL: must start with postgresql://" in " ".join(result.stdout.split())
    assert (result.exit_code, "word" in result.stdout) == (1, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("task_acks_late", False), ("worker_prefetch_multiplier", 4), ("accept_content", ["json", "pickle"])],
)
def test_a_setting_of_celery_that_loses_messages_is_wrong(sqlite_template: Path, name: str, value: object) -> None:
    database = RecordingDatabase(f"sqlite:///{sqlite_template}")
    examined = patient(database, NOWHERE)
    assert celery_app.settings_(examined)[0].state == "ok"
    examined.celery.conf[name] = value
    assert celery_app.settings_(examined)[0].said == f"not as tested: {name}"
    database.close()


def test_a_visibility_timeout_shorter_than_a_task_is_wrong(sqlite_template: Path) -> None:
    database = RecordingDatabase(f"sqlite:///{sqlite_template}")
    examined = patient(database, NOWHERE)
    assert celery_app.durations(examined)[0].state == "ok"
    examined.celery.conf["visibility_timeout"] = 60
    assert celery_app.durations(examined)[0].state == "wrong"
    database.close()
