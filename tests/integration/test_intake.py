"""Accepting: a caller's key stands for one cancellation, however often and however closely it is sent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from shared import intake
from shared.cancellation_request import parse
from shared.config import AcceptingSettings
from shared.lifecycle import TaskName
from shared.models import Cancellation, Transition
from shared.problems import Problem
from tests.recording import RecordingDatabase

SETTINGS = AcceptingSettings(xcover_partner_code="ABCDE", xclaim_claim_type_id="cfar")
BODY = {"booking_id": "8WD8Y-LTEKE-INS", "metadata": {"order": "A-1", "items": [1, 2]}}
AT_ONCE = 16


def accept(
    database: RecordingDatabase, body: dict[str, Any] | None = None, *, caller: str = "shop", key: str = "key-1"
) -> tuple[UUID, bool]:
    """Accept a body as a door does."""
    sent = BODY if body is None else body
    with database.transaction() as tx:
        request = parse(sent, settings=SETTINGS)
        return intake.accept(tx, request, sent=sent, caller=caller, key=key)


def refuse(
    database: RecordingDatabase, problem: Problem | None = None, *, booking_id: object = BODY["booking_id"]
) -> None:
    """Record a refusal as the door without an answer does."""
    told = problem or Problem("invalid-request", "Nothing was accepted; wrong or unknown: quotes.", errors=[])
    with database.transaction() as tx:
        intake.record_refused(
            tx, told, sent={**BODY, "booking_id": booking_id}, caller="shop", partner="ABCDE", key="key-1#refused"
        )


def rows(database: RecordingDatabase, table: Any = Cancellation) -> list[Any]:
    """Return every row of a table."""
    with database.reading() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def at_once(act: Callable[[int], Any], *, times: int = AT_ONCE) -> list[Any]:
    """Act in as many threads, all let go at one moment; an error of any rises."""
    barrier = Barrier(times)

    def one(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))


def test_an_accepted_request_is_due_at_once_and_rung_for(database: RecordingDatabase) -> None:
    row_id, created = accept(database)

    (row,) = rows(database)
    assert (row.id, created) == (row_id, True)
    assert (row.status, row.next_step, row.done_steps) == ("in_progress", "look_up", [])
    assert (row.partner, row.caller, row.idempotency_key, row.metadata_) == ("ABCDE", "shop", "key-1", BODY["metadata"])
    assert row.next_attempt_at is not None
    assert database.published == [(TaskName.LOOK_UP, row_id)]
    (line,) = rows(database, Transition)
    assert (line.event, line.actor, line.to_status) == ("accepted", "caller:shop", "in_progress")


def test_nothing_of_a_request_is_stored_or_rung_for_when_its_transaction_fails(database: RecordingDatabase) -> None:
    def fail() -> None:
        with database.transaction() as tx:
            request = parse(BODY, settings=SETTINGS)
            intake.accept(tx, request, sent=BODY, caller="shop", key="key-1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert (rows(database), rows(database, Transition), database.published) == ([], [], [])


@pytest.mark.parametrize(
    "again", [BODY, {"metadata": {"items": [1, 2], "order": "A-1"}, "booking_id": "8WD8Y-LTEKE-INS"}]
)
def test_the_same_key_with_the_same_body_stands_for_the_same_row(
    database: RecordingDatabase, again: dict[str, Any]
) -> None:
    first, _ = accept(database)
    database.published.clear()

    assert accept(database, again) == (first, False)
    assert len(rows(database)) == 1
    assert len(rows(database, Transition)) == 1
    assert database.published == []


@pytest.mark.parametrize(
    "other",
    [
        {"booking_id": "OTHER-BOOKI-INS"},
        {"booking_id": BODY["booking_id"]},
        {**BODY, "refund": {"mode": "wait"}},  # the default, but not what was sent
    ],
)
def test_the_same_key_with_another_body_is_refused_naming_the_first(
    database: RecordingDatabase, other: dict[str, Any]
) -> None:
    first, _ = accept(database)

    with pytest.raises(Problem) as refused:
        accept(database, other)

    assert (refused.value.slug, refused.value.status) == ("idempotency-key-reused", 422)
    assert refused.value.document["id"] == str(first)
    assert len(rows(database)) == 1


def test_another_caller_may_use_the_same_key(database: RecordingDatabase) -> None:
    first, _ = accept(database)
    second, created = accept(database, {"booking_id": "OTHER-BOOKI-INS"}, caller="other")

    assert created
    assert first != second
    assert accept(database) == (first, False)


@pytest.mark.parametrize("key", ["k", "K" * 255, "key-1 ", '"key-1"'])
def test_keys_are_compared_letter_by_letter(database: RecordingDatabase, key: str) -> None:
    accept(database, key="key-1")

    _, created = accept(database, key=key)

    assert created


def test_a_key_sent_many_times_at_once_stands_for_one_row(database: RecordingDatabase) -> None:
    answers = at_once(lambda _: accept(database))

    (row,) = rows(database)
    assert {row_id for row_id, _ in answers} == {row.id}
    assert [created for _, created in answers].count(True) == 1
    assert len(database.published) == 1
    assert len(rows(database, Transition)) == 1


def test_of_many_bodies_at_once_under_one_key_one_wins_and_the_others_are_told(database: RecordingDatabase) -> None:
    def send(number: int) -> str:
        try:
            accept(database, {"booking_id": f"BOOK-{number}"})
        except Problem as problem:
            return problem.slug
        return "accepted"

    answers = at_once(send)

    assert sorted(answers) == ["accepted"] + ["idempotency-key-reused"] * (AT_ONCE - 1)
    assert len(rows(database)) == 1


def test_a_refused_request_is_kept_where_an_operator_sees_it(database: RecordingDatabase) -> None:
    refuse(database)

    (row,) = rows(database)
    assert (row.status, row.next_step, row.next_attempt_at) == ("rejected", None, None)
    assert (row.booking_id, row.caller) == ("8WD8Y-LTEKE-INS", "shop")
    assert row.problem["type"] == "/problems/invalid-request"
    (line,) = rows(database, Transition)
    assert (line.event, line.to_status) == ("rejected", "rejected")
    assert database.published == []


def test_recording_the_same_refusal_again_changes_nothing(database: RecordingDatabase) -> None:
    refuse(database)
    before = [(row.id, row.updated_at) for row in rows(database)]

    refuse(database)

    assert [(row.id, row.updated_at) for row in rows(database)] == before
    assert len(rows(database, Transition)) == 1


def test_a_refusal_recorded_many_times_at_once_is_one_row(database: RecordingDatabase) -> None:
    at_once(lambda _: refuse(database))

    assert len(rows(database)) == 1
    assert len(rows(database, Transition)) == 1


@pytest.mark.parametrize(
    "booking", [None, 5, ["x"], {"a": 1}, "", "x" * 5000, "a\x00b", "\ud800", "someone@example.test, a whole sentence"]
)
def test_whatever_stood_in_the_booking_the_refusal_is_kept(database: RecordingDatabase, booking: Any) -> None:
    refuse(database, booking_id=booking)

    assert [row.status for row in rows(database)] == ["rejected"]


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 100_000])
def test_whatever_a_problem_names_the_refusal_is_kept(database: RecordingDatabase, name: str) -> None:
    with pytest.raises(Problem) as refused:
        parse({**BODY, name: 1}, settings=SETTINGS)

    refuse(database, refused.value)

    assert [row.status for row in rows(database)] == ["rejected"]
