"""XCover's webhooks at the door: verified over their Date, kept once for a booking of ours, always answered 200."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import select

from shared import booking_hints, webhook_events
from shared.clock import travel
from shared.db import Database
from shared.lifecycle import TaskName
from shared.setting_values import WebhookKey
from shared.webhook_models import BookingReading, WebhookBody, WebhookDelivery, WebhookTally
from shared.xcover.webhooks import key_id
from tests.gateway import BOOKING, Gateway, web_settings
from tests.recording import RecordingDatabase
from tests.simulator import signatures
from webhook_gateway import current
from webhook_gateway.app import create_app
from webhook_gateway.doorbell import Doorbell

PATH = "/webhooks/xcover"
NAME, SECRET = "our-listener", "webhook_secret"
KEYS = f"older:older_secret,{NAME}:{SECRET}"
KEY_ID = key_id(WebhookKey(key=SecretStr(NAME), secret=SecretStr(SECRET)))
CUSTOMER = "benedikta@example.com"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Iterator[Gateway]:
    made = Gateway(database, xcover_webhook_keys=KEYS)
    yield made
    write_counts(made)


@pytest.fixture
def known(gateway: Gateway, database: RecordingDatabase) -> str:
    """A booking with a cancellation of ours."""
    gateway.accept()
    database.published.clear()
    return BOOKING


def event(booking_id: str = BOOKING, name: str = "BOOKING_CANCELLED", **payload: Any) -> bytes:
    return json.dumps({"event": name, "payload": {"id": booking_id, "status": "CANCELLED", **payload}}).encode()


def dated(age: float = 0.0) -> str:
    return format_datetime(datetime.now(UTC) - timedelta(seconds=age), usegmt=True)


def signed(raw: bytes = b"", *, age: float = 0.0, name: str = NAME, secret: str = SECRET) -> dict[str, Any]:
    date = dated(age)
    headers = {"Date": date, "X-Api-Key": name, "Authorization": signatures.authorization(name, secret, date)}
    return {"data": raw or event(), "content_type": "application/json", "headers": headers}


def rows(database: Database, table: Any) -> list[Any]:
    with database.reading() as session:
        return list(session.scalars(select(table)))


def write_counts(gateway: Gateway) -> None:
    """Write what was counted down now: left to its thread it would come to the next test's database."""
    with gateway.app.app_context():
        current.tally().write()


def tallies(gateway: Gateway) -> dict[tuple[str, str], int]:
    write_counts(gateway)
    written = [one for one in rows(gateway.database, WebhookTally) if one.source == "xcover"]
    return {(one.verdict, one.key_id): one.count for one in written}


def test_a_hint_about_a_booking_of_ours_is_kept_and_rung_for(
    gateway: Gateway, database: RecordingDatabase, known: str
) -> None:
    answer = gateway.client.post(PATH, **signed(event(policyholder={"email": CUSTOMER})))

    assert (answer.status_code, answer.get_json()) == (200, {})
    (delivery,) = rows(database, WebhookDelivery)
    assert (delivery.booking_id, delivery.token, delivery.key_id) == (known, None, KEY_ID)
    assert database.published == [(TaskName.HANDLE_WEBHOOK, delivery.id)]


def test_nothing_unsigned_and_nothing_personal_is_stored(
    gateway: Gateway, database: RecordingDatabase, known: str
) -> None:
    gateway.client.post(PATH, **signed(event(policyholder={"email": CUSTOMER}, total_price=1e9)))

    (body,) = rows(database, WebhookBody)
    assert body.source == "xcover"
    assert json.loads(body.raw) == {"event": "BOOKING_CANCELLED", "payload": {"id": known}}
    (delivery,) = rows(database, WebhookDelivery)
    assert delivery.headers["content-type"] == "application/json"
    assert not {"authorization", "x-api-key"} & set(delivery.headers)


def test_fifty_hints_about_one_booking_are_one_delivery(
    gateway: Gateway, database: RecordingDatabase, known: str
) -> None:
    for number in range(50):
        raw = event(known if number % 2 else known.lower(), f"BOOKING_{number}")
        assert gateway.client.post(PATH, **signed(raw)).status_code == 200

    assert len(rows(database, WebhookDelivery)) == len(database.published) == 1
    assert tallies(gateway) == {("stored", KEY_ID): 1, ("repeat", KEY_ID): 49}


def test_of_many_hints_at_once_one_is_kept(gateway: Gateway, database: RecordingDatabase, known: str) -> None:
    def deliver(_number: int) -> int:
        return gateway.app.test_client().post(PATH, **signed(event(known))).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(deliver, range(32))) == {200}

    assert len(rows(database, WebhookDelivery)) == 1


def test_a_hint_that_comes_while_another_is_in_hand_is_kept_too(
    gateway: Gateway, database: RecordingDatabase, known: str
) -> None:
    """Whoever has the first in hand may have read the booking before what the second tells of."""
    gateway.client.post(PATH, **signed())
    (first,) = rows(database, WebhookDelivery)
    with database.transaction() as tx:
        assert webhook_events.begin_handling(tx, first.id) is not None
    for _ in range(3):
        gateway.client.post(PATH, **signed())

    assert len(rows(database, WebhookDelivery)) == 2
    assert len(rows(database, WebhookBody)) == 1


