"""The transport under both clients, against a scripted server that real sockets reach.

`Stub` is used by the tests of both clients too.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from shared.insurer import transport
from shared.insurer.errors import InsurerError, NotSent, OutcomeUnknown, Unavailable
from shared.insurer.transport import InsurerHttp, Reply, Timeouts, parse_json
from tests.servers import free_port

DATE = "Tue, 08 Apr 2025 12:00:00 GMT"
NOON = datetime(2025, 4, 8, 12, tzinfo=UTC)
HASTY = Timeouts(read=0.4, deadline=0.8)
PATIENT = Timeouts(connect=5, read=5, write=5, deadline=1.0)  # only the deadline can end such a call

Turn = bytes | Callable[[socket.socket], None]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stub:
    """Answers each request with the next turn of its script: bytes to send, or a function that has the socket."""

    url: str
    script: list[Turn]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0


def say(status: int, body: object = None, *, raw: bytes | None = None, **headers: str) -> bytes:
    """Return a whole answer. Underscores in header names stand for dashes; None takes a header away."""
    content = json.dumps(body).encode() if raw is None else raw
    named = {"Date": DATE, "Content-Type": "application/json", "Content-Length": str(len(content))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in named.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + content


def hang_up(connection: socket.socket) -> None:
    """Close without a word."""


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def say_nothing(connection: socket.socket) -> None:
    """Wait until the client gives up."""
    connection.settimeout(30)
    with suppress(OSError):
        connection.recv(1)


def drip(answer: bytes, *, at_once: int = 0, pause: float = 0.05) -> Callable[[socket.socket], None]:
    """Send the first bytes at once and the rest one by one, until the client gives up."""

    def send(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(answer[:at_once])
            for index in range(at_once, len(answer)):
                connection.sendall(answer[index : index + 1])
                time.sleep(pause)

    return send


@contextmanager
def serving(*script: Turn) -> Iterator[Stub]:
    """Serve the script on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stub = Stub(url=f"http://127.0.0.1:{listener.getsockname()[1]}/x/", script=list(script))
        served: list[tuple[socket.socket, threading.Thread]] = []
        acceptor = threading.Thread(target=_accept, args=(listener, stub, served))
        acceptor.start()
        try:
            yield stub
        finally:
            _shut(listener)
            acceptor.join()
            for connection, thread in served:
                _shut(connection)
                thread.join()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, stub: Stub, served: list[tuple[socket.socket, threading.Thread]]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            stub.connections += 1
            thread = threading.Thread(target=_serve, args=(connection, stub))
            served.append((connection, thread))
            thread.start()


def _serve(connection: socket.socket, stub: Stub) -> None:
    with connection, connection.makefile("rb") as stream, suppress(OSError, ValueError):
        while request := _read_request(stream):
            stub.seen.append(request)
            turn = stub.script.pop(0) if stub.script else say(500, {"message": "the script has ended"})
            if not isinstance(turn, bytes):
                turn(connection)
                return
            connection.sendall(turn)


def _read_request(stream: Any) -> Seen | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers = {}
    while header := stream.readline().decode().strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return Seen(method, target, headers, stream.read(int(headers.get("content-length", "0"))))


@pytest.fixture
def http() -> Iterator[InsurerHttp]:
    client = InsurerHttp()
    yield client
    client.close()


@pytest.fixture
def hasty() -> Iterator[InsurerHttp]:
    client = InsurerHttp(timeouts=HASTY)
    yield client
    client.close()


def ask(
    http: InsurerHttp, url: str, method: str = "GET", *, is_read: bool | None = None, content: bytes = b""
) -> Reply:
    return http.send(
        method,
        url,
        attempted="ask",
        is_read=method == "GET" if is_read is None else is_read,
        headers_for=lambda _method, _path: {},
        content=content,
    )


def failure(http: InsurerHttp, url: str, method: str = "GET") -> InsurerError:
    with pytest.raises(InsurerError) as raised:
        ask(http, url, method, content=b"{}")
    assert raised.value.__cause__ is not None
    return raised.value


