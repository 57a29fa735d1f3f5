"""What a request carries never becomes a header of ours, a line of our log, or something that a terminal obeys."""

import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from flask import request
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from shared import logs
from tests.gateway import BOOKING, SHOP, URL, WEBHOOK_KEYS, Gateway, bearer, web_settings
from tests.hostile import corpus
from tests.integration.conftest import serving
from tests.integration.test_gateway_webhooks import signed
from tests.recording import RecordingDatabase

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PAYLOADS = {
    "line breaks": "a\r\nX-Injected: yes\r\n\r\n<p>",
    "a bare line feed": "a\nX-Injected: yes",
    "a forged line": 'a\n{"event": "forged", "level": "info"}\n2026-11-21T00:00:00Z [info     ] forged',
    "quotes": 'a" event="forged\' \\" }{',
    "escapes": "a\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\x00\x08",
    "other line ends": "a\u2028b\x85c\x0bd\x0ce",
    "not text": "a\xff\xfe\xc3\x28",
}
HEADERS = (
    "Authorization", "Idempotency-Key", "If-None-Match", "Host", "X-Forwarded-For", "X-Forwarded-Host", "User-Agent",
    "Accept", "Content-Type", "Content-Encoding", "Origin", "Referer", "XClaim-Signature", "Date", "X-Request-Id",
)  # fmt: skip
OURS = {"request_failed", "cancellation_accepted", "webhook_refused", "webhook_not_understood"}
OUR_LINE = re.compile(rf"[0-9T:.-]+Z \[[a-z]+ *\] ({'|'.join(sorted(OURS))}) ")
PATHS = ("/", "/v1/", f"{URL}/", f"{URL}?limit=", "/v1/batches/", "/webhooks/xclaim/", "/docs/")


@pytest.fixture
def client(database: RecordingDatabase) -> FlaskClient:
    made = Gateway(database).app

    @made.post("/v1/fails")
    def fails() -> None:
        raise RuntimeError(f"nobody expected {request.query_string.decode()}")

    return made.test_client()


def attack(client: FlaskClient, payload: str) -> Iterator[Response]:
    """Put a payload wherever a request can carry it, as the server hands it over: nothing has looked at it before."""
    for method in ("GET", "POST"):
        for path in PATHS:
            yield ask(client, method, path, payload)
        for header in HEADERS:
            yield ask(client, method, URL, None, {"HTTP_" + header.upper().replace("-", "_"): latin_1(payload)})
    yield ask(client, latin_1(payload), URL, None)
    yield ask(client, "POST", "/v1/fails?said=", payload)
    key = {"HTTP_IDEMPOTENCY_KEY": "key-1"}
    for body in ({payload: payload}, {"booking_id": payload}, {"booking_id": BOOKING, "metadata": {payload: payload}}):
        yield ask(client, "POST", URL, None, key, json.dumps(body).encode())
    event = json.dumps({"event": payload, "payload": {"id": payload, payload: payload}}).encode()
    yield client.post("/webhooks/xclaim", **signed(event, WEBHOOK_KEYS[0]))


def ask(
    client: FlaskClient, method: str, path: str, payload: str | None, headers: dict[str, str] | None = None,
    body: bytes = b"{}",
) -> Response:  # fmt: skip
    path, _, query = path.partition("?")
    environ = EnvironBuilder(method="POST", path=path, headers=bearer(SHOP)).get_environ()
    environ |= {"REQUEST_METHOD": method, "CONTENT_TYPE": "application/json", "QUERY_STRING": query, **(headers or {})}
    environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    if payload is not None:
        environ["QUERY_STRING" if query else "PATH_INFO"] += latin_1(payload)
    return Response.from_app(client.application, environ, buffered=True)


def latin_1(text: str) -> str:
    """Return text as WSGI hands it over: its bytes, one character each."""
    return text.encode("utf-8").decode("latin-1")


@ON_SQLITE
@pytest.mark.parametrize("name", PAYLOADS)
def test_no_answer_carries_what_a_header_or_a_terminal_would_obey(client: FlaskClient, name: str) -> None:
    seen: list[int] = []
    for answer in attack(client, PAYLOADS[name]):
        for header, value in answer.headers:
            assert re.fullmatch(r"[ -~]*", f"{header}{value}"), (header, value)
            assert "injected" not in header.lower()
        assert not re.search(rb"[^\n -~]", answer.data), answer.data
        assert answer.mimetype in {"application/json", "application/problem+json"}, answer.mimetype
        assert answer.data == b"" or isinstance(json.loads(answer.data), dict)
        seen.append(answer.status_code)

    assert {200, 400, 401, 404, 422} <= set(seen)
    assert [status for status in seen if status >= 500] == [500]  # what is broken on purpose


