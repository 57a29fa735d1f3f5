"""The Celery door does what POST /v1/cancellations does; what it cannot accept is kept, never dropped or retried."""

import json
from dataclasses import replace
from typing import Any

import pytest
from celery.exceptions import Reject

from shared.lifecycle import TaskName
from shared.models import Cancellation, Transition
from tests.gateway import Gateway
from tests.recording import RecordingDatabase
from tests.simulator import CLAIM_TYPE_ID, PARTNER_CODE
from tests.world import World
from workers import celery_door, runtime

BOOKING = "8WD8Y-LTEKE-INS"
BODIES: list[dict[str, Any]] = [
    {"booking_id": BOOKING},
    {
        "booking_id": BOOKING,
        "journey": "cancel_and_claim",
        "quotes": [{"id": "q-1", "reason_for_cancellation": "No longer travelling"}],
        "refund": {"mode": "skip"},
        "refund_required": False,
        "claim": {"quote_id": "q-2", "when": "before_confirm", "section_fields": [{"name": "a", "value": "b"}]},
        "metadata": {"order": "A-1001", "nested": {"x": [1, 2.5, None]}},
    },
]


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses the door would have made."""
    taken: list[float] = []
    monkeypatch.setattr(celery_door.time, "sleep", taken.append)
    return taken


def send(*args: Any, **kwargs: Any) -> None:
    """Run the task as a worker does when such a message arrives."""
    celery_door.request(*args, **kwargs)


def refused(world: World) -> Cancellation:
    """Return the only entry, which must be a rejected one that nothing will ever be done about."""
    (row,) = world.rows()
    assert (row.status, row.next_step, row.next_attempt_at) == ("rejected", None, None)
    assert world.database.published == []
    return row


def problem_of(row: Cancellation) -> str:
    """Return the name of an entry's problem."""
    assert row.problem is not None
    return str(row.problem["type"]).rpartition("/")[2]


def without_ids(row: Cancellation) -> dict[str, Any]:
    """Return a row's columns but those that differ between any two cancellations."""
    differing = {"id", "created_at", "updated_at", "next_attempt_at", "ring_after", "idempotency_key", "traceparent"}
    columns = {column.key for column in Cancellation.__mapper__.column_attrs} - differing
    return {name: getattr(row, name) for name in columns}


def gateway(world: World) -> Gateway:
    """Return the HTTP door of the same deployment."""
    return Gateway(world.database, xcover_partner_code=PARTNER_CODE, xclaim_claim_type_id=CLAIM_TYPE_ID)


@pytest.mark.parametrize("body", BODIES)
def test_a_message_is_accepted_as_over_http(world: World, body: dict[str, Any]) -> None:
    world.configure(API_TOKENS="shop:token")
    gateway(world).accept(key="over-http", **body)

    send(**body, idempotency_key="over-celery", caller="shop")

    over_http, over_celery = world.rows()
    assert over_celery.idempotency_key == "over-celery"
    assert without_ids(over_celery) == without_ids(over_http)
    assert [line.event for line in world.timeline(over_celery.id)] == ["accepted"]
    assert world.database.published[-1] == (TaskName.LOOK_UP, over_celery.id)


def test_a_message_names_no_caller_when_its_producer_is_the_usual_one(world: World) -> None:
    send(booking_id=BOOKING, idempotency_key="key-1")

    (row,) = world.rows()
    assert (row.caller, row.status) == ("celery", "in_progress")


@pytest.mark.parametrize("again", ["key-1", '"key-1"', " key-1 "])
def test_a_message_sent_again_stands_for_the_same_row(world: World, again: str) -> None:
    send(booking_id=BOOKING, metadata={"a": 1, "b": 2}, idempotency_key="key-1")
    send(metadata={"b": 2, "a": 1}, booking_id=BOOKING, idempotency_key=again)

    assert [row.status for row in world.rows()] == ["in_progress"]
    assert len(world.database.published) == 1


def test_both_doors_share_a_callers_keys(world: World) -> None:
    world.configure(API_TOKENS="shop:token")
    send(booking_id=BOOKING, idempotency_key="key-1", caller="shop")

    answer = gateway(world).post("", {"booking_id": BOOKING}, Idempotency_Key="key-1")

    assert answer.status_code == 200
    assert [str(row.id) for row in world.rows()] == [answer.get_json()["id"]]


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({}, "invalid-request"),
        ({"booking_id": 5}, "invalid-request"),
        ({"booking_id": "../other"}, "invalid-request"),
        ({"booking_id": BOOKING, "quote": []}, "invalid-request"),
        ({"booking_id": BOOKING, "quotes": [{"id": "q"}, {"id": "q"}]}, "invalid-request"),
        ({"booking_id": BOOKING, "journey": "cancel", "claim": {}}, "invalid-request"),
        ({"booking_id": BOOKING, "metadata": {"x": "y" * 20_000}}, "invalid-request"),
    ],
)
def test_bad_arguments_become_a_rejected_entry(world: World, body: dict[str, Any], slug: str) -> None:
    send(**body, idempotency_key="key-1")

    row = refused(world)
    assert problem_of(row) == slug
    assert row.idempotency_key.startswith("key-1")
    assert [line.event for line in world.timeline(row.id)] == ["rejected"]


def test_a_claim_where_claims_are_switched_off_becomes_a_rejected_entry(world: World) -> None:
    world.configure(claims_enabled=False)

    send(booking_id=BOOKING, claim={}, idempotency_key="key-1")

    assert problem_of(refused(world)) == "claims-disabled"