def test_a_reply_holds_status_exact_numbers_and_the_insurers_time(http: InsurerHttp) -> None:
    with serving(say(418, raw=b'{"a": 22.4, "b": 0.30000000000000004, "c": 7}')) as stub:
        reply = ask(http, stub.url)
    assert (reply.status, reply.insurer_time, reply.excerpt) == (418, NOON, "")
    assert reply.json == {"a": Decimal("22.4"), "b": Decimal("0.30000000000000004"), "c": 7}


def test_headers_are_asked_for_with_the_path_as_it_is_sent(http: InsurerHttp) -> None:
    asked: list[tuple[str, str]] = []

    def headers_for(method: str, path: str) -> dict[str, str]:
        asked.append((method, path))
        return {"X-Api-Key": "k"}

    with serving(say(200, {})) as stub:
        url = f"{stub.url}a%2Fb%3Fc/%C3%A9?page=2"
        http.send("GET", url, attempted="ask", is_read=True, headers_for=headers_for)
    assert asked == [("GET", "/x/a%2Fb%3Fc/%C3%A9")]
    assert stub.seen[0].target == "/x/a%2Fb%3Fc/%C3%A9?page=2"
    assert stub.seen[0].headers["x-api-key"] == "k"
    assert stub.seen[0].headers["user-agent"] == "cfar/0.1"


