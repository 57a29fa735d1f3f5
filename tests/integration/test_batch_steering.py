"""Batches are paused, resumed, called off and looked at as one."""

from typing import Any
from uuid import uuid4

import pytest

from shared import batches, turns
from shared.callback_models import Callback
from shared.models import Cancellation, Transition
from tests.bulk import Bulk, lines
from tests.gateway import OPERATOR, OTHER
from tests.integration.test_gateway_callbacks import SECRET
from tests.integration.test_intake import at_once
from tests.recording import RecordingDatabase


@pytest.fixture
def bulk(database: RecordingDatabase) -> Bulk:
    return Bulk(database)


def test_a_pause_holds_what_has_not_begun_and_what_comes_later(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 2)
    batch = bulk.open(1, 2, 3, 4, 5, 6)
    bulk.begin(0)

    for _ in range(2):
        paused = bulk.post(f"/{batch}/pause")
        assert (paused.status_code, paused.get_json()["status"], paused.get_json()["waiting"]) == (200, "paused", 5)
    bulk.taken(batch, lines(7))

    assert [row.turn_class for row in bulk.rows()[1:]] == [turns.HELD] * 6
    assert bulk.rows()[0].turn_class != turns.HELD
    for _ in range(2):
        assert bulk.post(f"/{batch}/resume").get_json()["status"] == "open"
    assert [row.turn_class for row in bulk.rows()[1:]] == [turns.BULK] * 6


