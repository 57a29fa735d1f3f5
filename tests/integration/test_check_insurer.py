"""The harmless question to each insurer, and what is noted of its answer."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select

from shared import broker
from shared.breaker_models import BreakerState
from shared.lifecycle import TaskName
from shared.operations_models import InsurerCheck
from tests.world import World
from workers import check_insurer
from workers.app import app

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.usefixtures("database_url"),
]


class Silent(SimpleHTTPRequestHandler):
    """A web server that is not the insurer: it has pages, and none of ours."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has there
        return


def check(world: World) -> dict[str, InsurerCheck]:
    app.tasks[TaskName.CHECK_INSURER.value]()
    with world.database.reading() as session:
        return {one.service: one for one in session.scalars(select(InsurerCheck))}


def verdicts(world: World) -> dict[str, str]:
    return {service: found.verdict for service, found in check(world).items()}


def breakers(world: World) -> list[BreakerState]:
    with world.database.reading() as session:
        return list(session.scalars(select(BreakerState)))


def test_to_be_told_that_nothing_is_there_is_to_be_let_in(world: World) -> None:
    found = check(world)
    assert {service: one.verdict for service, one in found.items()} == {"xcover": "ok", "xclaim": "ok"}
    assert "404" in found["xcover"].said
    assert world.simulator.control.effects() == []
    assert {request["method"] for request in world.control.requests()} == {"GET"}


@pytest.mark.parametrize(
    ("settings", "service"),
    [
        ({"xcover_api_secret": "expired"}, "xcover"),
        ({"xcover_api_key": "another"}, "xcover"),
        ({"xclaim_password": "expired"}, "xclaim"),
        ({"xclaim_token": "expired"}, "xclaim"),
    ],
    ids=["xcover-secret", "xcover-key", "xclaim-password", "xclaim-token"],
)
def test_credentials_that_are_not_accepted_are_refused(world: World, settings: dict[str, Any], service: str) -> None:
    world.configure(**settings)
    found = check(world)
    other = ({"xcover", "xclaim"} - {service}).pop()
    assert (found[service].verdict, found[other].verdict) == ("refused", "ok")
    assert not any(str(value) in found[service].said for value in settings.values())
    world.configure()
    assert verdicts(world) == {"xcover": "ok", "xclaim": "ok"}


def test_an_address_that_leads_to_something_else_is_refused_too(world: World, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=tmp_path)) as elsewhere:
        Thread(target=elsewhere.serve_forever, args=[0.01]).start()
        world.configure(xcover_base_url=f"http://127.0.0.1:{elsewhere.server_port}/x/")
        found = check(world)["xcover"]
        elsewhere.shutdown()
    assert found.verdict == "refused"
    assert "address" in found.said


def test_an_insurer_that_answers_nobody_is_unanswered_and_the_breaker_holds_further_questions_back(
    world: World,
) -> None:
    world.control.settings(outage=503)
    for _ in range(8):
        found = check(world)
        assert {one.verdict for one in found.values()} == {"unanswered"}
    assert {state.failures for state in breakers(world)} == {5}
    assert "answers nobody" in found["xcover"].said
    world.control.settings(outage=None)
    world.later(60)
    assert verdicts(world) == {"xcover": "ok", "xclaim": "ok"}
    assert {state.opened_at for state in breakers(world)} == {None}


def test_a_refusal_is_an_answer_to_the_breaker(world: World) -> None:
    world.configure(xcover_api_secret="expired")
    for _ in range(6):
        check(world)
    assert [state for state in breakers(world) if state.opened_at] == []


def test_too_many_requests_say_nothing_about_credentials(world: World) -> None:
    world.control.settings(outage=429)
    assert verdicts(world) == {"xcover": "unanswered", "xclaim": "unanswered"}


def test_how_far_the_insurers_clock_is_ahead_is_noted(world: World) -> None:
    assert abs(check(world)["xcover"].clock_lead or 0) < 5
    world.control.shift_clock(200)
    lead = check(world)["xcover"].clock_lead
    assert lead is not None
    assert 190 < lead <= 201


def test_without_claims_xclaim_is_not_asked(world: World) -> None:
    world.configure(claims_enabled=False)
    assert set(verdicts(world)) == {"xcover"}


def test_what_time_did_not_suffice_for_comes_first_the_next_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_insurer, "TIME_BOX", 0.0)
    assert check(world) == {}
    monkeypatch.undo()
    assert set(check(world)) == {"xcover", "xclaim"}


def test_beat_sends_it_every_quarter_of_an_hour_to_a_light_queue() -> None:
    schedule = app.conf.beat_schedule[TaskName.CHECK_INSURER.value]
    assert schedule["schedule"] == 900.0
    assert broker.queue_of(TaskName.CHECK_INSURER) == schedule["options"]["queue"] == broker.SWEEP_QUEUE
