"""Story: the crash attacks. Workers die and wake, answers are lost, clocks differ, doors race each other."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from shared import caller_actions, calls, cancellations, clock, reservations, transitions, webhook_events
from shared.db import Transaction
from shared.lifecycle import Step, TaskName
from shared.models import Call, Cancellation, Claim
from tests.simulator import SimBooking
from tests.simulator.caller import Caller
from tests.world import World, connections
from workers import submit_claim
from workers.app import app

SKIP = {"mode": "skip"}


def _arrive(world: World, token: str | None, event: str, **payload: Any) -> None:
    raw = json.dumps({"event": event, "payload": payload}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=token, key_id="first", headers={})


def _slug(world: World, row_id: UUID) -> str:
    return str((world.row(row_id).problem or {}).get("type", "")).rpartition("/")[2]


def _retry(world: World, row_id: UUID) -> None:
    with world.database.transaction() as tx:
        caller_actions.retry(tx, row_id, actor="operator:ops")


def _keys(world: World, operation: str) -> set[str]:
    return {request["key"] for request in world.control.requests(operation=operation)}


def _before_first(real: Callable[..., Any], meanwhile: Callable[[], None]) -> Callable[..., Any]:
    """Wrap a client's method: the worker sleeps before its first request leaves, and then sends it."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            meanwhile()
        return real(*args, **kwargs)

    return wrapped


def _until(world: World, step: str, row_id: UUID) -> None:
    while world.row(row_id).next_step != step:
        world.run(*world.database.published.pop(0))


def _someone_claims(world: World, booking: SimBooking, number: int = 0) -> str:
    with Caller(world.simulator) as caller:
        answer = caller.claim(booking.id, booking.quote_ids[number])
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["claimReference"])


# --- the fence ------------------------------------------------------------------------------------------------------


def test_a_failure_after_the_commit_does_not_undo_a_confirm_and_repeat_it_under_a_new_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    _until(world, "confirm", row_id)
    kept = world.database._publish

    def time_is_up(messages: Any) -> None:
        monkeypatch.setattr(world.database, "_publish", kept)
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(world.database, "_publish", time_is_up)
    with pytest.raises(SoftTimeLimitExceeded):
        world.drain()

    done = list(world.row(row_id).done_steps)
    world.settle()
    assert world.row(row_id).status == "completed"
    assert len(_keys(world, "confirm")) == 1, done
    assert "confirm" in done


def test_a_worker_that_wakes_past_its_lease_before_its_request_claims_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 10}, {"price": 50}])
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)

    def someone_else_takes_over() -> None:
        world.later(9)
        world.sweep()
        world.settle()

    monkeypatch.setattr(submit_claim, "derive_key", _before_first(submit_claim.derive_key, someone_else_takes_over))
    world.drain()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("claim", booking)) == 1


# --- reservations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_policy_whose_holder_lets_go_at_that_very_moment_is_still_reserved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking()
    first = world.accept(booking)
    world.drain()
    second = world.accept(booking)
    ask = reservations._holder

    def too_late(*args: Any) -> Any:
        with world.database.transaction() as tx:
            caller_actions.abort(tx, first, actor="caller:shop")
        return ask(*args)

    monkeypatch.setattr(reservations, "_holder", too_late)
    world.drain()
    monkeypatch.setattr(reservations, "_holder", ask)
    third = world.accept(booking)
    world.drain()

    assert sorted([world.row(second).status, world.row(third).status]) == ["awaiting_refund", "rejected"]
    assert world.held_policies() == list(booking.quote_ids)


def test_a_policy_whose_confirm_is_on_its_way_stays_in_hand_although_its_claim_is_declined(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 50}],
        currency="EUR",
        claim_story=[],
        faults=[{"on": "confirm", "do": "drop_before"}],
    )
    first = world.accept(booking, claim={})
    world.settle()
    world.report_refund(first, "50.00", "EUR")
    world.drain()  # the customer has its money, the confirm is unanswered
    assert world.row(first).next_step == "confirm"
    claim = world.claim(first)
    world.control.send_event(claim.reference, event="claim.status-category-update", category="Declined", send=False)
    _arrive(world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id)
    world.drain()

    second = world.accept(booking)
    world.drain()

    assert _slug(world, second) == "already-in-hand", world.row(second).status


# --- claims ---------------------------------------------------------------------------------------------------------


