"""The doors of a deployment with two partners."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from shared.batch_models import Batch
from shared.models import Cancellation
from shared.webhook_models import WebhookDelivery
from shared.xclaim.signature import derive_key, key_id, sign
from tests.gateway import BOOKING, OPERATOR, OTHER, SHOP, WEBHOOK_KEYS, Gateway, bearer
from tests.recording import RecordingDatabase
from webhook_gateway import current

AIRLINE, MASTER = "AIRLINE", "the airline's master key"
EVENT = json.dumps({"event": "claim.updated", "payload": {"id": "c-1", "status": {"category": "Claim Paid"}}}).encode()


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    """A gateway of two partners, the second of which only the caller `shop` may name."""
    made = Gateway(database)
    with made.app.app_context():
        table = {"xclaim_webhook_keys": MASTER, "xclaim_claim_type_id": "airline-cfar"}
        current.settings().add_partner(AIRLINE, table, callers=frozenset({"shop"}))
    return made


def rows(database: RecordingDatabase, table: Any = Cancellation) -> list[Any]:
    with database.reading() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def test_a_request_that_names_a_partner_is_that_partners(gateway: Gateway, database: RecordingDatabase) -> None:
    gateway.accept(key="k-1")
    gateway.accept(key="k-2", partner=AIRLINE, claim={})

    ours, theirs = rows(database)
    assert (ours.partner, theirs.partner) == ("ABCDE", AIRLINE)
    assert theirs.request["claim"]["claim_type_id"] == "airline-cfar"
    assert "partner" not in theirs.request  # the release before this one refuses names it does not know


@pytest.mark.parametrize(("token", "partner"), [(OTHER, AIRLINE), (SHOP, "NOBODY")], ids=["not-its", "unknown"])
def test_a_partner_that_the_caller_may_not_name_is_refused(gateway: Gateway, token: str, partner: str) -> None:
    body = {"booking_id": BOOKING, "partner": partner}
    answer = gateway.post("", body, token=token, Idempotency_Key="k-1")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == ["partner"]


def test_a_request_is_told_again_after_its_partner_was_taken_away(gateway: Gateway) -> None:
    first = gateway.accept(partner=AIRLINE)
    with gateway.app.app_context():
        current.settings()._others.clear()
    again = gateway.post("", {"booking_id": BOOKING, "partner": AIRLINE}, Idempotency_Key="key-1")
    assert (again.status_code, again.get_json()["id"]) == (200, first)


def test_a_batch_is_one_partners_and_so_are_its_lines(gateway: Gateway, database: RecordingDatabase) -> None:
    lines = [line("k-1"), line("k-2", partner=AIRLINE), line("k-3", partner="ABCDE")]
    body = {"name": "show", "partner": AIRLINE, "cancellations": lines, "skip_invalid": True}
    answer = gateway.client.post("/v1/batches", json=body, headers=bearer(SHOP) | {"Idempotency-Key": "b-1"})

    assert answer.status_code == 201
    (refused,) = answer.get_json()["taken"]["refused"]
    assert refused["line"] == 3
    assert refused["problem"]["errors"] == [{"field": "partner", "problem": "is not the batch's"}]
    assert [batch.partner for batch in rows(database, Batch)] == [AIRLINE]
    assert [row.partner for row in rows(database)] == [AIRLINE, AIRLINE]


@pytest.mark.parametrize("token", [None, "an-Opaque_token"], ids=["bare-address", "own-address"])
@pytest.mark.parametrize("master", [*WEBHOOK_KEYS, MASTER], ids=["first", "second", "airline"])
def test_the_keys_of_every_partner_verify_webhooks(
    gateway: Gateway, database: RecordingDatabase, master: str, token: str | None
) -> None:
    key = master if token is None else derive_key(master, token)
    path = "/webhooks/xclaim" + ("" if token is None else f"/{token}")
    headers = {"XClaim-Signature": sign(EVENT, key)}
    answer = gateway.client.post(path, data=EVENT, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    assert [delivery.key_id for delivery in rows(database, WebhookDelivery)] == [key_id(master)]


def test_operators_see_which_partners_setting_a_key_is_in(gateway: Gateway) -> None:
    keys = gateway.client.get("/v1/webhooks/keys", headers=bearer(OPERATOR)).get_json()["items"]
    assert [(key["partner"], key["position"], key["key_id"]) for key in keys] == [
        ("ABCDE", 1, key_id(WEBHOOK_KEYS[0])),
        ("ABCDE", 2, key_id(WEBHOOK_KEYS[1])),
        (AIRLINE, 1, key_id(MASTER)),
    ]


def line(key: str, **more: str) -> dict[str, str]:
    return {"idempotency_key": key, "booking_id": BOOKING, **more}


def open_batch(gateway: Gateway, key: str, partner: str, *lines: dict[str, str]) -> Any:
    body = {"name": "show", "partner": partner, "cancellations": lines, "skip_invalid": True}
    return gateway.client.post("/v1/batches", json=body, headers=bearer(SHOP) | {"Idempotency-Key": key})


def test_the_same_line_in_another_partners_batch_is_refused_and_not_taken_for_the_first(gateway: Gateway) -> None:
    first = open_batch(gateway, "b-1", AIRLINE, line("k-1")).get_json()["taken"]
    again = open_batch(gateway, "b-2", AIRLINE, line("k-1")).get_json()["taken"]
    other = open_batch(gateway, "b-3", "ABCDE", line("k-1")).get_json()["taken"]
    assert (first["accepted"], again["repeated"], again["ids"]) == (1, 1, first["ids"])
    assert (other["accepted"], other["repeated"], other["ids"]) == (0, 0, [None])
    assert other["refused"][0]["problem"]["type"] == "/problems/idempotency-key-reused"


def test_a_single_request_is_not_answered_with_another_partners_line(gateway: Gateway) -> None:
    open_batch(gateway, "b-1", AIRLINE, line("k-1"))
    answer = gateway.post("", {"booking_id": BOOKING}, Idempotency_Key="k-1")
    assert answer.status_code == 422
    assert answer.get_json()["type"] == "/problems/idempotency-key-reused"


def test_a_batch_is_shown_again_after_its_partner_was_taken_away(gateway: Gateway) -> None:
    first = open_batch(gateway, "b-1", AIRLINE, line("k-1")).get_json()
    with gateway.app.app_context():
        current.settings()._others.clear()
    again = open_batch(gateway, "b-1", AIRLINE, line("k-1"))
    assert (again.status_code, again.get_json()["id"]) == (200, first["id"])
    assert again.get_json()["taken"]["repeated"] == 1
