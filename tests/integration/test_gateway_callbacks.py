"""/v1/cancellations/{id}/callbacks: who may ask for callbacks, see them, and have them sent again."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from shared import callbacks, clock
from shared.callback_answers import Told
from shared.callback_models import Callback, CallbackEndpoint
from shared.db import now_plus
from shared.lifecycle import TaskName
from shared.models import Cancellation
from tests.gateway import BOOKING, OPERATOR, OTHER, Gateway
from tests.recording import RecordingDatabase

SECRET = "whsec_c2VjcmV0X29mX2NhbGxiYWNrc19vZl90aGVfc2hvcA=="
URL = "https://hooks.example.com/cfar?shop=1"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database, callback_secrets=f"shop:{SECRET}")


def row(gateway: Gateway, found: str) -> Cancellation:
    with gateway.database.reading() as session:
        return session.get_one(Cancellation, UUID(found))


def answered(gateway: Gateway, callback_id: str, told: Told) -> None:
    """Let one message be sent, and answered so."""
    with gateway.database.transaction() as tx:
        held = callbacks.begin(tx, UUID(callback_id))
    assert held is not None
    with gateway.database.transaction() as tx:
        callbacks.finish(tx, held, told)


def items(gateway: Gateway, found: str) -> list[dict[str, Any]]:
    return list(gateway.get(f"/{found}/callbacks").get_json()["items"])


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["type"].removeprefix("/problems/")


def test_the_address_is_frozen_at_acceptance_and_kept_out_of_the_request(gateway: Gateway) -> None:
    found = gateway.accept(callback_url=URL)

    assert row(gateway, found).callback_url == URL
    assert "callback_url" not in row(gateway, found).request


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.example.com/", "https://"),
        ("https://169.254.169.254/", "not public"),
        ("https://user:pass@hooks.example.com/", "password"),
        ("https://hooks.example.com:22/", "port"),
        ("https://redis/", "public internet"),
        (17, "string"),
    ],
    ids=["http", "metadata", "password", "port", "inside", "number"],
)
def test_an_address_that_may_lead_inside_is_a_wrong_field(gateway: Gateway, url: Any, said: str) -> None:
    answer = gateway.post("", {"booking_id": BOOKING, "callback_url": url}, Idempotency_Key="key-1")

    assert problem(answer) == (422, "invalid-request")
    (error,) = answer.get_json()["errors"]
    assert error["field"] == "callback_url"
    assert said in error["problem"]


def test_a_caller_without_a_secret_cannot_be_told(gateway: Gateway) -> None:
    body = {"booking_id": BOOKING, "callback_url": URL}
    answer = gateway.post("", body, token=OTHER, Idempotency_Key="key-1")

    assert problem(answer) == (422, "callbacks-not-configured")


def test_the_settings_name_an_address_for_those_who_give_none(database: RecordingDatabase) -> None:
    gateway = Gateway(database, callback_secrets=f"shop:{SECRET}", callback_urls=f"shop={URL}")
    default, own = gateway.accept(), gateway.accept(key="key-2", callback_url="https://other.example.com/")
    others = gateway.accept(key="key-3", token=OTHER)

    told_at = [row(gateway, found).callback_url for found in (default, own, others)]
    assert told_at == [URL, "https://other.example.com/", None]


def test_a_repeat_of_an_accepted_request_is_answered_although_the_secret_is_gone(gateway: Gateway) -> None:
    found = gateway.accept(callback_url=URL)
    later = Gateway(gateway.database)
    answer = later.post("", {"booking_id": BOOKING, "callback_url": URL}, Idempotency_Key="key-1")

    assert (answer.status_code, answer.get_json()["id"]) == (200, found)


def test_what_was_sent_is_shown_with_its_answer(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)
    (message,) = items(gateway, found)
    assert (message["status"], message["tries"], message["type"]) == ("due", 0, "cancellation.awaiting_refund")
    assert message["payload"]["data"]["cancellation_id"] == found

    answered(gateway, message["id"], Told(status=503, error="answered 503"))

    shown = gateway.get(f"/{found}/callbacks").get_json()
    assert (shown["url"], shown["disabled_at"]) == (URL, None)
    assert shown["failing_since"] is not None
    (message,) = shown["items"]
    assert (message["status"], message["tries"]) == ("due", 1)
    assert (message["last_status"], message["last_error"]) == (503, "answered 503")
    assert message["next_attempt_at"] is not None


def test_nobody_is_told_without_an_address(gateway: Gateway) -> None:
    found = gateway.accept_previewed()

    shown = gateway.get(f"/{found}/callbacks").get_json()
    assert (shown["url"], shown["items"]) == (None, [])
    assert gateway.post(f"/{found}/callbacks/replay").get_json()["replayed"] == 0


def test_a_caller_sees_and_replays_its_own_and_an_operator_everyones(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)

    assert problem(gateway.get(f"/{found}/callbacks", token=OTHER)) == (404, "not-found")
    assert problem(gateway.post(f"/{found}/callbacks/replay", token=OTHER)) == (404, "not-found")
    assert gateway.get(f"/{found}/callbacks", token=OPERATOR).status_code == 200
    assert gateway.post(f"/{found}/callbacks/replay", token=OPERATOR).get_json()["replayed"] == 1


def test_what_was_given_up_is_due_again_in_its_order_and_its_endpoint_enabled(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)
    answered(gateway, items(gateway, found)[0]["id"], Told(status=410, error="answered 410"))
    assert gateway.post(f"/{found}/abort").status_code == 200
    with gateway.database.transaction() as tx:
        assert callbacks.begin(tx, UUID(items(gateway, found)[1]["id"])) is None
    shown = gateway.get(f"/{found}/callbacks").get_json()
    assert [message["status"] for message in shown["items"]] == ["given_up", "given_up"]
    assert shown["disabled_at"] is not None
    assert isinstance(gateway.database, RecordingDatabase)
    gateway.database.published.clear()

    shown = gateway.post(f"/{found}/callbacks/replay").get_json()

    assert (shown["replayed"], shown["disabled_at"]) == (2, None)
    assert [message["status"] for message in shown["items"]] == ["due", "waiting"]
    first = UUID(shown["items"][0]["id"])
    assert gateway.database.published == [(TaskName.DELIVER_CALLBACK, first)]
    events = gateway.get(f"/{found}/events").get_json()["items"]
    assert events[-1]["event"] == "callbacks_replayed"
    assert events[-1]["actor"] == "caller:shop"


def test_a_delivered_one_is_sent_again_when_it_is_named(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)
    (message,) = items(gateway, found)
    answered(gateway, message["id"], Told(status=200))
    assert gateway.post(f"/{found}/callbacks/replay").get_json()["replayed"] == 0

    shown = gateway.post(f"/{found}/callbacks/replay", {"id": message["id"]}).get_json()

    assert (shown["replayed"], shown["items"][0]["status"]) == (1, "due")
    assert shown["items"][0]["delivered_at"] is None


def test_what_is_being_sent_is_left_alone(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)
    with gateway.database.transaction() as tx:
        held = callbacks.begin(tx, UUID(items(gateway, found)[0]["id"]))
    assert held is not None

    assert gateway.post(f"/{found}/callbacks/replay").get_json()["replayed"] == 0
    with gateway.database.transaction() as tx:
        callbacks.finish(tx, held, Told(status=200))
    assert items(gateway, found)[0]["status"] == "delivered"


def test_a_try_that_was_taken_over_writes_no_second_end(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)
    message = items(gateway, found)[0]
    with gateway.database.transaction() as tx:
        slow = callbacks.begin(tx, UUID(message["id"]))
    with gateway.database.transaction() as tx:
        tx.session.execute(update(Callback).values(lease_until=now_plus(-1)))
    answered(gateway, message["id"], Told(status=200))
    assert slow is not None
    with gateway.database.transaction() as tx:
        callbacks.finish(tx, slow, Told(status=500, error="answered 500"))

    assert items(gateway, found)[0]["status"] == "delivered"
    with gateway.database.reading() as session:
        assert session.query(CallbackEndpoint).one().failing_since is None


def test_a_failing_endpoint_is_tried_by_one_worker_at_a_time(gateway: Gateway) -> None:
    first, second = (
        items(gateway, gateway.accept_previewed(callback_url=URL, key=key, booking_id=f"BOOKING-{key}"))[0]["id"]
        for key in ("1", "2")
    )
    answered(gateway, first, Told(error="no answer"))
    with clock.travel(timedelta(seconds=6)), gateway.database.transaction() as tx:
        probing = callbacks.begin(tx, UUID(first))
        assert probing is not None
        assert callbacks.begin(tx, UUID(second)) is None
    with gateway.database.reading() as session:
        assert session.get_one(Callback, UUID(second)).tries == 0

    with clock.travel(timedelta(seconds=6)), gateway.database.transaction() as tx:
        callbacks.finish(tx, probing, Told(status=200))
    with clock.travel(timedelta(seconds=7 + callbacks.PUT_OFF_FOR)), gateway.database.transaction() as tx:
        assert callbacks.begin(tx, UUID(second)) is not None


def test_a_change_that_is_written_while_the_one_before_it_ends_is_not_forgotten(gateway: Gateway) -> None:
    found = gateway.accept_previewed(callback_url=URL)
    first = UUID(items(gateway, found)[0]["id"])
    with gateway.database.transaction() as tx:
        held = callbacks.begin(tx, first)
    assert held is not None

    def end() -> None:
        with gateway.database.transaction() as tx:
            callbacks.finish(tx, held, Told(status=200))

    ending = threading.Thread(target=end)
    with gateway.database.transaction() as tx:
        callbacks.record(
            tx, tx.session.get_one(Cancellation, UUID(found)), "cancellation.aborted", status="aborted", next_step=None
        )
        ending.start()
        ending.join(0.3)
        assert ending.is_alive()  # it waits for us: else it would not see what we have written
    ending.join()

    assert [message["status"] for message in items(gateway, found)] == ["delivered", "due"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"id": str(uuid4())}, (404, "not-found")),
        ({"id": "no-uuid"}, (422, "invalid-request")),
        ({"ids": []}, (422, "invalid-request")),
        ([], (422, "invalid-request")),
    ],
    ids=["unknown", "no-uuid", "unknown-field", "list"],
)
def test_a_replay_of_what_is_not_there_is_refused(gateway: Gateway, body: Any, expected: tuple[int, str]) -> None:
    found = gateway.accept_previewed(callback_url=URL)

    assert problem(gateway.post(f"/{found}/callbacks/replay", body)) == expected
