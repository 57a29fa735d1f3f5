"""XClaim's tokens against a scripted server: asked for once, kept, renewed, given up."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from shared.insurer.errors import InsurerError, Misdirected, NotAllowed, NotSent, Throttled, Unavailable
from shared.insurer.transport import InsurerHttp
from shared.xclaim.auth import UNDATED_LIFETIME, ExchangedToken, StaticToken
from shared.xclaim.client import XClaimClient
from tests.integration.test_insurer_transport import NOON, Stub, Turn, hang_up, say, serving
from tests.servers import free_port

ELIGIBLE = say(200, {"isCustomerEligible": True})
REFUSED = say(401, {"message": "Failed to authenticate because of bad credentials."})
FORTNIGHT = timedelta(days=14)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def http() -> Iterator[InsurerHttp]:
    client = InsurerHttp()
    yield client
    client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def jwt(name: str, payload: object = None, *, life: timedelta = FORTNIGHT) -> str:
    claims = {"exp": int((NOON + life).timestamp()), "name": name} if payload is None else payload
    middle = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzUxMiJ9.{middle}.{name}"


def issued(token: str) -> bytes:
    return say(200, {"data": {"jwt": token}})


def a_source(stub_url: str, http: InsurerHttp, clock: Clock) -> ExchangedToken:
    return ExchangedToken(base_url=stub_url, api_key="api-key", password="hunter2", http=http, clock=clock)


def a_client(stub: Stub, http: InsurerHttp, clock: Clock) -> XClaimClient:
    tokens = a_source(stub.url, http, clock)
    return XClaimClient(base_url=stub.url, partner_code="ABCDE", tokens=tokens, http=http)


def test_a_token_is_exchanged_for_the_key_and_its_password(http: InsurerHttp, clock: Clock) -> None:
    with serving(issued(jwt("first"))) as stub:
        assert a_source(stub.url, http, clock).token() == jwt("first")
    seen = stub.seen[0]
    assert (seen.method, seen.target) == ("GET", "/x/auth/jwt/token/programmatic-access")
    scheme, _, basic = seen.headers["authorization"].partition(" ")
    assert (scheme, b64decode(basic)) == ("Basic", b"api-key:hunter2")


def test_a_token_is_kept_until_ten_minutes_before_it_expires(http: InsurerHttp, clock: Clock) -> None:
    with serving(issued(jwt("first")), issued(jwt("second"))) as stub:
        source = a_source(stub.url, http, clock)
        source.token()
        clock.now = NOON + FORTNIGHT - timedelta(minutes=11)
        assert source.token() == jwt("first")
        clock.now = NOON + FORTNIGHT - timedelta(minutes=10)
        assert source.token() == jwt("second")
    assert len(stub.seen) == 2


def test_a_short_lived_token_is_kept_for_half_its_life(http: InsurerHttp, clock: Clock) -> None:
    with serving(issued(jwt("first", life=timedelta(minutes=8))), issued(jwt("second"))) as stub:
        source = a_source(stub.url, http, clock)
        source.token()
        clock.now = NOON + timedelta(minutes=3)
        assert source.token() == jwt("first", life=timedelta(minutes=8))
        clock.now = NOON + timedelta(minutes=4)
        assert source.token() == jwt("second")


def test_the_life_of_a_token_is_measured_on_the_insurers_clock(http: InsurerHttp, clock: Clock) -> None:
    clock.now = NOON + timedelta(days=20)  # ours is far ahead: by it, the token has already expired
    with serving(issued(jwt("first"))) as stub:
        source = a_source(stub.url, http, clock)
        assert source.token() == source.token()
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b.c", "a.!!.c", jwt("x", []), jwt("x", {}), jwt("x", {"exp": "soon"}), jwt("x", {"exp": 1e300})],
)
def test_a_token_that_does_not_say_when_it_expires_is_kept_for_an_hour(
    http: InsurerHttp, clock: Clock, token: str
) -> None:
    with serving(issued(token), issued(jwt("second"))) as stub:
        source = a_source(stub.url, http, clock)
        source.token()
        clock.now = NOON + UNDATED_LIFETIME - timedelta(seconds=1)
        assert source.token() == token
        clock.now = NOON + UNDATED_LIFETIME
        assert source.token() == jwt("second")


def test_many_threads_ask_once(clock: Clock) -> None:
    http = InsurerHttp()

    def slowly(connection: object) -> None:
        time.sleep(0.2)
        connection.sendall(issued(jwt("first")))  # type: ignore[attr-defined]

    with serving(slowly) as stub:
        source = a_source(stub.url, http, clock)
        tokens: list[str] = []
        threads = [threading.Thread(target=lambda: tokens.append(source.token())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    http.close()
    assert tokens == [jwt("first")] * 8
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    "refusal", [REFUSED, say(403, {"message": "Failed to authenticate because of bad credentials."})]
)
def test_a_refused_token_is_renewed_once_and_the_call_repeated(http: InsurerHttp, clock: Clock, refusal: bytes) -> None:
    with serving(issued(jwt("first")), refusal, issued(jwt("second")), ELIGIBLE) as stub:
        assert a_client(stub, http, clock).eligibility("b", "q").value.is_eligible
    assert stub.seen[1].headers["authorization"] == f"Bearer {jwt('first')}"
    assert stub.seen[3].headers["authorization"] == f"Bearer {jwt('second')}"
    assert stub.seen[1].body == stub.seen[3].body


def test_a_second_refusal_is_final(http: InsurerHttp, clock: Clock) -> None:
    with serving(issued(jwt("first")), REFUSED, issued(jwt("second")), REFUSED) as stub, pytest.raises(NotAllowed):
        a_client(stub, http, clock).eligibility("b", "q")
    assert len(stub.seen) == 4


def test_a_forbidden_request_costs_no_new_token(http: InsurerHttp, clock: Clock) -> None:
    with (
        serving(issued(jwt("first")), say(403, {"message": "This action is unauthorized."})) as stub,
        pytest.raises(NotAllowed),
    ):
        a_client(stub, http, clock).eligibility("b", "q")
    assert len(stub.seen) == 2


def test_a_token_that_another_thread_has_replaced_is_not_thrown_away(http: InsurerHttp, clock: Clock) -> None:
    with serving(issued(jwt("first"))) as stub:
        source = a_source(stub.url, http, clock)
        source.token()
        assert source.invalidate("an older one")
        assert source.token() == jwt("first")
    assert len(stub.seen) == 1


def test_a_static_token_that_is_refused_is_not_tried_again(http: InsurerHttp) -> None:
    with serving(REFUSED) as stub:
        client = XClaimClient(base_url=stub.url, partner_code="P", tokens=StaticToken("given"), http=http)
        with pytest.raises(NotAllowed):
            client.eligibility("b", "q")
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (REFUSED, NotAllowed),
        (say(403, {}), NotAllowed),
        (say(422, {}), NotAllowed),
        (say(404, {}), Misdirected),
        (say(301, {}), Misdirected),
        (say(429, {}), Throttled),
        (say(500, {}), Unavailable),
        (hang_up, Unavailable),
        (say(200, {}), Unavailable),
        (say(200, {"data": {"jwt": ""}}), Unavailable),
        (say(200, {"data": {"jwt": "a\nb"}}), Unavailable),
        (say(200, raw=b"<html>"), Unavailable),
    ],
)
def test_without_a_token_a_claim_is_not_begun(
    http: InsurerHttp, clock: Clock, turn: Turn, kind: type[InsurerError]
) -> None:
    body = {"bookingReference": "b", "quoteReference": "q"}
    with serving(turn) as stub, pytest.raises(InsurerError) as raised:
        a_client(stub, http, clock).create_claim(body, idempotency_key="k")
    assert type(raised.value) is kind
    assert [seen.method for seen in stub.seen] == ["GET"]
    assert "hunter2" not in str(raised.value) + repr(raised.value) + json.dumps(raised.value.evidence)


def test_without_a_connection_nothing_was_sent(http: InsurerHttp, clock: Clock) -> None:
    with pytest.raises(NotSent):
        a_source(f"http://127.0.0.1:{free_port()}/", http, clock).token()


@pytest.mark.parametrize("token", ["", "a b", "a\n", "é", "\x00"])
def test_a_static_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="usable token"):
        StaticToken(token)


def test_token_sources_show_no_secret(http: InsurerHttp, clock: Clock) -> None:
    shown = repr(StaticToken("hunter2")) + repr(a_source("https://x.test", http, clock))
    assert "hunter2" not in shown
    assert "api-key" not in shown