def test_a_claim_declined_while_the_confirm_is_unanswered_is_not_confirmed_again_unread(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 50}],
        currency="EUR",
        claim_story=[],
        faults=[{"on": "confirm", "do": "drop_before"}],
    )
    row_id = world.accept(booking, claim={})
    world.settle()
    world.report_refund(row_id, "50.00", "EUR")
    world.drain()
    claim = world.claim(row_id)
    world.control.send_event(claim.reference, event="claim.status-category-update", category="Declined", send=False)
    _arrive(world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id)
    world.drain()
    assert list(world.claim(row_id).milestones) == ["claim_closed_unpaid"]

    world.settle()

    assert world.row(row_id).status == "needs_review"
    assert world.effects("confirm", booking) == []


def test_a_claim_whose_policy_is_not_told_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "act_then_drop"}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    client = connections().xclaim
    listed, fetched, asked = client.list_claims, client.get_claim, client.eligibility

    def without_policies(booking_id: str) -> Any:
        answer = listed(booking_id)
        claims = tuple(replace(claim, quote_id=None) for claim in answer.value.claims)
        return replace(answer, value=replace(answer.value, claims=claims))

    def without_policy(**more: Any) -> Any:
        answer = fetched(**more)
        return replace(answer, value=replace(answer.value, quote_id=None))

    def always(booking_id: str, quote_id: str) -> Any:
        answer = asked(booking_id, quote_id)
        return replace(answer, value=replace(answer.value, is_eligible=True))

    monkeypatch.setattr(client, "list_claims", without_policies)
    monkeypatch.setattr(client, "get_claim", without_policy)
    monkeypatch.setattr(client, "eligibility", always)  # a claim type that allows several claims
    world.settle()

    assert len(world.effects("claim", booking)) == 1, world.row(row_id).status


@pytest.mark.parametrize("on", ["create_claim", "confirm"])
def test_an_answer_that_our_key_is_in_use_does_not_prove_that_nothing_was_done(world: World, on: str) -> None:
    world.control.settings(duplicates="accept")
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": on, "do": "act_then_error", "status": 423}])
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()
    if on == "confirm":
        world.later(25 * 3600)  # the offer lapses while no worker runs

    world.settle()

    assert world.row(row_id).status == "completed", world.row(row_id).problem
    assert len(world.effects("claim", booking)) == 1
    assert len(world.effects("confirm", booking)) == 1
    assert world.row(row_id).round == 1


@pytest.mark.parametrize(("ahead", "before"), [(0, 120), (600, 800)])
def test_a_claim_someone_else_made_before_ours_was_intended_is_not_adopted(
    world: World, ahead: int, before: int
) -> None:
    world.configure(xclaim_eligibility_check=False)
    world.control.settings(duplicates="accept", clock_offset_seconds=ahead)
    booking = world.booking(policies=[{"price": 50}])
    theirs = _someone_claims(world, booking)
    world.control.patch_booking(booking.id, faults=[{"on": "create_claim", "do": "drop_before"}])
    world.later(before)

    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.settle()

    assert world.claim(row_id).reference != theirs, world.row(row_id).status


@pytest.mark.parametrize("behind", [360, -360])
@pytest.mark.parametrize("fault", [None, "act_then_drop"])
def test_an_insurer_whose_clock_is_six_minutes_off_gets_one_claim_and_it_is_found(
    world: World, behind: int, fault: str | None
) -> None:
    world.control.settings(duplicates="accept", clock_offset_seconds=-behind)
    faults = [{"on": "create_claim", "do": fault}] if fault else []
    booking = world.booking(policies=[{"price": 50}], claim_pending_polls=1, faults=faults)
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "completed", world.row(row_id).problem
    assert len(world.effects("claim", booking)) == 1


def test_a_host_whose_clock_is_ahead_does_not_make_newer_readings_look_old(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    real = clock.utc_now
    monkeypatch.setattr(clock, "utc_now", lambda: real() + timedelta(minutes=2))
    row_id = world.accept(booking, claim={})
    world.settle()
    claim = world.claim(row_id)
    world.control.send_event(claim.reference, event="claim.status-category-update", category="Under Review", send=False)

    _arrive(world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id)
    world.drain()

    assert world.claim(row_id).status == "Under Review"


def test_an_event_of_another_claim_of_the_booking_does_not_close_ours(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[], claim_pending_seconds=3600)
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, refund=SKIP)
    world.drain()  # ours is pending: it has a reference and no id
    ours = world.claim(row_id)
    assert ours.claim_id is None
    assert ours.reference is not None

    _arrive(
        world, None, "claim.status-category-update", id="another-claims-id", claimReference="OTHER-CLAIM-CLA",
        bookingReference=booking.id, status={"category": "Declined"},
    )  # fmt: skip
    world.drain()

    assert world.claim(row_id).milestones == {}
    assert booking.quote_ids[1] in world.held_policies()


