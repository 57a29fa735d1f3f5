"""Clients that send slowly, stop in the middle or never close keep nobody else waiting."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import httpx
import pytest

from tests.gateway import WEBHOOK_KEYS
from tests.integration.conftest import Served
from tests.integration.test_gateway_webhooks import EVENT, signed
from webhook_gateway import buffering_worker
from webhook_gateway.bodies import MAX_BYTES

MANY = 100
"""Clients: more than the gateway has threads."""
CROWD = 40
"""Clients for a gateway with room for ten."""
ROUNDS = 10
SOON = 5.0
"""Seconds: a bound on what would be for ever, or for as long as a client likes."""
HEAD = b"POST /webhooks/xclaim HTTP/1.1\r\nHost: x\r\n"

HALF_A_HEAD = b"POST /webhooks/xcl"
HALF_A_BODY = HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 500
HALF_A_CHUNK = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 500
BETWEEN_CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n"
FAR_TOO_LONG = HEAD + b"Content-Length: 99999999\r\n\r\n" + b"x" * 500
REFUSED = HEAD + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
NO_HTTP = b"\x16\x03\x01 this is no HTTP\r\n\r\n"
ONE_AND_A_HALF = HEAD + b"Content-Length: 0\r\n\r\n" + HALF_A_BODY


@pytest.fixture
def clients(gunicorn: str) -> Iterator[ExitStack]:
    """Connections that end with the test; those of an earlier one have been forgotten."""
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, url: str) -> socket.socket:
    port = httpx.URL(url).port
    assert port is not None
    return stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=60)))


def take_a_webhook(url: str) -> httpx.Response:
    request = signed(EVENT, WEBHOOK_KEYS[0])
    return httpx.post(f"{url}/webhooks/xclaim", content=request["data"], headers=request["headers"], timeout=SOON)


@pytest.mark.parametrize(
    "begun",
    [b"", HALF_A_HEAD, HALF_A_BODY, HALF_A_CHUNK, BETWEEN_CHUNKS, FAR_TOO_LONG, REFUSED, NO_HTTP, ONE_AND_A_HALF],
    ids=["nothing", "head", "body", "chunk", "between chunks", "far too long", "never closes", "no HTTP", "pipelined"],
)
def test_others_are_served_while_many_clients_do_not_end_what_they_began(
    gunicorn: str, clients: ExitStack, begun: bytes
) -> None:
    for _ in range(MANY):
        connect(clients, gunicorn).sendall(begun)

    for _ in range(5):
        assert take_a_webhook(gunicorn).status_code == 200


def test_those_who_drip_give_way_when_there_is_no_more_room(crowded: Served, clients: ExitStack) -> None:
    """Also in the very moment in which more of them has come: the process goes on, and takes a webhook."""
    before = crowded.workers()
    for _ in range(ROUNDS):
        dripping = [connect(clients, crowded.url) for _ in range(CROWD)]
        for byte in HALF_A_BODY[-20:]:
            for client in dripping:
                with suppress(OSError):  # it had to give way
                    client.send(bytes([byte]))
        assert take_a_webhook(crowded.url).status_code == 200

    assert crowded.workers() == before


def test_a_slow_sender_is_served_when_its_request_is_whole(gunicorn: str, clients: ExitStack) -> None:
    request = signed(EVENT, WEBHOOK_KEYS[0])
    head = (
        HEAD
        + f"Content-Length: {len(EVENT)}\r\nXClaim-Signature: {request['headers']['XClaim-Signature']}\r\n\r\n".encode()
    )
    client = connect(clients, gunicorn)
    whole = head + EVENT
    for start in range(0, len(whole), 40):
        client.sendall(whole[start : start + 40])
        time.sleep(0.01)

    assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_a_sender_that_asks_before_it_sends_its_body_is_told_to_go_on(gunicorn: str, clients: ExitStack) -> None:
    signature = signed(EVENT, WEBHOOK_KEYS[0])["headers"]["XClaim-Signature"]
    head = (
        HEAD + f"Content-Length: {len(EVENT)}\r\nXClaim-Signature: {signature}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    client = connect(clients, gunicorn)
    begun = time.monotonic()
    client.sendall(head)
    answer = client.makefile("rb")

    assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert time.monotonic() - begun < SOON
    client.sendall(EVENT)
    statuses = [line for line in iter(answer.readline, b"{}\n") if line.startswith(b"HTTP/1.1")]
    assert statuses[-1] == b"HTTP/1.1 200 OK\r\n"


def test_what_has_not_arrived_in_time_is_refused(gunicorn: str, clients: ExitStack) -> None:
    half, nothing = connect(clients, gunicorn), connect(clients, gunicorn)
    begun = time.monotonic()
    half.sendall(HALF_A_BODY)

    assert half.makefile("rb").readline().split()[1] == b"400"
    assert nothing.recv(1) == b""
    assert time.monotonic() - begun > buffering_worker.ARRIVE_SECONDS / 2


def test_requests_sent_ahead_are_answered_in_order(gunicorn: str, clients: ExitStack) -> None:
    client = connect(clients, gunicorn)
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    answers = client.makefile("rb").read()

    assert [line.split()[1] for line in answers.splitlines() if line.startswith(b"HTTP/1.1")] == [b"200"] * 3 + [b"404"]


def test_an_answer_is_read_although_the_body_was_not(gunicorn: str, clients: ExitStack) -> None:
    """A connection that is closed with unread bytes would be reset, and the answer lost on its way."""
    client = connect(clients, gunicorn)
    client.sendall(HEAD + b"Content-Length: 99999999\r\n\r\n" + b"x" * (2 * MAX_BYTES))

    assert client.makefile("rb").readline().split()[1] == b"413"


def test_an_unknown_transfer_coding_is_the_senders_fault(gunicorn: str, clients: ExitStack) -> None:
    client = connect(clients, gunicorn)
    client.sendall(HEAD + b"Transfer-Encoding: unheard-of\r\n\r\n")

    assert client.makefile("rb").readline().split()[1] == b"400"
