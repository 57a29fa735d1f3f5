"""A caller's requests a second: counted for all web processes together, and refused with a time.

No clock is read: a test keeps the second open that a caller is in, and begins the next one itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import click.testing
import httpx
import pytest
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import func, select
from structlog.testing import capture_logs

from shared.models import Cancellation
from tests.allowances import COUNTED, PATIENT, exhausted, first_request, is_refused, limited, next_second
from tests.gateway import BOOKING, OPERATOR, OTHER, SHOP, URL, Gateway, bearer, web_settings
from tests.recording import RecordingDatabase
from webhook_gateway import api_client, caller_limits, cli
from webhook_gateway.api_client import Api, Refused

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def redis(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    monkeypatch.setattr(caller_limits, "TIMEOUT", PATIENT)
    client = Redis.from_url(broker, decode_responses=True)
    next_second(client)
    yield client
    next_second(client)
    client.close()


@pytest.fixture
def gateway(database: RecordingDatabase, broker: str, redis: Redis) -> Gateway:
    return limited(database, broker)


def test_one_request_too_many_is_refused_with_the_time_to_come_back(gateway: Gateway, redis: Redis) -> None:
    exhausted(gateway, redis)

    answer = gateway.get("")

    assert (answer.status_code, answer.content_type) == (429, "application/problem+json")
    assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("1", "no-store")
    told = answer.get_json()
    assert (told["type"], told["instance"]) == ("/problems/too-many-requests", URL)
    assert "'shop' may make 3 requests a second" in told["detail"]
    next_second(redis)
    assert gateway.get("").status_code == 200


def test_a_second_ends_by_itself(gateway: Gateway, redis: Redis) -> None:
    lives = []
    for _ in range(100):
        gateway.get("")
        lives += [redis.pttl(key) for key in redis.scan_iter(COUNTED)]

    assert [life for life in lives if life > 0], "no second was seen before it had ended"
    assert [life for life in lives if life > 1000 or life == -1] == []


def test_all_processes_count_together_and_each_caller_for_itself(
    gateway: Gateway, database: RecordingDatabase, broker: str, redis: Redis
) -> None:
    another_process = limited(database, broker)
    exhausted(gateway, redis)

    assert is_refused(another_process.get(""))
    assert not is_refused(another_process.get("", token=OTHER))
    assert not is_refused(another_process.get("", token=OPERATOR))


def test_operators_have_an_allowance_too(gateway: Gateway, redis: Redis) -> None:
    exhausted(gateway, redis, token=OPERATOR)

    assert is_refused(gateway.get("", token=OPERATOR))
    assert not is_refused(gateway.get(""))


def test_all_tokens_of_a_name_share_one_allowance(database: RecordingDatabase, broker: str, redis: Redis) -> None:
    gateway = limited(database, broker, api_tokens="shop:old,shop:new,other:x")
    exhausted(gateway, redis, token="old")

    assert [is_refused(gateway.get("", token=token)) for token in ("old", "new", "x")] == [True, True, False]


def test_an_unknown_token_is_401_and_is_not_counted(gateway: Gateway, redis: Redis) -> None:
    exhausted(gateway, redis)
    counted = set(redis.scan_iter(COUNTED))

    assert gateway.get("", token="unknown").status_code == 401
    assert set(redis.scan_iter(COUNTED)) == counted


def routes(gateway: Gateway, *, is_guarded: bool) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"<[^>]+>", str(uuid4()), rule.rule))
        for rule in gateway.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
        if rule.rule.startswith("/v1/") is is_guarded
    ]


def test_every_route_that_takes_a_token_is_limited_before_it_does_anything(gateway: Gateway, redis: Redis) -> None:
    exhausted(gateway, redis)

    found = routes(gateway, is_guarded=True)
    answers = {
        (method, path): gateway.client.open(path, method=method, headers=bearer(SHOP), json={"booking_id": BOOKING})
        for method, path in found
    }

    assert len(found) > 23
    assert [route for route, answer in answers.items() if not is_refused(answer)] == []


def test_webhooks_probes_metrics_and_documentation_are_never_limited(gateway: Gateway, redis: Redis) -> None:
    exhausted(gateway, redis)
    before = [(key, redis.get(key)) for key in sorted(redis.scan_iter(COUNTED))]

    found = routes(gateway, is_guarded=False)
    answers = {path: gateway.client.open(path, method=method, headers=bearer(SHOP)) for method, path in found}

    assert {"/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/webhooks/xclaim"} <= answers.keys()
    assert [path for path, answer in answers.items() if is_refused(answer) or answer.status_code >= 500] == []
    assert [(key, redis.get(key)) for key in sorted(redis.scan_iter(COUNTED))] == before


def test_zero_switches_it_off(database: RecordingDatabase, broker: str, redis: Redis) -> None:
    gateway = limited(database, broker, caller_rate_limit=0)

    assert gateway.get("").status_code == 200
    assert list(redis.scan_iter(COUNTED)) == []


@pytest.mark.parametrize("wrong", [-1, 1_000_001, "many"])
def test_a_limit_that_cannot_be_kept_to_is_refused(wrong: Any, database_url: str) -> None:
    with pytest.raises(ValidationError):
        web_settings(caller_rate_limit=wrong)


def test_a_caller_that_runs_wild_does_not_fill_the_log(gateway: Gateway, redis: Redis) -> None:
    exhausted(gateway, redis)

    with capture_logs() as logged:
        assert all(is_refused(gateway.get("")) for _ in range(20))

    assert [(line["event"], line["caller"]) for line in logged] == [("caller_limited", "shop")]


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def api(gateway: Gateway) -> Api:
    return Api("http://cfar", SHOP, transport=httpx.WSGITransport(app=gateway.app))


def test_a_command_that_is_refused_waits_as_it_was_told_and_goes_on(
    gateway: Gateway, redis: Redis, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exhausted(gateway, redis)
    waited: list[float] = []
    monkeypatch.setattr(api_client, "sleep", lambda seconds: (waited.append(seconds), next_second(redis)))

    assert api.post(URL, {"booking_id": BOOKING}, key="key-1")["booking_id"] == BOOKING

    assert waited == [1]
    assert capsys.readouterr().err.splitlines() == [
        "The service takes no more requests of this caller for now. Going on in 1 s."
    ]


def test_a_command_does_not_wait_for_ever(
    gateway: Gateway, redis: Redis, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhausted(gateway, redis)
    waited: list[float] = []
    monkeypatch.setattr(api_client, "sleep", waited.append)

    with pytest.raises(Refused, match="may make 3 requests a second"):
        api.get(URL)

    assert sum(waited) == api_client.PATIENCE


@pytest.mark.parametrize("retry_after", [None, "", "soon", "-1", "3600", "9" * 5000], ids=lambda value: str(value)[:5])
def test_a_429_that_names_no_time_worth_waiting_for_is_told_at_once(
    retry_after: str | None, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "sleep", lambda _: pytest.fail("waited"))
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    answer = httpx.Response(429, json={"title": "Later", "status": 429}, headers=headers)

    with pytest.raises(Refused, match="Later"):
        Api("http://cfar", SHOP, transport=httpx.MockTransport(lambda _: answer)).get(URL)


class NextSecondOnlyWhenTold(httpx.WSGITransport):
    """The app, where one request uses up a second that does not end by itself."""

    def __init__(self, gateway: Gateway, redis: Redis) -> None:
        super().__init__(app=gateway.app)
        first_request(gateway, redis)
        (self._key,) = redis.scan_iter(COUNTED)
        self._redis = redis
        self.refused = self.taken = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        self._redis.set(self._key, 1)
        if answer.status_code == 429:
            self.refused += 1
        else:
            self.taken += 1
        return answer


def test_an_import_is_slowed_down_by_the_limit_and_never_fails_because_of_it(
    database: RecordingDatabase, broker: str, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = NextSecondOnlyWhenTold(limited(database, broker, caller_rate_limit=1), redis)
    tickets = 1_100
    path = tmp_path / "show.csv"
    path.write_text("booking_id,idempotency_key\n" + "".join(f"B-{number},t-{number}\n" for number in range(tickets)))
    waited: list[float] = []
    monkeypatch.setattr(api_client, "sleep", lambda seconds: (waited.append(seconds), next_second(redis)))

    result = click.testing.CliRunner().invoke(
        cli.main, ["import", str(path)], obj=Api("http://cfar", SHOP, transport=network)
    )

    assert result.exit_code == 0, result.output
    assert len(waited) == network.refused == network.taken > 3
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Cancellation)) == tickets