def test_an_earlier_claim_of_ours_is_not_taken_for_the_new_one_and_crashes_nobody(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], claim_story=[])
    claimed = {"quote_id": booking.quote_ids[1], "when": "before_confirm"}
    first = world.accept(booking, claim=claimed, quotes=[{"id": booking.quote_ids[0]}])
    world.drain()
    world.control.settings(duplicates="accept")
    world.control.patch_booking(booking.id, faults=[{"on": "create_claim", "do": "drop_before"}])
    one = world.claim(first)
    world.control.send_event(one.reference, event="claim.status-category-update", category="Declined", send=False)
    _arrive(world, one.webhook_token, "claim.status-category-update", id=one.claim_id)
    world.drain()
    assert booking.quote_ids[1] not in world.held_policies()
    world.configure(xclaim_eligibility_check=False)
    second = world.accept(booking, claim={"quote_id": booking.quote_ids[1]}, quotes=[{"id": booking.quote_ids[1]}])
    world.settle()

    assert _slug(world, second) != "worker-crashed", world.row(second).problem
    references = [claim.reference for claim in world.all(Claim) if claim.reference]
    assert len(references) == len(set(references))


# --- locks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_zombies_last_beat_and_the_next_workers_first_beat_do_not_deadlock(world: World) -> None:
    row_id = world.accept(world.booking(), refund=SKIP)
    _until(world, "confirm", row_id)

    def begin(tx: Transaction, ready: Callable[[], object]) -> tuple[Cancellation, Call]:
        held = cancellations.begin_step(tx, row_id, Step.CONFIRM)
        assert held is not None
        ready()
        return held, calls.intend(tx, held, Step.CONFIRM, round_number=1, body={}, evidence={})

    with world.database.transaction() as tx:
        held, call = begin(tx, lambda: None)
    world.later(9)
    recorded, begun = Event(), Event()
    failures: list[BaseException] = []

    def next_worker() -> None:
        try:
            recorded.wait(5)
            with world.database.transaction() as tx:
                begin(tx, begun.set)
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=next_worker)
    thread.start()
    try:
        with world.database.transaction() as tx:
            recorded.set()
            begun.wait(5)
            cancellations.finish_step(tx, held, Step.CONFIRM, "confirmed")
            calls.record(tx, call, "done")  # in this order everywhere: the cancellation's row first
    except transitions.LeaseLost:
        pass
    except BaseException as error:
        failures.append(error)
    thread.join()

    assert failures == []


# --- loops and floods -----------------------------------------------------------------------------------------------


def test_an_insurer_that_always_answers_a_preview_with_a_conflict_is_not_flooded(world: World) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": "refuse", "status": 409, "times": 1000}])
    world.accept(booking, refund=SKIP)

    world.drain()

    assert len(world.control.requests(operation="preview")) < 10


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
def test_offers_that_barely_outlast_the_margin_are_not_renewed_in_a_flood_for_ever(world: World) -> None:
    world.control.settings(preview_validity=61.5)
    booking = world.booking()
    row_id = world.accept(booking, refund=SKIP)
    seconds = 0
    for _ in range(120):
        if not world.database.published:
            world.later(5)
            seconds += 5
            world.sweep()
            continue
        world.run(*world.database.published.pop(0))
        world.later(2)  # the time a message waits in its queue
        seconds += 2

    rounds = world.row(row_id).round
    assert rounds <= seconds / 30 + 2, (rounds, seconds, world.row(row_id).status)


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
def test_an_insurer_that_keeps_throttling_is_asked_less_and_less_often(world: World) -> None:
    booking = world.booking(faults=[{"on": "get_booking", "do": "throttle", "times": 1000}])
    world.accept(booking)
    world.drain()

    for _ in range(300):  # ten minutes
        world.later(2)
        world.sweep()
        world.drain()

    assert len(world.control.requests(operation="get_booking")) < 60


def test_a_webhook_that_always_fails_is_not_handled_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    row_id = world.accept(booking, claim={})
    world.settle()
    claim, tried = world.claim(row_id), 0

    def broken(**_more: Any) -> Any:
        nonlocal tried
        tried += 1
        raise ZeroDivisionError

    monkeypatch.setattr(connections().xclaim, "get_claim", broken)
    _arrive(world, claim.webhook_token, "claim.status-category-update", id=claim.claim_id)
    for _ in range(60):
        for message in list(world.database.published):
            world.database.published.remove(message)
            if message[0] == TaskName.HANDLE_WEBHOOK:
                with pytest.raises(ZeroDivisionError):
                    world.run(*message)
        world.later(100)
        world.sweep()

    assert tried < 30


# --- statuses -------------------------------------------------------------------------------------------------------


