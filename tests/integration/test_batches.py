"""Batches over HTTP: many cancellations at once mean what they mean one by one."""

from typing import Any

import pytest

from shared import turns
from shared.bulk_intake import MOST_LINES
from shared.models import Cancellation, Transition
from tests.bulk import URL, Bulk, line, lines
from tests.gateway import BOOKING, OTHER
from tests.integration.test_intake import at_once
from tests.recording import RecordingDatabase
from webhook_gateway.bodies import MAX_BATCH_BYTES, MAX_BYTES


@pytest.fixture
def bulk(database: RecordingDatabase) -> Bulk:
    return Bulk(database)


def test_a_batch_is_opened_with_its_first_lines_and_shown(bulk: Bulk) -> None:
    answer = bulk.post("", {"name": "show.csv", "expected": 20, "cancellations": lines(1, 2)}, key="batch-1")

    opened = answer.get_json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{URL}/{opened['id']}")
    taken = opened.pop("taken")
    assert (taken["accepted"], taken["repeated"], taken["refused"]) == (2, 0, [])
    assert opened == bulk.get(f"/{opened['id']}").get_json()
    assert (opened["name"], opened["expected"], opened["status"]) == ("show.csv", 20, "open")
    assert (opened["lines"], opened["waiting"], opened["counts"]["in_progress"]) == (2, 2, 2)
    assert taken["ids"] == [str(row.id) for row in sorted(bulk.rows(), key=lambda row: row.idempotency_key)]


def test_a_line_becomes_the_row_it_would_be_alone_but_waits_for_its_turn(bulk: Bulk) -> None:
    asked = {"journey": "cancel_now", "quotes": [{"id": "q-1"}], "metadata": {"order": "A-1"}}
    alone = bulk.gateway.row(bulk.gateway.accept(key="alone", booking_id="BOOK-1-INS", **asked))
    bulk.database.published.clear()
    batch = bulk.open()
    bulk.taken(batch, [line(1, **asked)])

    row = next(row for row in bulk.rows() if row.batch_id is not None)
    own = {"id", "idempotency_key", "created_at", "updated_at", "next_attempt_at", "traceparent"}
    differing = {c.key for c in Cancellation.__mapper__.column_attrs if getattr(row, c.key) != getattr(alone, c.key)}
    assert differing - own == {"ring_after", "batch_id", "turn_class", "turn"}
    assert (row.ring_after, str(row.batch_id), row.turn_class) == (None, batch, turns.BULK)
    assert row.turn is not None
    assert bulk.database.published == []
    first, second = bulk.rows(Transition)
    assert (first.event, first.actor, first.to_step) == (second.event, second.actor, second.to_step)


def test_turns_are_given_in_the_order_of_calls(bulk: Bulk) -> None:
    batch = bulk.open(1, 2)
    bulk.taken(batch, lines(3, 4))

    by_key = {row.idempotency_key: row.turn for row in bulk.rows()}
    assert max(by_key["ticket-1"], by_key["ticket-2"]) < min(by_key["ticket-3"], by_key["ticket-4"])
    assert len(set(by_key.values())) == 4