@ON_SQLITE
def test_what_names_a_thing_is_shown_as_it_was_sent_and_leads_back_to_it(client: FlaskClient) -> None:
    """What a key may hold, quotes and all, is data: it comes back whole, and breaks no header."""
    key = "a\"b'c<d>;e%0d%0aX:y\\f"
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    made = client.post(URL, json={"booking_id": BOOKING}, headers=bearer(SHOP) | {"Idempotency-Key": quoted})

    assert (made.status_code, made.get_json()["idempotency_key"]) == (202, key)
    assert re.fullmatch(URL + "/[0-9a-f-]{36}", made.headers["Location"])
    assert client.get(made.headers["Location"], headers=bearer(SHOP)).get_json() == made.get_json()


# --- the log -------------------------------------------------------------------------------------------------------


@contextmanager
def logging_as(log_format: str) -> Iterator[None]:
    """Log as the gateway does, and put the tests' own logging back afterwards."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    logs.configure(web_settings(log_format=log_format))
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.configure(**before)


def logged(client: FlaskClient, log_format: str, capsys: pytest.CaptureFixture[str]) -> str:
    with logging_as(log_format):
        for payload in PAYLOADS.values():
            for _ in attack(client, payload):
                pass
    return capsys.readouterr().err


@ON_SQLITE
def test_each_line_of_a_json_log_is_whole_and_ours(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    said = logged(client, "json", capsys)

    lines: list[dict[str, Any]] = [json.loads(line) for line in said.split("\n") if line]
    assert {line["event"] for line in lines} == OURS
    assert not re.search(r"[^\n -~]", said)
    assert any("X-Injected: yes" in line.get("exception", "") for line in lines)


@ON_SQLITE
def test_a_readable_log_shows_no_raw_escape_and_no_forged_line(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    said = logged(client, "text", capsys)

    lines = [line for line in said.split("\n") if line]
    assert all(char == "\n" or char.isprintable() for char in said)
    ours = [line for line in lines if not line.startswith("  ")]
    assert [line for line in ours if not OUR_LINE.match(line)] == []
    assert any(line.startswith("  X-Injected: yes") for line in lines)


def test_over_the_wire_no_header_is_added_and_no_line_of_the_log_broken(
    sqlite_template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, escape = f"{URL}/%0D%0AX-Injected%3A%20yes%0D%0A%0D%0A%1B%5B2J", b"\x1b[2J"
    broken = [
        b"GET /%b\nFORGED HTTP/1.1\r\n\r\n" % escape, b"G%bET / HTTP/1.1\r\n\r\n" % escape,
        b"GET / HTTP/1.1%b\r\n\r\n" % escape, b"GET / HTTP/1.1\r\nX%b: 1\r\n\r\n" % escape,
        b"GET / HTTP/1.1\r\nX: %b\x00\r\n\r\n" % escape, b'GET / HTTP/1.1\r\nA"}{"event": "forged"}: b\r\n\r\n',
        *(b"POST /webhooks/xclaim HTTP/1.1\r\nHost: x\r\n" + frame for frame in corpus.BODIES_IN_BAD_FRAMES),
    ]  # fmt: skip

    with serving(sqlite_template, tmp_path, WEB_CONCURRENCY="1") as served:
        answer = httpx.get(served.url + path, headers=bearer(SHOP))
        for raw in broken:
            with socket.create_connection(("127.0.0.1", httpx.URL(served.url).port or 0)) as connection:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                connection.makefile("rb").read()
        said = capfd.readouterr().err

    assert (answer.status_code, answer.json()["instance"]) == (404, path)
    assert "x-injected" not in answer.headers
    lines = [json.loads(line) for line in said.split("\n") if line]
    assert len([line for line in lines if line["event"].startswith("Invalid request from")]) > 10
    assert all(char == "\n" or char.isprintable() for char in said)
    assert "forged" not in {line["event"] for line in lines}