def test_a_longer_wait_set_by_a_new_release_leaves_those_that_wait_waiting(world: World) -> None:
    world.configure(refund_max_wait="2h")
    row_id = world.accept(world.booking())
    world.drain()
    assert world.row(row_id).status == "awaiting_refund"

    world.configure(refund_max_wait="14d")
    world.later(2 * 3600 + 1)
    world.sweep()
    world.drain()

    assert world.row(row_id).status == "awaiting_refund"


def test_a_retry_after_too_many_confirms_makes_no_new_key(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 10}], faults=[{"on": "confirm", "do": "refuse", "status": 409, "times": 50}]
    )
    row_id = world.accept(booking, refund=SKIP)
    world.settle()
    assert world.row(row_id).status == "needs_review"
    before = _keys(world, "confirm")

    _retry(world, row_id)
    world.settle()

    assert _keys(world, "confirm") == before


def test_a_refund_reported_after_its_wait_was_given_up_is_not_left_lying(world: World) -> None:
    world.configure(refund_max_wait="2h")
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    world.later(2 * 3600 + 1)
    world.sweep()
    world.drain()
    assert _slug(world, row_id) == "refund-not-reported"

    assert world.report_refund(row_id, "10.00", "EUR").status in {200, 202}
    world.settle()

    row = world.row(row_id)
    assert row.status == "completed" or _slug(world, row_id) != "refund-not-reported", row.problem


# --- the Celery door ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("booking_id", ["AB\x00CD", "AB\ud800CD"])
def test_a_message_that_no_database_can_store_is_recorded_and_not_put_back_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch, booking_id: str
) -> None:
    monkeypatch.setattr("workers.celery_door.PAUSE", 0.0)

    app.tasks[TaskName.REQUEST.value](booking_id=booking_id, idempotency_key="k-1")

    assert [row.status for row in world.rows()] == ["rejected"]


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
def test_a_message_with_an_unknown_field_no_database_can_store_is_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("workers.celery_door.PAUSE", 0.0)

    app.tasks[TaskName.REQUEST.value](booking_id="ABC", idempotency_key="k-1", **{name: 1})

    assert [row.status for row in world.rows()] == ["rejected"]


# --- someone else, and long waits -----------------------------------------------------------------------------------


def test_someone_elses_cancellation_is_not_taken_for_ours_because_our_preview_went_unanswered_for_hours(
    world: World,
) -> None:
    booking = world.booking(faults=[{"on": "preview", "do": "drop_before"}])
    row_id = world.accept(booking, refund=SKIP)
    world.drain()
    assert world.row(row_id).next_step == "preview"
    world.later(3600)
    with Caller(world.simulator) as caller:
        theirs = caller.preview(booking.id).json()["cancellation_id"]
        world.later(3600)
        world.sweep()
        _until(world, "confirm", row_id)
        assert caller.confirm(booking.id, theirs).status_code == 200

    world.settle()

    assert _slug(world, row_id) == "cancelled-by-someone-else", world.row(row_id).status


@pytest.mark.key_mode("honoured")  # a long story about waiting, in which no key decides
def test_a_claim_that_is_polled_for_long_is_not_given_up_for_failures_that_passed(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_seconds=30 * 24 * 3600)
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()

    for _ in range(101):  # every second look fails, every other is answered
        world.control.patch_booking(booking.id, faults=[{"on": "get_claim", "do": "error_before"}])
        for _ in range(2):
            world.later(301)
            world.sweep()
            world.drain()

    assert world.row(row_id).status == "in_progress", world.row(row_id).problem


def test_a_claim_that_is_polled_for_long_survives_a_few_restarts_of_its_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    booking = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_seconds=30 * 24 * 3600)
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.drain()
    client = connections().xclaim
    real = client.get_claim

    def die(**_more: Any) -> Any:
        raise Killed

    for _ in range(7):  # one unlucky restart a day, with a thousand answered looks in between
        monkeypatch.setattr(client, "get_claim", die)
        world.later(70)
        world.sweep()
        with suppress(Killed):
            world.drain()
        monkeypatch.setattr(client, "get_claim", real)
        world.later(24 * 3600)
        world.sweep()
        world.drain()

    assert world.row(row_id).status == "in_progress", world.row(row_id).problem


def test_a_claim_that_xclaim_has_just_named_and_does_not_show_yet_is_asked_for_again(world: World) -> None:
    booking = world.booking(
        policies=[{"price": 50}],
        claim_pending_polls=1,
        faults=[{"on": "get_claim", "do": "refuse", "status": 404}],
    )
    row_id = world.accept(booking, claim={}, refund=SKIP)

    world.settle()

    assert world.row(row_id).status == "completed", world.row(row_id).problem
