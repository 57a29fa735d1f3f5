"""XClaim's webhooks: verified over the raw bytes, stored, answered; nothing else."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from shared.lifecycle import TaskName
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.xclaim.signature import derive_key, key_id, sign
from tests.gateway import WEBHOOK_KEYS, Gateway
from tests.recording import RecordingDatabase

EVENT = json.dumps(
    {
        "event": "claim.updated",
        "payload": {"id": "c-1", "status": {"category": "Claim Paid", "name": "Paid"}},
    }
).encode()
TOKEN = "an-Opaque_token"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


def signed(raw: bytes, master: str, *, token: str | None = None) -> dict[str, Any]:
    key = master if token is None else derive_key(master, token)
    return {"data": raw, "content_type": "application/json", "headers": {"XClaim-Signature": sign(raw, key)}}


def deliveries(database: RecordingDatabase) -> list[WebhookDelivery]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def bodies(database: RecordingDatabase) -> list[bytes]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookBody.raw)))


@pytest.mark.parametrize("number", [0, 1])
def test_every_active_key_is_accepted_on_a_claims_own_address(
    gateway: Gateway, database: RecordingDatabase, number: int
) -> None:
    answer = gateway.client.post(f"/webhooks/xclaim/{TOKEN}", **signed(EVENT, WEBHOOK_KEYS[number], token=TOKEN))

    assert (answer.status_code, answer.get_json()) == (200, {})
    (delivery,) = deliveries(database)
    assert (delivery.token, delivery.key_id) == (TOKEN, key_id(WEBHOOK_KEYS[number]))
    assert bodies(database) == [EVENT]
    assert database.published == [(TaskName.HANDLE_WEBHOOK, delivery.id)]


def test_the_bare_address_takes_the_keys_themselves(gateway: Gateway, database: RecordingDatabase) -> None:
    assert gateway.client.post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[1])).status_code == 200
    assert deliveries(database)[0].token is None


def test_a_repeat_is_answered_200_and_stored_as_a_delivery_of_the_same_body(
    gateway: Gateway, database: RecordingDatabase
) -> None:
    for _ in range(3):
        assert gateway.client.post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[0])).status_code == 200

    assert len(deliveries(database)) == 3
    assert len(bodies(database)) == 1


def test_only_harmless_headers_are_kept(gateway: Gateway, database: RecordingDatabase) -> None:
    request = signed(EVENT, WEBHOOK_KEYS[0])
    request["headers"] |= {"User-Agent": "xclaim/1", "Authorization": "Bearer secret", "Cookie": "a=b"}

    gateway.client.post("/webhooks/xclaim", **request)

    assert deliveries(database)[0].headers == {
        "user-agent": "xclaim/1",
        "content-type": "application/json",
        "content-length": str(len(EVENT)),
        "from": "127.0.0.1",
    }


@pytest.mark.parametrize("path", ["/webhooks/xclaim", f"/webhooks/xclaim/{TOKEN}"])
def test_a_wrong_or_missing_signature_is_401_and_stores_nothing(
    gateway: Gateway, database: RecordingDatabase, path: str
) -> None:
    forged = [{}, {"XClaim-Signature": "sha256=" + "0" * 64}, {"XClaim-Signature": "é,\x80"}]

    answers = [gateway.client.post(path, data=b"not json", headers=headers) for headers in forged]

    assert [(answer.status_code, answer.get_json()["type"]) for answer in answers] == [
        (401, "/problems/webhook-not-verified")
    ] * 3
    assert deliveries(database) == []


def test_a_master_key_does_not_open_a_claims_address_nor_its_key_the_bare_one(gateway: Gateway) -> None:
    with_master = signed(EVENT, WEBHOOK_KEYS[0])
    with_derived = signed(EVENT, WEBHOOK_KEYS[0], token=TOKEN)

    assert gateway.client.post(f"/webhooks/xclaim/{TOKEN}", **with_master).status_code == 401
    assert gateway.client.post("/webhooks/xclaim", **with_derived).status_code == 401
    assert gateway.client.post(f"/webhooks/xclaim/{TOKEN}x", **with_derived).status_code == 401


@pytest.mark.parametrize("token", ["t" * 65, "a.b", "a%20b", "%00", "%FF"])
def test_a_token_that_we_never_gave_out_is_401_although_signed(gateway: Gateway, token: str) -> None:
    assert (
        gateway.client.post(f"/webhooks/xclaim/{token}", **signed(EVENT, WEBHOOK_KEYS[0], token=token)).status_code
        == 401
    )


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"not json", b'{"event": "claim.updated"}', b"\xff", b"[" * 100_000]
)
def test_a_signed_body_of_the_wrong_shape_is_400_and_stores_nothing(
    gateway: Gateway, database: RecordingDatabase, raw: bytes
) -> None:
    answer = gateway.client.post("/webhooks/xclaim", **signed(raw, WEBHOOK_KEYS[0]))

    assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/webhook-not-understood")
    assert deliveries(database) == []


def test_a_body_over_256_kib_is_413_even_when_signed(gateway: Gateway, database: RecordingDatabase) -> None:
    largest = EVENT + b" " * (256 * 1024 - len(EVENT))

    assert gateway.client.post("/webhooks/xclaim", **signed(largest + b" ", WEBHOOK_KEYS[0])).status_code == 413
    assert gateway.client.post("/webhooks/xclaim", **signed(largest, WEBHOOK_KEYS[0])).status_code == 200


def test_without_keys_there_is_no_such_address(database: RecordingDatabase) -> None:
    gateway = Gateway(database, xclaim_webhook_keys="")

    assert gateway.client.post("/webhooks/xclaim", **signed(EVENT, "")).status_code == 404
    assert gateway.client.post(f"/webhooks/xclaim/{TOKEN}", **signed(EVENT, "", token=TOKEN)).status_code == 404


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(lambda v: json.dumps(v).encode()),
    signature=st.none() | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=90),
    token=st.text(min_size=1, max_size=70).filter(lambda text: "/" not in text),
    is_signed=st.booleans(),
)
def test_no_bytes_whatever_make_it_fail(
    gateway: Gateway, raw: bytes, signature: str | None, token: str, is_signed: bool
) -> None:
    from urllib.parse import quote

    headers = {} if signature is None else {"XClaim-Signature": signature}
    if is_signed:
        headers = {"XClaim-Signature": sign(raw, derive_key(WEBHOOK_KEYS[0], token))}

    answer = gateway.client.post(f"/webhooks/xclaim/{quote(token)}", data=raw, headers=headers)

    assert answer.status_code in {200, 400, 401, 404}


def test_concurrent_repeats_leave_one_body(gateway: Gateway, database: RecordingDatabase) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def deliver(_number: int) -> int:
        return gateway.app.test_client().post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[0])).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(deliver, range(16))) == {200}
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(WebhookBody)) == 1
