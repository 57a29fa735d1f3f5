"""A Redis that is away, hangs or does not understand: no request fails or waits for it, and nobody is counted."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.allowances import COUNTED, PATIENT, PER_SECOND, exhausted, first_request, is_refused, limited, next_second
from tests.embedded import EmbeddedRedis, free_port
from tests.gateway import SHOP, URL, bearer
from tests.recording import RecordingDatabase
from webhook_gateway import caller_limits

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class SilentRedis:
    """Takes connections and never answers; knows how many came."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0)
        self._taken: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"

    def connections(self) -> int:
        while True:
            try:
                self._taken.append(self._server.accept()[0])
            except BlockingIOError:
                return len(self._taken)

    def close(self) -> None:
        for connection in (*self._taken, self._server):
            connection.close()


@pytest.fixture
def silent_redis() -> Iterator[SilentRedis]:
    opened = SilentRedis()
    yield opened
    opened.close()


def off_lines(logged: list[Any]) -> list[str]:
    return [line["error"] for line in logged if line["event"] == "caller_limits_off"]


def test_a_redis_that_hangs_is_waited_for_once_and_then_left_alone(
    database: RecordingDatabase, silent_redis: SilentRedis
) -> None:
    gateway = limited(database, silent_redis.url)

    with capture_logs() as logged:
        answers = [gateway.get("").status_code for _ in range(PER_SECOND * 5)]

    assert answers == [200] * PER_SECOND * 5
    assert silent_redis.connections() == 1
    assert off_lines(logged) == ["TimeoutError"]


def test_of_requests_that_come_at_once_one_finds_out_that_redis_hangs(
    database: RecordingDatabase, silent_redis: SilentRedis
) -> None:
    gateway = limited(database, silent_redis.url)

    def ask(_: int) -> int:
        return gateway.app.test_client().get(URL, headers=bearer(SHOP)).status_code

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask, range(24))) == [200] * 24

    assert silent_redis.connections() == 1


def test_a_redis_that_begins_to_hang_is_no_different(database: RecordingDatabase) -> None:
    with EmbeddedRedis() as server, Redis.from_url(server.url) as redis:
        gateway = limited(database, server.url)
        assert gateway.get("").status_code == 200
        redis.client_pause(1000, all=True)

        with capture_logs() as logged:
            answers = [gateway.get("").status_code for _ in range(PER_SECOND * 3)]

    assert answers == [200] * PER_SECOND * 3
    assert off_lines(logged) == ["TimeoutError"]


def test_a_redis_that_comes_back_is_used_again(database: RecordingDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_limits, "ASIDE_SECONDS", 0.0)
    monkeypatch.setattr(caller_limits, "TIMEOUT", PATIENT)
    port = free_port()
    gateway = limited(database, f"redis://127.0.0.1:{port}/0")
    with capture_logs() as logged:
        assert [gateway.get("").status_code for _ in range(PER_SECOND * 2)] == [200] * PER_SECOND * 2
    assert off_lines(logged) == ["ConnectionError"] * PER_SECOND * 2

    with EmbeddedRedis(port) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        exhausted(gateway, redis)
        assert is_refused(gateway.get(""))
        server.stop()
        assert gateway.get("").status_code == 200


def test_a_redis_that_answers_with_an_error_lets_everyone_pass(
    database: RecordingDatabase, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_limits, "TIMEOUT", PATIENT)
    gateway, redis = limited(database, broker), Redis.from_url(broker, decode_responses=True)
    next_second(redis)
    first_request(gateway, redis)
    (key,) = redis.scan_iter(COUNTED)
    redis.set(key, "not a number")

    with capture_logs() as logged:
        assert [gateway.get("").status_code for _ in range(PER_SECOND * 2)] == [200] * PER_SECOND * 2

    assert off_lines(logged) == ["ResponseError"]
    next_second(redis)
    redis.close()