@pytest.mark.parametrize(
    ("raw", "excerpt"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"", ""),
        (b'{"a": NaN}', '{"a": NaN}'),
        (b'{"a": -Infinity}', '{"a": -Infinity}'),
        (b'{"security_token": "hunter2"', '{"security_token": "[redacted]"'),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_body_that_is_not_json_is_kept_as_an_excerpt(http: InsurerHttp, raw: bytes, excerpt: str) -> None:
    with serving(say(200, raw=raw)) as stub:
        reply = ask(http, stub.url)
    assert (reply.json, reply.excerpt) == (None, excerpt)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a": 1e99999999999999999999}', b"9" * 5000, b"\xff"])
def test_hostile_json_is_only_ever_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(raw)


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 31 Feb 2025 12:00:00 GMT", "0"])
def test_a_bad_date_is_no_date(http: InsurerHttp, date: str) -> None:
    with serving(say(200, {}, Date=date)) as stub:
        assert ask(http, stub.url).insurer_time is None


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Tue, 08 Apr 2025 12:00:30 GMT", 30.0),
        ("Tue, 08 Apr 2025 11:00:00 GMT", 0.0),
        ("999999999", transport.MAX_RETRY_AFTER),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_wait_is_read_from_seconds_or_from_a_time_on_the_insurers_clock(
    http: InsurerHttp, retry_after: str, seconds: float | None
) -> None:
    with serving(say(429, {}, Retry_After=retry_after)) as stub:
        assert ask(http, stub.url).retry_after == seconds


def test_redirects_are_not_followed_and_cookies_not_kept(http: InsurerHttp) -> None:
    with serving(say(301, {}, Location="/elsewhere", Set_Cookie="a=b; Path=/"), say(200, {})) as stub:
        assert ask(http, stub.url).status == 301
        ask(http, stub.url)
    assert [seen.target for seen in stub.seen] == ["/x/", "/x/"]
    assert "cookie" not in stub.seen[1].headers


def test_a_body_beyond_the_limit_is_not_read(http: InsurerHttp) -> None:
    with serving(say(200, raw=b'"' + b"x" * transport.MAX_BODY + b'"')) as stub:
        reply = ask(http, stub.url)
    assert (reply.json, reply.excerpt) == (None, "(too large)")


def test_connections_are_used_again(http: InsurerHttp) -> None:
    with serving(say(200, {}), say(200, {}), say(200, {})) as stub:
        for _ in range(3):
            ask(http, stub.url, "POST")
        http.close()
    assert (len(stub.seen), stub.connections) == (3, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_means_that_nothing_was_sent(http: InsurerHttp, method: str) -> None:
    error = failure(http, f"http://127.0.0.1:{free_port()}/", method)
    assert type(error) is NotSent
    assert error.evidence["failure"] == "ConnectError"


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/", f"http://{'a' * 70}.invalid/"])
def test_an_unknown_host_means_that_nothing_was_sent(http: InsurerHttp, url: str) -> None:
    assert type(failure(http, url, "POST")) is NotSent


def test_a_header_that_cannot_be_written_means_that_nothing_was_sent(http: InsurerHttp) -> None:
    with serving() as stub, pytest.raises(NotSent):
        http.send("POST", stub.url, attempted="ask", is_read=False, headers_for=lambda *_: {"X-Api-Key": "a\nb"})
    assert stub.seen == []


def test_a_failed_tls_handshake_means_that_nothing_was_sent(http: InsurerHttp) -> None:
    with serving() as stub:
        assert type(failure(http, stub.url.replace("http:", "https:"), "POST")) is NotSent


def test_certificates_are_checked() -> None:
    context = InsurerHttp()._client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def say_and_hang_up(answer: bytes) -> Turn:
    return lambda connection: connection.sendall(answer)


FAILURES = [
    hang_up,
    reset,
    say_nothing,
    say_and_hang_up(say(200, {})[:20]),
    say_and_hang_up(say(200, {}, Content_Length="50")),
    say_and_hang_up(b"nonsense\r\n\r\n"),
]


@pytest.mark.parametrize("turn", FAILURES)
@pytest.mark.parametrize(("method", "kind"), [("GET", Unavailable), ("POST", OutcomeUnknown)])
def test_once_it_may_have_been_sent_a_deed_is_unknown_and_a_read_unavailable(
    hasty: InsurerHttp, turn: Turn, method: str, kind: type[InsurerError]
) -> None:
    with serving(turn) as stub:
        error = failure(hasty, stub.url, method)
    assert type(error) is kind
    assert len(stub.seen) == 1


@pytest.mark.parametrize(("method", "kind"), [("GET", Unavailable), ("POST", OutcomeUnknown)])
def test_a_reset_of_a_used_connection_is_never_taken_for_not_sent(
    http: InsurerHttp, method: str, kind: type[InsurerError]
) -> None:
    with serving(say(200, {}), reset) as stub:
        ask(http, stub.url)
        error = failure(http, stub.url, method)
    assert type(error) is kind
    assert (stub.connections, len(stub.seen)) == (1, 2)


def test_a_connection_that_the_other_side_closed_in_the_meantime_is_replaced(http: InsurerHttp) -> None:
    with serving(lambda connection: connection.sendall(say(200, {})), say(200, {})) as stub:
        ask(http, stub.url)
        while stub.connections == 1 and _is_open(stub):
            time.sleep(0.01)
        assert ask(http, stub.url, "POST").status == 200
        http.close()
    assert stub.connections == 2


def _is_open(stub: Stub) -> bool:
    return any(thread.name.endswith("(_serve)") for thread in threading.enumerate())


@pytest.mark.parametrize("at_once", [0, len(say(200, raw=b""))])
def test_a_server_that_drips_cannot_outlast_the_deadline(at_once: int) -> None:
    http = InsurerHttp(timeouts=PATIENT)
    before = time.monotonic()
    with serving(drip(say(200, raw=b" " * 2000), at_once=at_once)) as stub:
        assert type(failure(http, stub.url, "POST")) is OutcomeUnknown
        taken = time.monotonic() - before
        http.close()
    assert 0.9 < taken < 30  # dripped to its end, the answer would take 100 seconds


def test_a_server_that_drips_but_ends_in_time_is_heard_out() -> None:
    http = InsurerHttp(timeouts=Timeouts(deadline=30))
    with serving(drip(say(200, {"a": 1}), pause=0.001)) as stub:
        assert ask(http, stub.url).json == {"a": 1}
        http.close()


def test_calls_can_share_one_deadline_and_none_begins_after_it(hasty: InsurerHttp) -> None:
    with serving(say_nothing, say(200, {})) as stub, hasty.deadline():
        failure(hasty, stub.url)
        while hasty.time_left() > 0:
            time.sleep(0.01)
        assert type(failure(hasty, stub.url, "POST")) is NotSent
    assert len(stub.seen) == 1


def test_an_inner_deadline_cannot_extend_the_outer_one(hasty: InsurerHttp) -> None:
    with hasty.deadline():
        outer = hasty.time_left()
        with hasty.deadline():
            assert hasty.time_left() <= outer
    assert hasty.time_left() == HASTY.deadline