def test_the_batchs_key_stands_for_its_body(bulk: Bulk) -> None:
    first = bulk.open(1, 2)
    body = {"name": "show.csv", "expected": 3, "cancellations": lines(1, 2)}
    again = bulk.post("", body, key="batch-1")
    other = bulk.post("", {**body, "name": "other.csv"}, key="batch-1")

    assert (again.status_code, again.get_json()["id"], again.get_json()["taken"]["repeated"]) == (200, first, 2)
    assert (other.status_code, other.get_json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert bulk.post("", body).status_code == 400
    assert bulk.post("", body, key="batch-1", token=OTHER).status_code == 201
    assert len(bulk.get().get_json()["items"]) == 1


def test_repeated_lines_are_counted_wherever_they_came_from(bulk: Bulk) -> None:
    bulk.gateway.accept(key="ticket-1", booking_id="BOOK-1-INS")
    bulk.open(2, key="another")
    batch = bulk.open()

    assert bulk.taken(batch, lines(1, 2, 3)) == (1, 2, [])
    assert bulk.taken(batch, lines(1, 2, 3)) == (0, 3, [])
    assert len(bulk.rows()) == len(bulk.rows(Transition)) == 3
    assert bulk.get(f"/{batch}").get_json()["lines"] == 1


def test_a_key_with_another_body_is_refused_for_its_line_alone(bulk: Bulk) -> None:
    batch = bulk.open(1)

    told = bulk.taken(batch, [line(2), line(1, metadata={"other": 1}), line(3)])

    assert told == (2, 0, [(2, "idempotency-key-reused")])
    assert len(bulk.rows()) == 3


def test_a_key_twice_in_one_call_stands_for_its_first_line(bulk: Bulk) -> None:
    batch = bulk.open()

    told = bulk.taken(batch, [line(1), line(1), line(1, journey="cancel_now"), line(2)])

    assert told == (2, 1, [(3, "idempotency-key-reused")])
    assert [row.journey for row in bulk.rows()] == ["cancel", "cancel"]


WRONG: list[tuple[Any, str]] = [
    ("text", ""),
    ({"booking_id": BOOKING}, "idempotency_key"),
    ({**line(9), "idempotency_key": "a b"}, "idempotency_key"),
    ({**line(9), "idempotency_key": 9}, "idempotency_key"),
    ({"idempotency_key": "k"}, "booking_id"),
    (line(9, color="red"), "color"),
    (line(9, quotes=[{"id": ""}]), "quotes.0.id"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_an_invalid_line_is_named_and_nothing_of_its_call_is_stored(bulk: Bulk, wrong: Any, field: str) -> None:
    batch = bulk.open()

    answer = bulk.add(batch, [line(1), wrong])

    told = answer.get_json()
    assert (answer.status_code, told["type"]) == (422, "/problems/invalid-request")
    assert [(error["line"], error["field"]) for error in told["errors"]] == [(2, field)]
    assert told["invalid_lines"] == 1
    assert bulk.rows() == []


def test_an_invalid_first_line_leaves_no_batch_behind(bulk: Bulk) -> None:
    assert bulk.post("", {"name": "a", "cancellations": [{}]}, key="batch-1").status_code == 422
    assert bulk.get().get_json()["items"] == []


def test_invalid_lines_are_skipped_when_asked_to(bulk: Bulk) -> None:
    batch = bulk.open()

    told = bulk.taken(batch, [line(1), "text", line(3), {"idempotency_key": "k"}], skip_invalid=True)

    assert told == (2, 0, [(2, "invalid-request"), (4, "invalid-request")])
    assert {row.idempotency_key for row in bulk.rows()} == {"ticket-1", "ticket-3"}


def test_a_refusal_shows_fifty_errors_and_counts_the_rest(bulk: Bulk) -> None:
    told = bulk.add(bulk.open(), [{**line(number), "color": "red"} for number in range(60)]).get_json()

    assert (len(told["errors"]), told["more_errors"], told["invalid_lines"]) == (50, 10, 60)


def test_one_line_among_others_shows_few_of_its_errors(bulk: Bulk) -> None:
    wrong = {**line(1), **{f"field-{number}": 1 for number in range(80)}}
    (refused,) = bulk.add(bulk.open(), [wrong], skip_invalid=True).get_json()["refused"]

    assert (len(refused["problem"]["errors"]), refused["problem"]["more_errors"]) == (5, 75)


def test_what_was_accepted_once_is_repeated_under_settings_that_would_refuse_it(bulk: Bulk) -> None:
    claiming = [line(1, claim={}), line(2)]
    batch = bulk.open()
    assert bulk.taken(batch, claiming) == (2, 0, [])

    later = Bulk(bulk.database, claims_enabled=False)
    assert later.taken(batch, claiming) == (0, 2, [])
    assert later.add(batch, [line(3, claim={})]).get_json()["errors"][0]["line"] == 1


@pytest.mark.parametrize(
    "body",
    [[], {}, {"cancellations": []}, {"cancellations": {}}, {"cancellations": lines(1), "more": 1},
     {"cancellations": lines(*range(MOST_LINES + 1))}, {"cancellations": lines(1), "skip_invalid": "yes"}],
    ids=["list", "nothing", "no line", "object", "unknown", "too many", "text"],
)  # fmt: skip
def test_a_body_of_another_shape_is_refused(bulk: Bulk, body: Any) -> None:
    assert bulk.post(f"/{bulk.open()}/cancellations", body).status_code == 422
    assert bulk.rows() == []


def test_as_many_lines_as_are_allowed_are_taken_together(bulk: Bulk) -> None:
    assert bulk.taken(bulk.open(), lines(*range(MOST_LINES))) == (MOST_LINES, 0, [])


@pytest.mark.parametrize(("size", "status"), [(MAX_BYTES + 1, 200), (MAX_BATCH_BYTES - 2_000, 200)])
def test_a_call_may_be_larger_than_other_bodies(bulk: Bulk, size: int, status: int) -> None:
    each = size // 200
    sent = [line(number, metadata={"note": "x" * (each - 100)}) for number in range(200)]

    assert bulk.add(bulk.open(), sent).status_code == status


def test_a_larger_call_is_413_and_says_how_large_it_may_be(bulk: Bulk) -> None:
    batch, large = bulk.open(), [line(1, metadata={"note": "x" * MAX_BATCH_BYTES})]
    answers = [bulk.add(batch, large), bulk.post("", {"name": "a", "cancellations": large}, key="k")]
    alone = bulk.gateway.post("", {"booking_id": BOOKING, "metadata": {"note": "x" * MAX_BYTES}}, Idempotency_Key="k")

    assert [answer.status_code for answer in (*answers, alone)] == [413, 413, 413]
    assert "2048 KiB" in answers[0].get_json()["detail"]
    assert "256 KiB" in alone.get_json()["detail"]


def test_the_same_lines_sent_at_once_become_one_cancellation_each(bulk: Bulk) -> None:
    batch, numbers, callers = bulk.open(), list(range(60)), [Bulk(bulk.database) for _ in range(4)]

    def add(turn: int) -> tuple[int, int, list[tuple[int, str]]]:
        return callers[turn].taken(batch, lines(*(numbers if turn % 2 else reversed(numbers))))

    answers = at_once(add, times=4)

    assert sum(accepted for accepted, _, _ in answers) == 60
    assert sum(repeated for _, repeated, _ in answers) == 180
    assert len(bulk.rows()) == len(bulk.rows(Transition)) == 60