def test_a_hint_after_one_that_was_handled_is_kept_anew(
    gateway: Gateway, database: RecordingDatabase, known: str
) -> None:
    gateway.client.post(PATH, **signed())
    (first,) = rows(database, WebhookDelivery)
    with database.transaction() as tx:
        taken = webhook_events.begin_handling(tx, first.id)
        assert taken is not None
        webhook_events.mark_handled(tx, taken[0], "no news for us", outcome="unchanged")
    gateway.client.post(PATH, **signed())

    assert len(rows(database, WebhookDelivery)) == 2


@pytest.mark.parametrize("booking_id", ["AAAAA-BBBBB-INS", BOOKING + "X", "x"])
def test_a_hint_about_anybody_elses_booking_is_answered_200_and_leaves_nothing(
    gateway: Gateway, database: RecordingDatabase, known: str, booking_id: str
) -> None:
    answer = gateway.client.post(PATH, **signed(event(booking_id)))

    assert (answer.status_code, answer.get_json()) == (200, {})
    assert [rows(database, table) for table in (WebhookDelivery, WebhookBody, BookingReading)] == [[], [], []]
    assert database.published == []
    assert tallies(gateway) == {("unknown_booking", KEY_ID): 1}


def test_another_partners_cancellation_does_not_make_a_booking_ours(database: RecordingDatabase) -> None:
    Gateway(database, xcover_partner_code="OTHER").accept()

    ours = Gateway(database, xcover_webhook_keys=KEYS)
    ours.client.post(PATH, **signed())

    assert tallies(ours) == {("unknown_booking", KEY_ID): 1}
    assert rows(database, WebhookDelivery) == []


def _with(name: str, value: str, *, replaced: bool = False) -> dict[str, Any]:
    headers = [*signed()["headers"].items()]
    kept = [(known, given) for known, given in headers if known != name] if replaced else headers
    return {"data": event(), "headers": [*kept, (name, value)]}


FORGED: dict[str, Callable[[], dict[str, Any]]] = {
    "no signature": lambda: {"data": event()},
    "another secret": lambda: signed(secret="another"),
    "a name that is not known": lambda: signed(name="nobody"),
    "the name of another key": lambda: signed(name="older"),
    "too old": lambda: signed(age=302),
    "from the future": lambda: signed(age=-303),
    "another date": lambda: _with("Date", dated(60), replaced=True),
    "two dates": lambda: _with("Date", dated()),
    "two signatures": lambda: _with("Authorization", signed()["headers"]["Authorization"]),
    "huge values": lambda: {
        **_with("Authorization", "Signature " + "x" * 8_000, replaced=True),
        "data": b"x" * 300_000,
    },
    "no ASCII": lambda: {"data": event(), "headers": {"Authorization": "Signature \xe9=\xff", "Date": "\xff"}},
}


@pytest.mark.parametrize("how", FORGED)
def test_what_is_not_signed_just_now_under_a_key_of_ours_is_401_and_leaves_nothing(
    gateway: Gateway, database: RecordingDatabase, known: str, how: str
) -> None:
    answer = gateway.client.post(PATH, **FORGED[how]())

    assert (answer.status_code, answer.get_json()["type"]) == (401, "/problems/webhook-not-verified")
    assert answer.headers["WWW-Authenticate"].startswith("Signature")
    assert rows(database, WebhookDelivery) == []
    assert tallies(gateway) == {("not_verified", ""): 1}


def test_a_request_that_is_replayed_after_five_minutes_is_401(gateway: Gateway, known: str) -> None:
    request_ = signed()
    assert gateway.client.post(PATH, **request_).status_code == 200

    with travel(timedelta(seconds=302)):
        assert gateway.client.post(PATH, **request_).status_code == 401


def test_of_what_was_not_verified_no_secret_is_kept(gateway: Gateway) -> None:
    gateway.client.post(PATH, **signed(secret="another"))
    tallies(gateway)

    (tally,) = [one for one in rows(gateway.database, WebhookTally) if one.source == "xcover"]
    assert tally.sample["why"] == "no key matches"
    assert not {"authorization", "x-api-key"} & set(tally.sample)


@pytest.mark.parametrize(
    "raw", [b"{}", b"[]", b"not json", b"\xff", b"[" * 100_000, event(""), str(json.loads(event())).encode()]
)
def test_a_signed_body_of_the_wrong_shape_is_400_and_leaves_nothing(
    gateway: Gateway, database: RecordingDatabase, raw: bytes
) -> None:
    answer = gateway.client.post(PATH, **signed(raw))

    assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/webhook-not-understood")
    assert rows(database, WebhookDelivery) == []
    assert tallies(gateway) == {("not_understood", KEY_ID): 1}


