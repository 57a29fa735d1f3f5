"""Guessing tokens by the clock, and bodies made to exhaust the reader: on every route that takes a token or a body.

The routes are read from the app, so that one that comes later is attacked too.
"""

import hmac
import json
import re
from io import RawIOBase
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from shared.nesting import MAX_DEPTH
from tests.bulk import line
from tests.gateway import OPERATOR, OTHER, SHOP, URL, Gateway, bearer
from tests.recording import RecordingDatabase
from webhook_gateway import auth
from webhook_gateway.bodies import MAX_BATCH_BYTES, MAX_BYTES

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TAKE_NO_BODY = re.compile(r"/v1/(cancellations/[^/]+/abort|batches/[^/]+/(pause|resume|call_off)|doctor)")
"""What a POST here is sent is never read."""
CONSOLE = "/console"
"""It takes forms: test_console_door."""
XCOVER = "/webhooks/xcover"
"""Its signature is not of the body: without one nothing is read. Signed ones: test_gateway_xcover_webhooks."""


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database, xcover_webhook_keys="key:secret")


# --- guessing tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [SHOP, OTHER, OPERATOR, "unknown", SHOP[:-1], SHOP + "x", SHOP[::-1], "x", "x" * 7_000, "t\xf6ken"],
    ids=lambda given: f"{given[:12]} {len(given)}".encode("unicode_escape").decode(),
)
def test_every_known_token_is_compared_whole_whichever_one_is_sent(
    gateway: Gateway, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a clock could tell is how many tokens were compared, and how much of one: both are the same for any guess.

    `hmac.compare_digest` takes a time that depends on nothing but the length. It gets digests, whose length does not
    depend on the token's. A clock in a test would show the machine's other work instead.
    """
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(known: bytes, sent: bytes) -> bool:
        compared.append((len(known), len(sent)))
        return real(known, sent)

    monkeypatch.setattr(auth.hmac, "compare_digest", compare)

    answer = gateway.client.get(URL, headers={"Authorization": f"Bearer {given}"})

    assert answer.status_code == (200 if given in {SHOP, OTHER, OPERATOR} else 401)
    assert compared == [(32, 32)] * 3


def test_a_refused_token_is_told_nothing_that_another_is_not(gateway: Gateway) -> None:
    guesses = ["unknown", SHOP[:-1], SHOP + "x", SHOP.upper(), "x" * 7_000, f"{SHOP},{OTHER}", f"{SHOP} {OTHER}"]

    answers = [gateway.get("", token=guess) for guess in guesses]

    assert {(answer.status_code, answer.data) for answer in answers} == {(401, answers[0].data)}
    assert not [guess for guess in guesses if guess in answers[0].text]


# --- bodies made to exhaust the reader -----------------------------------------------------------------------------


def routes_that_take_a_body(gateway: Gateway) -> list[str]:
    """Return an address for each POST, filled with something that it may be sent for."""
    found = gateway.accept_previewed()
    opened = gateway.client.post(
        "/v1/batches",
        json={"name": "show.csv", "cancellations": [line(1)]},
        headers=bearer(SHOP) | {"Idempotency-Key": "batch-1"},
    )
    ids = {"cancellation_id": found, "batch_id": opened.get_json()["id"], "webhook_id": found}
    posts = [rule.rule for rule in gateway.app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    posts = [rule for rule in posts if not rule.startswith(CONSOLE)]
    assert len(posts) > 13
    paths = [re.sub(r"<(?:\w+:)?(\w+)>", lambda match: ids.get(match[1], "token"), rule) for rule in posts]
    assert XCOVER in paths
    return [path for path in paths if not TAKE_NO_BODY.fullmatch(path) and path != XCOVER]


def post(gateway: Gateway, path: str, raw: bytes, **more: Any) -> Response:
    key = {"Idempotency-Key": "another", "XClaim-Signature": "sha256=00"}
    return gateway.client.post(path, data=raw, content_type="application/json", headers=bearer(OPERATOR) | key, **more)


def limit_of(path: str) -> int:
    return MAX_BATCH_BYTES if path.startswith("/v1/batches") else MAX_BYTES


def slug(answer: Response) -> str:
    return str(json.loads(answer.data)["type"]).rpartition("/")[2]


class Endless(RawIOBase):
    """A body that never ends; knows how much of it was read."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"x" * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


def test_a_declared_body_that_is_too_large_is_refused_unread(gateway: Gateway) -> None:
    for path in routes_that_take_a_body(gateway):
        for declared in (limit_of(path) + 1, 10**15):
            body = Endless()
            answer = sent_as(gateway, path, body, CONTENT_LENGTH=str(declared))
            assert (answer.status_code, slug(answer), body.taken) == (413, "body-too-large", 0), path


def test_a_body_of_undeclared_length_is_read_no_further_than_it_may_be_long(gateway: Gateway) -> None:
    for path in routes_that_take_a_body(gateway):
        body = Endless()
        answer = sent_as(gateway, path, body, HTTP_TRANSFER_ENCODING="chunked")
        assert (answer.status_code, slug(answer)) == (413, "body-too-large"), path
        assert limit_of(path) < body.taken <= limit_of(path) + 1, path


def sent_as(gateway: Gateway, path: str, body: Endless, **declared: str) -> Response:
    environ = EnvironBuilder(
        method="POST", path=path, content_type="application/json",
        headers=bearer(OPERATOR) | {"Idempotency-Key": "another", "XClaim-Signature": "sha256=00"},
    ).get_environ()  # fmt: skip
    environ.pop("CONTENT_LENGTH", None)
    environ |= {"wsgi.input": body, "wsgi.input_terminated": True, **declared}
    return Response.from_app(gateway.app, environ, buffered=True)


def test_without_a_signature_nothing_is_read_of_a_body_that_it_does_not_sign(gateway: Gateway) -> None:
    body = Endless()

    answer = sent_as(gateway, XCOVER, body, HTTP_TRANSFER_ENCODING="chunked")

    assert (answer.status_code, body.taken) == (401, 0)


def test_what_takes_no_body_reads_none(gateway: Gateway) -> None:
    posts = [rule.rule for rule in gateway.app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    none = [rule for rule in posts if TAKE_NO_BODY.fullmatch(rule)]
    paths = [re.sub(r"<[^>]+>", gateway.accept(key=rule), rule) for rule in none]

    for path in paths:
        body = Endless()
        assert sent_as(gateway, path, body, HTTP_TRANSFER_ENCODING="chunked").status_code in {200, 202, 404}
        assert body.taken == 0, path
    assert len(paths) == 5


DEEP = MAX_DEPTH + 1
NOT_READ: dict[str, bytes] = {
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deeper than the parser goes": b"[" * 100_000,
    "deep in a member": b'{"note": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a name twice": b'{"note": "a", "note": "b"}',
    "a name twice by another spelling": b'{"note": "a", "\\u006eote": "b"}',
    "a name twice further in": b'{"a": [{"b": {"c": 1, "c": 1}}]}',
    "a number of 5000 digits": b'{"amount": ' + b"9" * 5_000 + b"}",
    "a number beyond measure": b'{"amount": 1e999999}',
    "not a number": b'{"amount": NaN}',
}


NOT_VALID: dict[str, bytes] = {
    "many names": json.dumps({f"f{number}": 1 for number in range(15_000)}).encode(),
    "a long name": b'{"%b": 1}' % (b"n" * 200_000),
    "a number of 4000 digits": b'{"amount": %b}' % (b"9" * 4_000),
    "a long text": b'{"note": "%b", "reference": "r", "name": "n"}' % (b"n" * 200_000),
    "a list of many": b'{"quotes": [1%b]}' % (b",1" * 50_000),
    "wide and deep": b'{"metadata": [1%b]}' % (b",[[[[1]]]]" * 20_000),
}


@pytest.mark.parametrize("name", [*NOT_READ, *NOT_VALID])
def test_a_body_made_to_exhaust_the_reader_is_refused_on_every_route(gateway: Gateway, name: str) -> None:
    raw = NOT_READ.get(name) or NOT_VALID[name]
    for path in routes_that_take_a_body(gateway):
        if path.startswith("/webhooks/"):
            continue  # refused for their signatures before they are parsed; signed ones: tests/hostile
        answer = post(gateway, path, raw)
        expected = "not-json" if name in NOT_READ else "invalid-request"
        assert slug(answer) == expected, (path, answer.text[:300])
        assert len(answer.data) < 64 * 1024, path


@pytest.mark.parametrize("name", NOT_READ)
def test_no_signature_is_needed_to_be_refused_nor_any_parsing_done_before_it(gateway: Gateway, name: str) -> None:
    for path in ("/webhooks/xclaim", "/webhooks/xclaim/token", "/webhooks/xcover"):
        assert slug(post(gateway, path, NOT_READ[name])) == "webhook-not-verified", path
