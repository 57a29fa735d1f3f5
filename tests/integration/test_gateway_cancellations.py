"""Handing over, showing and listing cancellations over HTTP."""

import re
from uuid import UUID

import pytest
from sqlalchemy import event, func, select

from shared.lifecycle import TaskName
from shared.models import Cancellation, Claim
from tests.gateway import BOOKING, OPERATOR, OTHER, URL, Gateway, bearer
from tests.recording import RecordingDatabase

REQUEST = {"booking_id": BOOKING}


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


def test_a_new_cancellation_is_accepted_with_its_address(gateway: Gateway) -> None:
    answer = gateway.post("", REQUEST, Idempotency_Key="key-1")

    assert answer.status_code == 202
    item = answer.get_json()
    assert answer.headers["Location"] == f"{URL}/{item['id']}"
    assert gateway.get(f"/{item['id']}").get_json() == item


def test_the_first_step_is_rung_for_after_the_commit(gateway: Gateway, database: RecordingDatabase) -> None:
    accepted = gateway.accept()

    assert database.published == [(TaskName.LOOK_UP, UUID(accepted))]


def test_the_resource_has_exactly_the_promised_members(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed(
        journey="cancel_and_claim",
        quotes=[{"id": "q-1", "reason_for_cancellation": "No longer travelling"}],
        metadata={"order": "A-1001"},
    )

    item = gateway.get(f"/{accepted}").get_json()

    rfc3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    assert re.fullmatch(rfc3339, item.pop("created_at"))
    assert re.fullmatch(rfc3339, item.pop("updated_at"))
    assert item == {
        "id": accepted,
        "idempotency_key": "key-1",
        "booking_id": BOOKING,
        "partner": "ABCDE",
        "journey": "cancel_and_claim",
        "dry_run": None,
        "batch_id": None,
        "callback_url": None,
        "status": "awaiting_refund",
        "steps": ["look_up", "preview", "refund", "confirm", "claim"],
        "done_steps": ["look_up", "preview"],
        "next_step": "refund",
        "quotes": [{"id": "q-1", "reason_for_cancellation": None, "refund": None}],
        "preview": {
            "cancellation_id": "90o3N-fIexx-Zw2bd-CCL",
            "total_refund": "22.40",
            "currency": "EUR",
            "confirm_before": "2021-01-08T18:19:04.228699Z",
        },
        "refund": {"mode": "wait", "amount": None, "currency": None, "reference": None, "reported_at": None},
        "claim": {"id": None, "reference": None, "status": None, "milestones": []},
        "attempts": 0,
        "next_attempt_at": None,
        "problem": None,
        "metadata": {"order": "A-1001"},
        "completed_at": None,
    }


@pytest.mark.parametrize(
    ("total", "currency", "shown"), [("22.4", "EUR", "22.40"), ("100", "JPY", "100"), ("1.5", "KWD", "1.500")]
)
def test_money_is_shown_with_its_currencys_digits(gateway: Gateway, total: str, currency: str, shown: str) -> None:
    accepted = gateway.accept_previewed(total=total, currency=currency)

    assert gateway.get(f"/{accepted}").get_json()["preview"]["total_refund"] == shown


def test_the_same_key_with_the_same_body_shows_the_same_cancellation(
    gateway: Gateway, database: RecordingDatabase
) -> None:
    first = gateway.post("", {"booking_id": BOOKING, "metadata": {"a": 1, "b": 2}}, Idempotency_Key="key-1")
    again = gateway.post("", {"metadata": {"b": 2, "a": 1}, "booking_id": BOOKING}, Idempotency_Key='"key-1"')

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    assert len(database.published) == 1


def test_the_same_key_with_another_body_is_refused(gateway: Gateway) -> None:
    accepted = gateway.accept()

    answer = gateway.post("", {"booking_id": "OTHER-BOOKING-INS"}, Idempotency_Key="key-1")

    assert answer.status_code == 422
    assert answer.get_json()["type"] == "/problems/idempotency-key-reused"
    assert answer.get_json()["id"] == accepted


def test_two_callers_may_use_the_same_key(gateway: Gateway) -> None:
    assert gateway.accept(key="same") != gateway.accept(key="same", token=OTHER)


def test_what_was_accepted_is_replayed_although_todays_settings_would_refuse_it(database: RecordingDatabase) -> None:
    body = {"booking_id": BOOKING, "claim": {}}
    first = Gateway(database).post("", body, Idempotency_Key="key-1")

    stricter = Gateway(database, claims_enabled=False)
    again = stricter.post("", body, Idempotency_Key="key-1")

    assert (again.status_code, again.get_json()["id"]) == (200, first.get_json()["id"])
    assert stricter.post("", body, Idempotency_Key="key-2").get_json()["type"] == "/problems/claims-disabled"
    reused = stricter.post("", {**body, "metadata": {"a": 1}}, Idempotency_Key="key-1")
    assert reused.get_json()["type"] == "/problems/idempotency-key-reused"


@pytest.mark.parametrize("key", [None, "", " ", '""', "a b", "é", "k" * 256, '"open', "same, same"])
def test_a_missing_or_malformed_key_is_refused(gateway: Gateway, key: str | None) -> None:
    answer = gateway.post("", REQUEST, **({} if key is None else {"Idempotency_Key": key}))

    assert answer.status_code == 400
    assert answer.get_json()["type"] == "/problems/idempotency-key-missing"


def test_a_key_sent_in_two_headers_is_refused(gateway: Gateway) -> None:
    headers = [*bearer("shop-token").items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

    answer = gateway.client.post(URL, json=REQUEST, headers=headers)

    assert answer.get_json()["type"] == "/problems/idempotency-key-missing"


def test_every_wrong_field_is_named_and_nothing_is_stored(gateway: Gateway, database: RecordingDatabase) -> None:
    answer = gateway.post("", {"booking_id": 7, "colour": "red"}, Idempotency_Key="key-1")

    assert answer.status_code == 422
    assert {error["field"] for error in answer.get_json()["errors"]} == {"booking_id", "colour"}
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Cancellation)) == 0


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "7"])
def test_json_that_is_not_an_object_is_not_a_request(gateway: Gateway, body: str) -> None:
    headers = bearer("shop-token") | {"Idempotency-Key": "key-1"}

    answer = gateway.client.post(URL, data=body, content_type="application/json", headers=headers)

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid-request")


