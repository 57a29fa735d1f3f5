"""What senders of webhooks count on, and where receivers fall short: one test for each rule, over HTTP.

That order is nobody's promise, and that webhooks get lost, is tests/e2e's (test_claim_webhooks, test_missed_webhooks).
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text

from shared.db import Database
from shared.webhook_models import WebhookBody, WebhookDelivery
from tests.doors import HTTP
from tests.gateway import BOOKING, WEBHOOK_KEYS, Gateway
from tests.integration import test_gateway_xcover_webhooks as xcover
from tests.integration.test_gateway_server import served
from tests.integration.test_gateway_webhooks import EVENT, TOKEN, signed
from tests.recording import RecordingDatabase

XCLAIM, XCOVER = "/webhooks/xclaim", "/webhooks/xcover"
Check = Callable[[str, RecordingDatabase], None]
RULES: list[Any] = []


def rule(name: str) -> Callable[[Check], Check]:
    """Add a rule to the list."""

    def add(check: Check) -> Check:
        RULES.append(pytest.param(check, id=name))
        return check

    return add


def post(url: str, path: str, request: dict[str, Any], **headers: str) -> httpx.Response:
    named = {"Content-Type": "application/json", **request.get("headers", {})}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = {name.encode(): value.encode("latin-1") for name, value in named.items()}
    return HTTP.post(url + path, content=request["data"], headers=encoded)


def count(database: RecordingDatabase, table: type[WebhookBody | WebhookDelivery]) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@rule("standard webhooks: a duplicate is 2xx")
def _duplicate(url: str, database: RecordingDatabase) -> None:
    answers = [post(url, XCLAIM, signed(EVENT, WEBHOOK_KEYS[0])).status_code for _ in range(3)]
    answers += [post(url, XCOVER, xcover.signed()).status_code for _ in range(2)]

    assert answers == [200] * 5
    assert count(database, WebhookBody) == 2


@rule("ours: a body is recognised for ever, not for the minutes that the schedule of retries outlives")
def _recognised_for_ever(url: str, database: RecordingDatabase) -> None:
    post(url, XCLAIM, signed(EVENT, WEBHOOK_KEYS[0]))
    with database.transaction() as tx:
        tx.session.execute(text("UPDATE webhook_bodies SET received_at = received_at - interval '20 years'"))

    assert post(url, XCLAIM, signed(EVENT, WEBHOOK_KEYS[0])).status_code == 200
    assert (count(database, WebhookBody), count(database, WebhookDelivery)) == (1, 2)


@rule("standard webhooks: never 410, which makes a sender stop, and never a redirect")
def _never_gone(url: str, _database: RecordingDatabase) -> None:
    unsigned = {"data": EVENT}
    paths = [XCLAIM, f"{XCLAIM}/", f"{XCLAIM}/{TOKEN}", f"{XCLAIM}/{TOKEN}/", f"{XCLAIM}//{TOKEN}", "/webhooks/other"]
    paths += [XCOVER, f"{XCOVER}/", "//webhooks/xclaim", "/webhooks/xclaim/../xclaim", "/WEBHOOKS/XCLAIM"]
    asked = [post(url, path, request) for path in paths for request in (unsigned, signed(EVENT, WEBHOOK_KEYS[0]))]
    asked += [HTTP.get(url + path) for path in paths]

    statuses = {answer.status_code for answer in asked}
    assert statuses <= {200, 401, 404, 405}, statuses


@rule("standard webhooks: 503 with Retry-After while the database is down")
def _database_down(_url: str, _database: RecordingDatabase) -> None:
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing", publish=lambda _messages: None)
    with served(Gateway(away, xcover_webhook_keys=xcover.KEYS)) as url:
        answers = [post(url, XCLAIM, signed(EVENT, WEBHOOK_KEYS[0])), post(url, XCOVER, xcover.signed())]
        refused = post(url, XCLAIM, signed(EVENT, "another key"))
    away.close()

    assert [answer.status_code for answer in answers] == [503, 503]
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in answers)
    assert refused.status_code == 401


@rule("ours: the raw bytes are verified before they are read")
def _raw_bytes_first(url: str, database: RecordingDatabase) -> None:
    same_meaning = json.dumps(json.loads(EVENT), indent=1).encode()
    signature = signed(EVENT, WEBHOOK_KEYS[0])["headers"]
    no_json = b"\xff not json"

    assert post(url, XCLAIM, {"data": same_meaning, "headers": signature}).status_code == 401
    assert post(url, XCLAIM, {"data": no_json, "headers": signature}).status_code == 401
    assert post(url, XCLAIM, signed(no_json, WEBHOOK_KEYS[0])).status_code == 400
    assert count(database, WebhookBody) == 0


@rule("ours: every malformed signature is 401, where the reference verifier raises")
def _malformed(url: str, database: RecordingDatabase) -> None:
    hostile = [
        "",
        "v1",
        "v1,abc",
        "v1,a,b",
        "sha256",
        "sha256=",
        "sha256=zz",
        "=" * 500,
        "\xe9\xff",
        "sha256=\xff" * 20,
    ]

    answers = [post(url, XCLAIM, {"data": EVENT}, XClaim_Signature=one).status_code for one in hostile]
    answers += [post(url, XCOVER, {"data": EVENT}, Authorization=one).status_code for one in hostile]

    assert answers == [401] * 20
    assert count(database, WebhookBody) == 0


@rule("dj-stripe's mistake: no header of the request names the secret")
def _no_secret_from_the_request(url: str, _database: RecordingDatabase) -> None:
    with_their_own = signed(EVENT, "attacker")

    for name in ("X-DjStripe-Webhook-Secret", "X-Webhook-Secret", "XClaim-Key", "X-Api-Key"):
        assert post(url, XCLAIM, with_their_own, **{name: "attacker"}).status_code == 401


@rule("dj-stripe's mistake: the leftmost X-Forwarded-For is anybody's")
def _no_forged_sender(url: str, database: RecordingDatabase) -> None:
    post(url, XCLAIM, signed(EVENT, WEBHOOK_KEYS[0]), X_Forwarded_For="203.0.113.7")

    with database.reading() as session:
        (delivery,) = session.scalars(select(WebhookDelivery))
    assert delivery.headers["from"] == "127.0.0.1"


@rule("dj-stripe's mistake: an event is stored and answered, and handled by a worker")
def _not_handled_inside(url: str, database: RecordingDatabase) -> None:
    post(url, XCLAIM, signed(EVENT, WEBHOOK_KEYS[0]))

    with database.reading() as session:
        (delivery,) = session.scalars(select(WebhookDelivery))
    assert (delivery.handled_at, delivery.next_attempt_at is not None) == (None, True)
    assert [row_id for _, row_id in database.published] == [delivery.id]


@rule("standard webhooks: a timestamp is checked in both directions, where one is signed")
def _both_directions(url: str, _database: RecordingDatabase) -> None:
    ages = {-360.0: 401, -240.0: 200, 240.0: 200, 360.0: 401}

    assert {age: post(url, XCOVER, xcover.signed(age=age)).status_code for age in ages} == ages


@rule("ours: while keys change, the old and the new one verify")
def _several_keys(url: str, _database: RecordingDatabase) -> None:
    xclaim = [post(url, f"{XCLAIM}/{TOKEN}", signed(EVENT, key, token=TOKEN)).status_code for key in WEBHOOK_KEYS]
    pairs = [pair.split(":") for pair in xcover.KEYS.split(",")]

    assert xclaim == [200, 200]
    for name, secret in pairs:
        assert post(url, XCOVER, xcover.signed(name=name, secret=secret)).status_code == 200


@pytest.fixture(scope="module")
def gateway(postgresql_database: RecordingDatabase) -> Gateway:
    return Gateway(postgresql_database, xcover_webhook_keys=xcover.KEYS)


@pytest.fixture(scope="module")
def address(gateway: Gateway) -> Iterator[str]:
    with served(gateway) as found:
        yield found


@pytest.fixture
def url(address: str, gateway: Gateway, database: RecordingDatabase) -> Iterator[str]:
    """The gateway's address; it holds a cancellation, since XCover's hints are kept for bookings that we know."""
    gateway.accept(booking_id=BOOKING)
    database.published.clear()
    yield address
    xcover.write_counts(gateway)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("check", RULES)
def test_rule(check: Check, url: str, database: RecordingDatabase) -> None:
    check(url, database)
