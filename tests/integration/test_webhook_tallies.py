"""Webhooks are counted by what became of them, and of those that nobody signed nothing else is kept."""

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from shared.db import Database
from shared.webhook_models import WebhookDelivery, WebhookTally
from shared.xclaim.signature import key_id
from tests.gateway import WEBHOOK_KEYS, Gateway
from tests.integration.test_gateway_webhooks import EVENT, TOKEN, signed
from tests.recording import RecordingDatabase
from webhook_gateway import current
from webhook_gateway.tally import SAMPLE_BYTES, Tally

FIRST, SECOND = map(key_id, WEBHOOK_KEYS)
ADDRESS = f"/webhooks/xclaim/{TOKEN}"
NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:9/nowhere"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


def write(gateway: Gateway) -> None:
    with gateway.app.app_context():
        current.tally().write()


def tallies(database: RecordingDatabase) -> dict[tuple[str, str, str], int]:
    with database.reading() as session:
        found = session.scalars(select(WebhookTally)).all()
    return {(one.source, one.verdict, one.key_id): one.count for one in found}


def test_each_webhook_is_counted_by_what_became_of_it_and_by_its_key(
    gateway: Gateway, database: RecordingDatabase
) -> None:
    other = EVENT.replace(b"c-1", b"c-2")
    for raw, key in ((EVENT, 0), (EVENT, 0), (other, 1), (b"[]", 0)):
        gateway.client.post(ADDRESS, **signed(raw, WEBHOOK_KEYS[key], token=TOKEN))
    gateway.client.post(ADDRESS, **signed(EVENT, "nobody's key", token=TOKEN))
    gateway.client.post("/webhooks/xclaim/no.token", data=EVENT)
    gateway.client.post(ADDRESS, data=b"x" * 300_000)
    write(gateway)

    assert tallies(database) == {
        ("xclaim", "stored", FIRST): 1,
        ("xclaim", "repeat", FIRST): 1,
        ("xclaim", "stored", SECOND): 1,
        ("xclaim", "not_understood", FIRST): 1,
        ("xclaim", "not_verified", ""): 2,
        ("xclaim", "too_large", ""): 1,
    }


def test_counts_of_one_hour_are_added_up(gateway: Gateway, database: RecordingDatabase) -> None:
    for times in (3, 4):
        for _ in range(times):
            gateway.client.post(ADDRESS, data=EVENT)
        write(gateway)
    write(gateway)

    assert tallies(database) == {("xclaim", "not_verified", ""): 7}


def test_of_unverified_requests_one_sample_is_kept_without_its_body_or_its_secrets(
    gateway: Gateway, database: RecordingDatabase
) -> None:
    headers = {
        "XClaim-Signature": "sha256=secret-signature",
        "Authorization": "Bearer secret",
        "User-Agent": "a" * 5_000,
    }
    with capture_logs() as logs:
        for _ in range(20):
            gateway.client.post(ADDRESS, data=b"secret body", headers=headers)
    write(gateway)

    with database.reading() as session:
        (row,) = session.scalars(select(WebhookTally)).all()
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    assert row.count == 20
    assert row.sample is not None
    assert row.sample["why"] == "no key matches"
    assert "secret" not in str(row.sample)
    assert sum(map(len, row.sample.values())) <= SAMPLE_BYTES
    assert [line["event"] for line in logs] == ["webhook_refused"]


@pytest.mark.parametrize(("hops", "expected"), [(0, "127.0.0.1"), (1, "203.0.113.9"), (2, "198.51.100.7")])
def test_a_senders_address_is_read_from_as_many_proxies_as_there_are(
    database: RecordingDatabase, hops: int, expected: str
) -> None:
    gateway = Gateway(database, proxy_hops=hops)
    gateway.client.post(ADDRESS, data=EVENT, headers={"X-Forwarded-For": "10.0.0.1, 198.51.100.7, 203.0.113.9"})
    write(gateway)

    with database.reading() as session:
        (row,) = session.scalars(select(WebhookTally)).all()
    assert row.sample is not None
    assert row.sample["from"] == expected


def test_counts_are_kept_while_the_database_is_away(database: RecordingDatabase) -> None:
    away = Database(NOWHERE, publish=lambda _messages: None)
    tally = Tally(away)
    tally.count(source="xclaim", verdict="not_verified", sample={"why": "first"})
    tally.write()
    tally.count(source="xclaim", verdict="not_verified", sample={"why": "second"})
    tally._database = database
    tally.write()
    away.close()

    assert tallies(database) == {("xclaim", "not_verified", ""): 2}


def test_counts_are_written_by_themselves_and_the_thread_ends_when_there_are_none(database: RecordingDatabase) -> None:
    tally = Tally(database, write_every=0.05)
    for _ in range(2):
        tally.count(source="xclaim", verdict="stored", key_id=FIRST)
        thread = tally._thread
        assert thread is not None
        thread.join(30)
        assert tally._thread is None

    assert tallies(database) == {("xclaim", "stored", FIRST): 2}