def test_another_content_type_is_refused(gateway: Gateway) -> None:
    headers = bearer("shop-token") | {"Idempotency-Key": "key-1"}

    answer = gateway.client.post(URL, data="booking_id=1", headers=headers)

    assert (answer.status_code, answer.get_json()["type"]) == (415, "/problems/not-json-content")


def test_a_caller_sees_only_its_own_and_an_operator_everything(gateway: Gateway) -> None:
    mine, theirs = gateway.accept(key="a"), gateway.accept(key="b", token=OTHER)

    assert gateway.get(f"/{theirs}").status_code == 404
    assert gateway.get(f"/{theirs}/events").status_code == 404
    assert gateway.get(f"/{theirs}", token=OPERATOR).status_code == 200
    assert [item["id"] for item in gateway.get("").get_json()["items"]] == [mine]
    assert [item["id"] for item in gateway.get("", token=OPERATOR).get_json()["items"]] == [theirs, mine]


@pytest.mark.parametrize(
    "path",
    [
        "/0190a6f0-0000-7000-8000-000000000001",
        "/not-an-id",
        "/7/events",
        "/0190a6f0-0000-7000-8000-000000000001/nothing",
    ],
)
def test_what_does_not_exist_is_not_found(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path)

    assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/not-found")


def test_the_list_is_read_page_by_page_without_gaps_or_repeats(gateway: Gateway) -> None:
    accepted = [gateway.accept(key=f"key-{number}") for number in range(5)]

    pages, cursor = [], ""
    while True:
        page = gateway.get(f"?limit=2{cursor}").get_json()
        pages.append([item["id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert pages == [accepted[:2:-1], accepted[2:0:-1], accepted[:1]]


def test_the_list_is_narrowed_by_each_filter(gateway: Gateway) -> None:
    gateway.accept(key="a")
    other = gateway.accept(key="b/?&", booking_id="OTHER-INS")
    gateway.post(f"/{other}/abort")

    def found(**filters: str) -> list[str]:
        return [item["id"] for item in gateway.get("", query_string=filters).get_json()["items"]]

    assert found(status="aborted") == found(booking_id="OTHER-INS") == found(idempotency_key="b/?&") == [other]
    assert found(booking_id="OTHER-INS", status="in_progress") == []
    assert len(found()) == 2


@pytest.mark.parametrize(
    "query",
    ["colour=red", "limit=0", "limit=201", "limit=ten", "limit=+5", "limit=", "status=done", "status=", "cursor=x",
     "cursor=" + "A" * 21 + "!", "booking_id=%00", "idempotency_key=%00", "idempotency_key=",
     "status=aborted&status=aborted"],
)  # fmt: skip
def test_unknown_and_wrong_parameters_are_named(gateway: Gateway, query: str) -> None:
    answer = gateway.get(f"?{query}")

    assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/invalid-parameter")
    assert [error["parameter"] for error in answer.get_json()["errors"]] == [query.partition("=")[0]]


def test_a_page_takes_two_queries_however_long_it_is(gateway: Gateway, database: RecordingDatabase) -> None:
    ids = [gateway.accept(key=f"key-{number}", journey="cancel_and_claim") for number in range(6)]
    with database.transaction() as tx:
        for number, accepted in enumerate(ids):
            tx.session.add(
                Claim(
                    partner="ABCDE", cancellation_id=UUID(accepted), booking_id=BOOKING, quote_id=f"q-{number}",
                    claim_type_id="cfar", webhook_token=f"token-{number}", reference=f"R-{number}",
                )
            )  # fmt: skip
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(database.engine, "before_cursor_execute", note)
    page = gateway.get("").get_json()
    event.remove(database.engine, "before_cursor_execute", note)  # the engine serves other tests too

    assert [item["claim"]["reference"] for item in page["items"]] == [f"R-{number}" for number in reversed(range(6))]
    assert len([sql for sql in statements if sql.startswith("SELECT")]) == 2


def test_milestones_are_listed_in_the_order_they_were_reached(gateway: Gateway, database: RecordingDatabase) -> None:
    accepted = gateway.accept(journey="cancel_and_claim")
    reached = {"claim_paid": "2026-02-02T00:00:00Z", "premium_refund": "2026-01-01T00:00:00Z"}
    with database.transaction() as tx:
        tx.session.add(
            Claim(
                partner="ABCDE", cancellation_id=UUID(accepted), booking_id=BOOKING, quote_id="q-1",
                claim_type_id="cfar", webhook_token="token", claim_id="c-1", status="Closed", milestones=reached,
            )
        )  # fmt: skip

    claim = gateway.get(f"/{accepted}").get_json()["claim"]

    assert claim == {"id": "c-1", "reference": None, "status": "Closed", "milestones": ["premium_refund", "claim_paid"]}
