"""What only a real server shows: chunked and huge bodies, broken framing, concurrency, and a Redis that hangs."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from werkzeug.serving import make_server

from shared.db import Database, Message
from shared.models import Cancellation
from tests.gateway import BOOKING, SHOP, URL, WEBHOOK_KEYS, Gateway, bearer, web_settings
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.recording import RecordingDatabase
from webhook_gateway.app import create_app
from webhook_gateway.doorbell import Doorbell

ROOT = Path(__file__).parent.parent.parent
ACCEPT = bearer(SHOP) | {"Idempotency-Key": "key-1"}
MIB = 1024 * 1024


@contextmanager
def served(gateway: Gateway) -> Iterator[str]:
    """Serve an app with threads in this process."""
    server = make_server("127.0.0.1", 0, gateway.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_gunicorn_accepts_and_takes_webhooks_while_redis_hangs(gunicorn: str) -> None:
    accepted = httpx.post(gunicorn + URL, json={"booking_id": BOOKING}, headers=bearer(SHOP) | {"Idempotency-Key": "a"})
    request = signed(EVENT, WEBHOOK_KEYS[0])
    taken = httpx.post(f"{gunicorn}/webhooks/xclaim", content=request["data"], headers=request["headers"])

    assert (accepted.status_code, taken.status_code) == (202, 200)
    shown = httpx.get(gunicorn + accepted.headers["Location"], headers=bearer(SHOP))
    assert shown.json() == accepted.json()


def test_gunicorn_reads_chunked_bodies(gunicorn: str) -> None:
    headers = bearer(SHOP) | {"Idempotency-Key": "chunked", "Content-Type": "application/json"}
    pieces = [b'{"booking_id": ', f'"{BOOKING}"'.encode(), b"}"]

    assert httpx.post(gunicorn + URL, content=iter(pieces), headers=headers).status_code == 202


@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize("path", [URL, "/webhooks/xclaim", "/webhooks/xclaim/token"])
def test_gunicorn_answers_413_to_a_huge_body(gunicorn: str, path: str, *, is_chunked: bool) -> None:
    raw = b"x" * MIB
    content = iter([raw[:1000], raw[1000:]]) if is_chunked else raw
    headers = ACCEPT | {"Content-Type": "application/json", "XClaim-Signature": "sha256=00"}

    answer = httpx.post(gunicorn + path, content=content, headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"Content-Length: 100\r\n\r\nshort",
        b"Content-Length: x\r\n\r\n",
    ],
)
def test_broken_framing_is_the_senders_fault(gunicorn: str, framing: bytes) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(gunicorn).port or 0)) as connection:
        connection.sendall(b"POST /webhooks/xclaim HTTP/1.1\r\nHost: x\r\n" + framing)
        connection.shutdown(socket.SHUT_WR)
        status_line = connection.makefile("rb").readline()

    assert status_line == b"" or status_line.split()[1].startswith(b"4"), status_line
    assert httpx.get(f"{gunicorn}/livez").status_code == 200


def test_of_concurrent_requests_with_one_key_one_is_new(database: RecordingDatabase) -> None:
    barrier = threading.Barrier(32)

    def accept(url: str) -> tuple[int, str]:
        barrier.wait()
        answer = httpx.post(url + URL, json={"booking_id": BOOKING}, headers=ACCEPT, timeout=60)
        return answer.status_code, answer.json()["id"]

    with served(Gateway(database)) as url, ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(accept, [url] * 32))

    assert sorted(status for status, _ in answers) == [200] * 31 + [202]
    assert len({found for _, found in answers}) == 1
    assert len(database.published) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Cancellation)) == 1


def test_a_request_is_stored_and_answered_while_ringing_still_hangs(database_url: str) -> None:
    is_hanging, may_end = threading.Event(), threading.Event()
    rung: list[Message] = []

    def hang(batch: object) -> None:
        is_hanging.set()
        may_end.wait()
        rung.extend(batch)  # type: ignore[arg-type]

    doorbell = Doorbell(hang)
    database = Database(database_url, publish=doorbell.ring)
    gateway = Gateway(database)

    accepted = [gateway.accept(key=f"key-{number}") for number in range(3)]
    request = signed(EVENT, WEBHOOK_KEYS[0])
    assert gateway.client.post("/webhooks/xclaim", **request).status_code == 200

    assert is_hanging.wait(60)
    assert rung == []
    assert [gateway.row(found).status for found in accepted] == ["in_progress"] * 3
    may_end.set()
    assert doorbell.flush(seconds=60)
    assert len(rung) == 4
    database.close()


def test_the_app_connects_to_nothing_when_it_is_made() -> None:
    create_app(web_settings(database_url="postgresql://nobody@127.0.0.1:1/nothing", redis_url="redis://127.0.0.1:1/0"))


@pytest.mark.parametrize("second", ["key-1", "key-2"])
def test_two_key_headers_are_never_taken_for_one_key(gunicorn: str, second: str) -> None:
    headers = [("Authorization", f"Bearer {SHOP}"), ("Idempotency-Key", "key-1"), ("Idempotency-Key", second)]

    answer = httpx.post(f"{gunicorn}{URL}", json={"booking_id": BOOKING}, headers=headers, trust_env=False)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-missing")