@pytest.mark.parametrize("caller", ["nobody", "", "Shop", 5, None, ["shop"], {"name": "shop"}, "a\x00b", "\ud800"])
def test_an_unknown_caller_becomes_a_rejected_entry_of_the_door_itself(world: World, caller: Any) -> None:
    world.configure(API_TOKENS="shop:token")

    send(booking_id=BOOKING, idempotency_key="key-1", caller=caller)

    row = refused(world)
    assert (row.caller, problem_of(row)) == ("celery", "invalid-request")


@pytest.mark.parametrize("args", [(BOOKING,), ({"booking_id": BOOKING},), (None,)])
def test_positional_arguments_become_a_rejected_entry(world: World, args: tuple[Any, ...]) -> None:
    send(*args, booking_id=BOOKING, idempotency_key="key-1")

    assert problem_of(refused(world)) == "invalid-request"


@pytest.mark.parametrize("key", [None, "", "   ", "a b", "k" * 256, 5, ["k"], "é", "a\x00b", "\ud800"])
def test_a_missing_or_impossible_key_becomes_a_rejected_entry(world: World, key: Any) -> None:
    send(booking_id=BOOKING, **({} if key is None else {"idempotency_key": key}))

    assert problem_of(refused(world)) == "idempotency-key-missing"


def test_different_messages_without_a_key_are_kept_apart(world: World) -> None:
    send(booking_id=BOOKING)
    send(booking_id="OTHER-BOOKI-INS")

    assert [row.booking_id for row in world.rows()] == [BOOKING, "OTHER-BOOKI-INS"]


def test_another_body_under_the_key_becomes_an_entry_beside_the_first(world: World) -> None:
    send(booking_id=BOOKING, idempotency_key="key-1")
    send(booking_id="OTHER-BOOKI-INS", idempotency_key="key-1")

    first, second = world.rows()
    assert (first.status, first.booking_id, first.idempotency_key) == ("in_progress", BOOKING, "key-1")
    assert (second.status, problem_of(second)) == ("rejected", "idempotency-key-reused")
    assert second.problem is not None
    assert second.problem["id"] == str(first.id)


def test_a_refused_message_that_comes_again_is_one_entry(world: World) -> None:
    for _ in range(3):
        send(booking_id=5, idempotency_key="key-1")

    refused(world)
    assert len(world.all(Transition)) == 1


def test_a_corrected_message_is_accepted_under_the_key_of_a_refused_one(world: World) -> None:
    send(booking_id=5, idempotency_key="key-1")
    send(booking_id=BOOKING, idempotency_key="key-1")

    assert [row.status for row in world.rows()] == ["rejected", "in_progress"]


def deepest_readable() -> Any:
    """Return the deepest value that a JSON reader accepts here."""
    depth = 10_000
    while True:
        try:
            return json.loads("[" * depth + "]" * depth)
        except RecursionError:
            depth -= 1 if depth < 1_100 else 100


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"booking_id": "a\x00b"}, id="NUL in the booking"),
        pytest.param({"booking_id": "\ud800"}, id="surrogate in the booking"),
        pytest.param({"booking_id": "x" * 100_000}, id="long booking"),
        pytest.param({"booking_id": BOOKING, "a\x00b": 1}, id="NUL in a name"),
        pytest.param({"booking_id": BOOKING, "\ud800": 1}, id="surrogate in a name"),
        pytest.param({"booking_id": BOOKING, "x" * 100_000: 1}, id="long name"),
        pytest.param({"booking_id": BOOKING, "metadata": {"x": "a\x00b"}}, id="NUL in a value"),
        pytest.param({"booking_id": BOOKING, "metadata": {"x": "\ud800"}}, id="surrogate in a value"),
        pytest.param({"booking_id": BOOKING, "metadata": {"x": float("nan")}}, id="NaN"),
    ],
)
def test_a_hostile_message_becomes_a_rejected_entry(world: World, naps: list[float], body: dict[str, Any]) -> None:
    send(**body, idempotency_key="key-1")

    assert problem_of(refused(world)) == "invalid-request"
    assert naps == []


def test_a_message_as_deep_as_can_be_read_becomes_a_rejected_entry(world: World) -> None:
    send(booking_id=BOOKING, metadata={"x": deepest_readable()}, idempotency_key="key-1")

    assert problem_of(refused(world)) == "invalid-request"


@pytest.mark.parametrize("body", [{"booking_id": BOOKING}, {"booking_id": 5}])
@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:9/none", "sqlite:////nowhere/at/all/cfar.db"])
def test_while_the_database_is_away_the_message_goes_back_to_its_queue(
    world: World, naps: list[float], body: dict[str, Any], url: str
) -> None:
    here = runtime.runtime()
    away = RecordingDatabase(url)
    runtime.configure(lambda: replace(here, database=away))

    with pytest.raises(Reject) as put_back:
        send(**body, idempotency_key="key-1")
    away.close()

    assert put_back.value.requeue is True
    assert naps == [celery_door.PAUSE]
    assert world.rows() == []


def test_a_message_that_was_put_back_is_accepted_when_the_database_returns(world: World, naps: list[float]) -> None:
    here = runtime.runtime()
    away = RecordingDatabase("postgresql+psycopg://nobody@127.0.0.1:9/none")
    runtime.configure(lambda: replace(here, database=away))
    with pytest.raises(Reject):
        send(booking_id=BOOKING, idempotency_key="key-1")
    away.close()

    runtime.configure(lambda: here)
    send(booking_id=BOOKING, idempotency_key="key-1")

    assert [row.status for row in world.rows()] == ["in_progress"]


def test_a_message_is_acknowledged_only_when_it_was_handled() -> None:
    assert celery_door.app.conf.task_acks_late is True


def test_the_task_has_its_promised_name() -> None:
    assert celery_door.request.name == "cancellations.request"
