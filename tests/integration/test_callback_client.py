"""The client of callback endpoints over real sockets: what leaves, to whom, and what becomes of each answer."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.broker import TASK_SOFT_LIMIT
from shared.callback_answers import Told
from shared.callback_endpoint import MAX_ANSWER, TIMEOUTS, CallbackClient
from shared.callbacks import LEASE
from tests.integration.test_insurer_transport import Turn, hang_up, say, serving

SECRET = "whsec_c2VjcmV0X29mX2NhbGxiYWNrc19vZl90aGVfc2hvcA=="
PAYLOAD: dict[str, Any] = {
    "type": "cancellation.completed",
    "timestamp": "2025-04-08T12:00:00.000000Z",
    "data": {"note": "grüße"},
}
PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.1"


@pytest.fixture
def client() -> Iterator[CallbackClient]:
    made = CallbackClient(allows_loopback=True)
    yield made
    made.close()


def post(client: CallbackClient, url: str) -> Told:
    return client.post(url, PAYLOAD, message_id="message-1", secrets=[SECRET])


def told(client: CallbackClient, turn: Turn) -> Told:
    with serving(turn) as stub:
        return post(client, stub.url)


def test_what_leaves_is_signed_and_a_repeat_is_the_same_bytes(client: CallbackClient) -> None:
    with serving(say(503), say(200)) as stub:
        post(client, stub.url)
        post(client, stub.url)

    first, second = stub.seen
    assert first.method == "POST"
    assert first.body == second.body
    assert Webhook(SECRET).verify(first.body, dict(first.headers)) == PAYLOAD
    assert first.headers["webhook-id"] == "message-1"
    assert first.headers["webhook-signature"].startswith("v1,")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(first.body + b" ", dict(first.headers))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_means_that_it_was_taken(client: CallbackClient, status: int) -> None:
    answer = told(client, say(status, raw=b"", Content_Length="" if status == 204 else "0"))
    assert (answer.is_taken, answer.is_gone, answer.status, answer.error) == (True, False, status, None)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 409, 410, 429, 500, 503])
def test_anything_else_does_not(client: CallbackClient, status: int) -> None:
    answer = told(client, say(status, {}))
    assert (answer.is_taken, answer.is_gone, answer.status) == (False, status == 410, status)
    assert answer.error == f"answered {status}"


def test_a_redirect_is_never_followed(client: CallbackClient) -> None:
    with serving(say(200)) as inside, serving(say(307, Location=inside.url)) as stub:
        assert post(client, stub.url).status == 307
    assert inside.seen == []


def test_it_is_told_how_long_to_wait(client: CallbackClient) -> None:
    assert told(client, say(429, Retry_After="90")).retry_after == 90


def test_a_long_answer_is_read_up_to_a_limit_and_thrown_away(client: CallbackClient) -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (MAX_ANSWER + 1)
    assert told(client, endless).is_taken


def test_a_connection_that_ends_without_an_answer_is_a_failure(client: CallbackClient) -> None:
    answer = told(client, hang_up)
    assert (answer.status, answer.was_tried) == (None, True)
    assert "RemoteProtocolError" in str(answer.error)


def test_an_address_that_may_not_be_sent_to_is_no_failure_of_the_endpoint() -> None:
    strict = CallbackClient()
    with serving(say(200)) as stub:
        answer = post(strict, stub.url)
    strict.close()
    assert stub.connections == 0
    assert (answer.status, answer.was_tried) == (None, False)


def test_one_try_ends_before_its_lease_and_its_task() -> None:
    assert TIMEOUTS.deadline < LEASE < TASK_SOFT_LIMIT


class _Network:
    """Names lead to one address after the other; every connection ends up at a listener of ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> None:
        self.looked_up: list[str] = []
        self.connected_to: list[tuple[str, int]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._answers = list(answers)
        connect, port = socket.create_connection, self.listener.getsockname()[1]

        def getaddrinfo(host: str, port: int, **_how: Any) -> list[Any]:
            self.looked_up.append(host)
            found = self._answers.pop(0) if self._answers else [PRIVATE]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        def create_connection(address: tuple[str, int], *more: Any, **named: Any) -> socket.socket:
            self.connected_to.append(address)
            monkeypatch.setattr(socket, "getaddrinfo", real)
            made = connect(("127.0.0.1", port), *more, **named)
            monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
            return made

        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", create_connection)

    @contextmanager
    def greeted(self) -> Iterator[list[bytes]]:
        """Keep how each connection begins, and end it."""
        kept: list[bytes] = []

        def take() -> None:
            connection, _ = self.listener.accept()
            with connection:
                kept.append(connection.recv(4096))

        taking = threading.Thread(target=take)
        taking.start()
        with self.listener:
            yield kept
            taking.join()


@pytest.fixture
def strict() -> Iterator[CallbackClient]:
    made = CallbackClient()
    yield made
    made.close()


def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_found(
    strict: CallbackClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _Network(monkeypatch, [PUBLIC], [PRIVATE])
    network.listener.close()  # whatever is connected to refuses: no second address, and no second look-up, follows

    answer = post(strict, "https://hooks.example.com/cfar")

    assert network.looked_up == ["hooks.example.com"]
    assert network.connected_to == [(PUBLIC, 443)]
    assert "ConnectError" in str(answer.error)


def test_its_certificate_is_asked_for_by_name(strict: CallbackClient, monkeypatch: pytest.MonkeyPatch) -> None:
    network = _Network(monkeypatch, [PUBLIC])
    with network.greeted() as greetings:
        answer = post(strict, "https://hooks.example.com/cfar")

    (greeting,) = greetings
    assert b"hooks.example.com" in greeting
    assert PAYLOAD["type"].encode() not in greeting
    assert answer.status is None
    context = strict._http._client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("found", [[PRIVATE], [PUBLIC, PRIVATE], ["127.0.0.1"]], ids=["inside", "mixed", "here"])
def test_a_name_that_leads_inside_is_never_connected_to(
    strict: CallbackClient, monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    network = _Network(monkeypatch, found)
    network.listener.close()

    answer = post(strict, "https://hooks.example.com/cfar")

    assert network.connected_to == []
    assert str(answer.error).endswith("its host leads to an address that is not public")
