"""What belongs to another caller: on every route, answered exactly as what does not exist.

The routes are read from the app: one that comes later is asked too, and fails here until it is told what to send.
"""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from shared.models import Cancellation
from tests.bulk import line
from tests.gateway import BOOKING, OPERATOR, OTHER, SHOP, URL, WEBHOOK_KEYS, Gateway, bearer
from tests.integration.test_gateway_webhooks import EVENT, signed
from tests.recording import RecordingDatabase

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REPORT = {"amount": "22.40", "currency": "EUR", "reference": "re_123"}
BODIES: dict[str, Any] = {
    "/v1/cancellations/<uuid:cancellation_id>/refund": REPORT,
    "/v1/cancellations/<uuid:cancellation_id>/resolve": {"resolution": "close", "note": "by a test"},
    "/v1/batches/<uuid:batch_id>/cancellations": {"cancellations": [line(9)]},
}
"""What a route wants to be sent; the others want nothing, or take an empty object."""
CALLBACKS = {"callback_urls": "shop=https://shop.example/told", "callback_secrets": "shop:whsec_" + "c2VjcmV0" * 4}


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database, **CALLBACKS)


@pytest.fixture
def ids(gateway: Gateway) -> dict[str, str]:
    """One of each thing that has an id, none of them the other caller's."""
    found = gateway.accept_previewed(callback_url="https://shop.example/told")
    body = {"name": "show.csv", "cancellations": [line(1)]}
    batch = gateway.client.post("/v1/batches", json=body, headers=bearer(SHOP) | {"Idempotency-Key": "batch-1"})
    assert gateway.client.post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[0])).status_code == 200
    (webhook,) = gateway.client.get("/v1/webhooks", headers=bearer(OPERATOR)).get_json()["items"]
    return {"cancellation_id": found, "batch_id": batch.get_json()["id"], "webhook_id": webhook["id"]}


def routes_with_an_id(gateway: Gateway) -> list[tuple[str, str]]:
    return [
        (method, rule.rule)
        for rule in gateway.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
        if rule.rule.startswith("/v1/") and rule.arguments
    ]


def ask(gateway: Gateway, method: str, rule: str, found: str, *, token: str) -> TestResponse:
    path = re.sub(r"<[^>]+>", found, rule)
    body = BODIES.get(rule, {}) if method == "POST" else None
    return gateway.client.open(path, method=method, json=body, headers=bearer(token))


def told(answer: TestResponse, asked: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return an answer whole, but for the id that was asked for."""
    own = {"X-Request-ID"}  # drawn anew for each request
    headers = sorted(header for header in answer.headers if header[0] not in own)
    return answer.status_code, answer.data.replace(asked.encode(), b"ID"), headers


def state(gateway: Gateway, ids: dict[str, str]) -> list[Any]:
    found, batch = ids["cancellation_id"], ids["batch_id"]
    paths = [f"{URL}/{found}", f"{URL}/{found}/events", f"{URL}/{found}/callbacks", f"/v1/batches/{batch}"]
    return [gateway.client.get(path, headers=bearer(SHOP)).get_json() for path in paths]


def test_no_route_tells_what_is_anothers_from_what_does_not_exist(gateway: Gateway, ids: dict[str, str]) -> None:
    before, routes = state(gateway, ids), routes_with_an_id(gateway)
    statuses: dict[str, set[int]] = {}

    for method, rule in routes:
        (argument,) = re.findall(r"<uuid:(\w+)>", rule)
        unknown = str(uuid4())
        foreign = told(ask(gateway, method, rule, ids[argument], token=OTHER), ids[argument])
        assert foreign == told(ask(gateway, method, rule, unknown, token=OTHER), unknown), (method, rule)
        statuses.setdefault(rule, set()).add(foreign[0])

    operators_only = {rule for rule, found in statuses.items() if found == {403}}
    assert {rule: found for rule, found in statuses.items() if found not in ({404}, {403})} == {}
    assert {rule.rpartition("/")[2] for rule in operators_only} == {"retry", "resolve", "<uuid:webhook_id>", "replay"}
    assert not any(rule.startswith("/v1/batches") for rule in operators_only)
    assert len(routes) > 15
    assert state(gateway, ids) == before


def test_each_of_these_routes_answers_the_owner_or_an_operator_otherwise(gateway: Gateway, ids: dict[str, str]) -> None:
    """Were a body refused before its id is looked at, the test above would compare nothing."""
    for method, rule in routes_with_an_id(gateway):
        (argument,) = re.findall(r"<uuid:(\w+)>", rule)
        answer = ask(gateway, method, rule, ids[argument], token=OPERATOR)
        assert answer.status_code in {200, 409}, (method, rule, answer.text)


@pytest.mark.parametrize("given", ["batch_id", "idempotency_key", "booking_id", "cursor"])
def test_no_filter_finds_what_is_anothers(gateway: Gateway, ids: dict[str, str], given: str) -> None:
    gateway.accept(key="own", token=OTHER, booking_id="OWN-INS")
    known = {"batch_id": ids["batch_id"], "idempotency_key": "key-1", "booking_id": BOOKING}
    unknown = {"batch_id": str(uuid4()), "idempotency_key": "nothing", "booking_id": "NOTHING-INS"}
    if given == "cursor":
        newest = gateway.get("?limit=1").get_json()["next_cursor"]
        assert gateway.get(f"?cursor={newest}", token=OTHER).get_json()["items"] == []
        return

    foreign, nothing = (gateway.get(f"?{given}={ids[given]}", token=OTHER) for ids in (known, unknown))

    assert (foreign.status_code, foreign.data) == (200, nothing.data)
    assert gateway.get(f"?{given}={known[given]}").get_json()["items"] != []


def test_a_callback_of_another_caller_is_not_there_to_be_replayed(gateway: Gateway, ids: dict[str, str]) -> None:
    found = ids["cancellation_id"]
    gateway.post(f"/{found}/abort")
    (callback, *_) = gateway.get(f"/{found}/callbacks").get_json()["items"]
    own, unknown = gateway.accept(key="own", token=OTHER), str(uuid4())

    foreign, nothing = (
        told(gateway.post(f"/{own}/callbacks/replay", {"id": asked}, token=OTHER), asked)
        for asked in (callback["id"], unknown)
    )

    assert foreign == nothing
    assert foreign[0] == 404


def test_the_same_key_of_another_caller_is_free(gateway: Gateway, ids: dict[str, str]) -> None:
    mine = gateway.row(ids["cancellation_id"])

    theirs = gateway.accept(key=mine.idempotency_key, token=OTHER, booking_id="THEIRS-INS")

    with gateway.database.reading() as session:
        row = session.get_one(Cancellation, UUID(theirs))
    assert (row.caller, row.id != mine.id) == ("other", True)