def test_a_body_over_256_kib_is_413_even_when_signed(gateway: Gateway, known: str) -> None:
    largest = event() + b" " * (256 * 1024 - len(event()))

    assert gateway.client.post(PATH, **signed(largest + b" ")).status_code == 413
    assert gateway.client.post(PATH, **signed(largest)).status_code == 200


def test_a_body_that_ends_early_is_400(gateway: Gateway) -> None:
    answer = gateway.client.post(PATH, **signed(), environ_overrides={"CONTENT_LENGTH": "5000"})

    assert answer.status_code == 400


def test_without_keys_there_is_no_such_address_and_nothing_is_read(database: RecordingDatabase) -> None:
    gateway = Gateway(database)

    assert gateway.client.post(PATH, **signed()).status_code == 404
    assert gateway.client.post(PATH, **signed(b"x" * 300_000)).status_code == 404


@pytest.mark.parametrize("listed", ["(request-target) date", "date (request-target)"])
def test_the_request_line_may_be_signed_too(gateway: Gateway, known: str, listed: str) -> None:
    date = dated()
    text = signatures.signing_string(listed.split(" "), method="POST", path=PATH, date=date)
    signature = signatures.quote(signatures.signature(SECRET, "hmac-sha512", text), safe="")
    written = f'Signature keyId="{NAME}",algorithm="hmac-sha512",headers="{listed}",signature="{signature}"'

    answers = [
        gateway.client.post(path, data=event(), headers={"Date": date, "Authorization": written})
        for path in (PATH, f"{PATH}?a=b", f"{PATH}/")
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 404]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.binary(max_size=200) | st.text().map(lambda text: event(text, text)),
    authorization=st.none() | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=90),
    date=st.none() | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
    is_signed=st.booleans(),
)
def test_no_bytes_whatever_make_it_fail(
    gateway: Gateway, raw: bytes, authorization: str | None, date: str | None, is_signed: bool
) -> None:
    headers = {"Authorization": authorization, "Date": date}
    given_ = {name: value for name, value in headers.items() if value is not None}

    answer = gateway.client.post(PATH, data=raw, headers=signed()["headers"] if is_signed else given_)

    assert answer.status_code in ({200, 400} if is_signed else {401})


@pytest.fixture
def without_database() -> Iterator[FlaskClient]:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing", publish=lambda _messages: None)
    yield create_app(web_settings(xcover_webhook_keys=KEYS), database=database).test_client()
    database.close()


def test_a_hint_that_cannot_be_stored_is_503_with_a_time_to_come_back(without_database: FlaskClient) -> None:
    answer = without_database.post(PATH, **signed())

    assert (answer.status_code, answer.get_json()["type"]) == (503, "/problems/unavailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 5
    assert without_database.post(PATH, **signed(secret="another")).status_code == 401


def test_a_hint_is_stored_and_answered_while_ringing_hangs(gateway: Gateway, known: str, database_url: str) -> None:
    is_hanging, may_end = threading.Event(), threading.Event()

    def hang(_messages: object) -> None:
        is_hanging.set()
        may_end.wait()

    doorbell = Doorbell(hang)
    database = Database(database_url, publish=doorbell.ring)
    hanging = Gateway(database, xcover_webhook_keys=KEYS)
    answer = hanging.client.post(PATH, **signed())

    assert is_hanging.wait(60)
    assert answer.status_code == 200
    assert len(rows(gateway.database, WebhookDelivery)) == 1
    may_end.set()
    assert doorbell.flush(seconds=60)
    write_counts(hanging)
    database.close()


def test_a_booking_is_readable_once_a_minute(database: RecordingDatabase) -> None:
    def take(booking_id: str, partner: str = "ABCDE") -> float:
        with database.transaction() as tx:
            return booking_hints.seconds_until_readable(tx, partner=partner, booking_id=booking_id)

    assert take(BOOKING) == 0
    assert 58 < take(BOOKING) <= 60
    assert 58 < take(BOOKING.lower()) <= 60
    assert take("AAAAA-BBBBB-INS") == 0
    assert take(BOOKING, "OTHER") == 0
    with travel(timedelta(seconds=40)):
        assert 18 < take(BOOKING) <= 20
    with travel(timedelta(seconds=61)):
        assert take(BOOKING) == 0
        assert take(BOOKING) > 58


def test_of_many_workers_one_may_read(database: RecordingDatabase) -> None:
    def take(_number: int) -> bool:
        with database.transaction() as tx:
            return booking_hints.seconds_until_readable(tx, partner="ABCDE", booking_id=BOOKING) == 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(24))) == 1


def test_keeping_a_hint_takes_nobodys_right_to_read(gateway: Gateway, database: RecordingDatabase, known: str) -> None:
    gateway.client.post(PATH, **signed())

    with database.transaction() as tx:
        assert booking_hints.seconds_until_readable(tx, partner="ABCDE", booking_id=known) == 0
    gateway.client.post(PATH, **signed())
    with database.transaction() as tx:
        assert booking_hints.seconds_until_readable(tx, partner="ABCDE", booking_id=known) > 0
