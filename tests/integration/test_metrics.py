"""/metrics answers, whatever is away. `test_figures` has what the figures say."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from shared import forgettable
from shared.clock import utc_now
from shared.db import Database
from shared.invariants import INVARIANTS
from shared.lifecycle import TaskName
from shared.models import Cancellation
from tests.breaches import change
from tests.every_ending import STATES, write
from tests.gateway import Gateway, web_settings
from tests.promql import scrape, series
from tests.world import World
from webhook_gateway import metrics
from webhook_gateway.app import create_app
from workers.app import app

NOBODY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"

Figures = dict[tuple[str, str], float]


def figures(gateway: Gateway) -> Figures:
    """Scrape as Prometheus does: (name, invariant or nothing) to a value."""
    answer = gateway.client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, sample.labels.get("invariant", "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def gateway(world: World, broker: str) -> Iterator[Gateway]:
    """A gateway on the world's database and the tests' own Redis, where no check has ended yet."""
    forgettable.remember(app, {forgettable.CHECK_ENDED: ""})
    yield Gateway(world.database, redis_url=broker)
    forgettable.remember(app, {forgettable.CHECK_ENDED: ""})


def test_a_quiet_service_breaks_nothing(world: World, gateway: Gateway) -> None:
    write(world, STATES["in_progress/preview"])

    broken = {name: value for (metric, name), value in figures(gateway).items() if metric == "cfar_invariant_broken"}
    assert broken == {invariant.name: 0.0 for invariant in INVARIANTS}


def test_it_needs_no_token_and_speaks_prometheus_format(gateway: Gateway) -> None:
    answer = gateway.client.get("/metrics")

    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    assert gateway.client.post("/metrics").status_code == 405


def test_the_end_of_the_last_check_is_told(gateway: Gateway) -> None:
    before = int(utc_now().timestamp())

    app.tasks[TaskName.CHECK_INVARIANTS.value]()

    assert before <= figures(gateway)["cfar_invariants_checked_timestamp_seconds", ""] <= utc_now().timestamp() + 1


def test_the_oldest_that_is_due_and_in_no_ones_hands_is_told(world: World, gateway: Gateway) -> None:
    for seconds, state in ((100, "in_progress/preview"), (700, "awaiting_refund/refund"), (9_000, "in_progress/claim")):
        row_id = write(world, STATES[state])
        change(world, Cancellation, row_id, next_attempt_at=utc_now() - timedelta(seconds=seconds))
    change(world, Cancellation, row_id, lease_until=utc_now() + timedelta(seconds=60))

    assert 700 <= figures(gateway)["cfar_oldest_overdue_seconds", ""] < 800


def test_the_database_is_asked_once_however_many_scrape(world: World, gateway: Gateway) -> None:
    asked: list[Any] = []

    def note(*about: Any) -> None:
        asked.append(about[2])

    event.listen(world.database.engine, "before_cursor_execute", note)
    try:
        first = figures(gateway)
        statements = len(asked)
        again = [figures(gateway) for _ in range(3)]
    finally:
        event.remove(world.database.engine, "before_cursor_execute", note)

    assert statements > 0
    assert again == [first] * 3
    assert len(asked) == statements


def test_what_is_old_is_asked_for_anew(world: World, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", -1.0)
    assert figures(gateway)["cfar_oldest_overdue_seconds", ""] == 0
    row_id = write(world, STATES["in_progress/preview"])
    change(world, Cancellation, row_id, next_attempt_at=utc_now() - timedelta(seconds=100))

    assert figures(gateway)["cfar_oldest_overdue_seconds", ""] >= 100


def test_a_database_that_is_away_is_told_and_nothing_else() -> None:
    database = Database(NOBODY, publish=lambda _messages: None)

    assert figures(Gateway(database)) == {("cfar_database_up", ""): 0.0}
    database.close()


def test_a_database_that_went_away_is_not_told_from_memory(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", -1.0)
    assert figures(gateway)["cfar_database_up", ""] == 1
    away = Database(NOBODY, publish=lambda _messages: None)
    monkeypatch.setattr(gateway.database, "reading", away.reading)

    assert figures(gateway) == {("cfar_database_up", ""): 0.0}
    away.close()


def test_a_database_that_never_answers_does_not_hold_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SCRAPE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        gateway = Gateway(Database(url, publish=lambda _messages: None))

        assert [figures(gateway) for _ in range(3)] == [{("cfar_database_up", ""): 0.0}] * 3


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_redis_that_is_away_takes_only_its_own_figure(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_silent: bool
) -> None:
    monkeypatch.setattr(metrics, "SCRAPE_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if is_silent else 1
        settings = web_settings(redis_url=f"redis://127.0.0.1:{port}/0")
        answer = create_app(settings, database=world.database).test_client().get("/metrics")

    assert "cfar_database_up 1.0" in answer.text
    assert "cfar_oldest_overdue_seconds 0.0" in answer.text
    assert "cfar_redis_up 0.0" in answer.text
    assert "cfar_invariants_checked_timestamp_seconds" not in answer.text


def test_a_figure_that_takes_too_long_is_left_out_and_named(
    world: World, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(session: Session) -> list[Metric]:
        session.execute(text("SELECT pg_sleep(60)" if world.database.is_postgresql else "SELECT * FROM nothing"))
        raise AssertionError("it was to be cut off")

    monkeypatch.setattr(metrics, "STATEMENT_MS", 50)
    monkeypatch.setitem(metrics.FIGURES, "standing", slow)
    told = scrape(gateway.client.get("/metrics").text)

    left_out = {dict(labels)["group"] for (name, labels), value in told.items() if value and "left_out" in name}
    assert left_out == {"standing"}
    assert series("cfar_pauses", {}) in told
    assert series("cfar_cancellations", {"status": "in_progress"}) not in told