def test_calling_off_aborts_what_has_not_begun(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ABORTED_TOGETHER", 2)
    batch = bulk.open(1, 2, 3, 4, 5)
    other = bulk.open(6, key="other")
    bulk.begin(0)
    bulk.post(f"/{batch}/pause")

    for _ in range(2):
        told = bulk.post(f"/{batch}/call_off").get_json()
        assert (told["status"], told["waiting"]) == ("called_off", 0)
        assert (told["counts"]["aborted"], told["counts"]["in_progress"]) == (4, 1)

    aborted = [row for row in bulk.rows() if row.status == "aborted"]
    assert {(row.next_step, row.next_attempt_at, row.turn_class, row.lease) for row in aborted} == {
        (None, None, None, 1)
    }
    written = [entry for entry in bulk.rows(Transition) if entry.event == "aborted"]
    assert {entry.cancellation_id for entry in written} == {row.id for row in aborted}
    assert {(entry.from_status, entry.to_status, entry.from_step, entry.to_step, entry.actor) for entry in written} == {
        ("in_progress", "aborted", "look_up", None, "caller:shop")
    }
    assert bulk.get(f"/{other}").get_json()["counts"]["in_progress"] == 1


def test_calling_off_writes_what_aborting_one_writes(bulk: Bulk) -> None:
    batch = bulk.open(1, 2)
    first, second = bulk.rows()
    assert bulk.gateway.post(f"/{first.id}/abort").status_code == 200
    bulk.post(f"/{batch}/call_off")

    one, many = (bulk.gateway.row(str(row.id)) for row in (first, second))
    own = {"id", "idempotency_key", "booking_id", "fingerprint", "request", "updated_at", "turn", "traceparent"}
    differing = {c.key for c in Cancellation.__mapper__.column_attrs if getattr(one, c.key) != getattr(many, c.key)}
    assert differing <= own


def test_a_batch_that_was_called_off_takes_no_new_lines(bulk: Bulk) -> None:
    batch = bulk.open(1)
    bulk.post(f"/{batch}/call_off")

    refused = [bulk.add(batch, lines(1, 2)), bulk.post(f"/{batch}/pause"), bulk.post(f"/{batch}/resume")]

    assert {(answer.status_code, answer.get_json()["type"]) for answer in refused} == {
        (409, "/problems/batch-called-off")
    }
    assert bulk.taken(batch, lines(1)) == (0, 1, [])
    assert len(bulk.rows()) == 1


def test_a_caller_sees_and_steers_its_own_batches_only(bulk: Bulk) -> None:
    batch = bulk.open(1)
    theirs = bulk.open(1, token=OTHER)

    hidden = [bulk.get(f"/{batch}", token=OTHER), bulk.get(f"/{uuid4()}")]
    hidden += [bulk.post(f"/{batch}/{action}", token=OTHER) for action in ("pause", "resume", "call_off")]
    hidden.append(bulk.post(f"/{batch}/cancellations", {"cancellations": lines(2)}, token=OTHER))

    assert {answer.status_code for answer in hidden} == {404}
    assert [item["id"] for item in bulk.get().get_json()["items"]] == [batch]
    assert [item["id"] for item in bulk.get(token=OPERATOR).get_json()["items"]] == [theirs, batch]
    assert bulk.post(f"/{batch}/pause", token=OPERATOR).get_json()["status"] == "paused"


def test_batches_are_listed_newest_first_in_pages(bulk: Bulk) -> None:
    opened = [bulk.open(key=f"batch-{number}") for number in range(3)]

    first = bulk.get("?limit=2").get_json()
    second = bulk.get(f"?limit=2&cursor={first['next_cursor']}").get_json()

    assert [item["id"] for item in first["items"] + second["items"]] == opened[::-1]
    assert second["next_cursor"] is None
    assert bulk.get("?limit=0").status_code == 400


def test_cancellations_are_listed_by_their_batch(bulk: Bulk) -> None:
    batch = bulk.open(1, 2)
    bulk.open(3, key="other")

    found = bulk.gateway.get(f"?batch_id={batch}").get_json()["items"]

    assert {item["idempotency_key"] for item in found} == {"ticket-1", "ticket-2"}
    assert bulk.gateway.get(f"?batch_id={batch}", token=OTHER).get_json()["items"] == []
    assert bulk.gateway.get("?batch_id=x").status_code == 400


def test_a_pause_that_others_undo_meanwhile_stops(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 2)
    batch = bulk.open(1, 2, 3, 4, 5)
    reclass = batches._reclass

    def resumed_first(*args: Any, **more: Any) -> None:
        monkeypatch.setattr(batches, "_reclass", reclass)
        assert bulk.post(f"/{batch}/resume").status_code == 200
        reclass(*args, **more)

    monkeypatch.setattr(batches, "_reclass", resumed_first)
    told = bulk.post(f"/{batch}/pause").get_json()

    assert told["status"] == "open"
    assert {row.turn_class for row in bulk.rows()} == {turns.BULK}


def test_lines_added_while_a_batch_is_paused_are_held_or_reached_by_the_pause(bulk: Bulk) -> None:
    batch, callers = bulk.open(), [Bulk(bulk.database) for _ in range(6)]

    def act(number: int) -> None:
        own = callers[number]
        if number == 0:
            assert own.post(f"/{batch}/pause").status_code == 200
        else:
            own.taken(batch, lines(*range(number * 20, number * 20 + 20)))

    at_once(act, times=6)

    assert [row.turn_class for row in bulk.rows()] == [turns.HELD] * 100


def test_who_wants_to_be_told_is_told_of_what_was_called_off(database: RecordingDatabase) -> None:
    url = "https://shop.example/cfar"
    bulk = Bulk(database, callback_secrets=f"shop:{SECRET}", callback_urls=f"shop={url}")
    batch = bulk.open(1, 2)
    bulk.post(f"/{batch}/call_off")

    assert {row.callback_url for row in bulk.rows()} == {url}
    told = {message.cancellation_id: message.type for message in bulk.rows(Callback)}
    assert told == {row.id: "cancellation.aborted" for row in bulk.rows()}
    assert {message for _, message in database.published} == {message.id for message in bulk.rows(Callback)}


def test_lines_of_an_operator_belong_to_the_batchs_caller(bulk: Bulk) -> None:
    batch = bulk.open()

    answer = bulk.post(f"/{batch}/cancellations", {"cancellations": lines(1)}, token=OPERATOR)

    assert answer.status_code == 200, answer.text
    (row,), (accepted,) = bulk.rows(), bulk.rows(Transition)
    assert (row.caller, accepted.actor) == ("shop", "operator:anna")
