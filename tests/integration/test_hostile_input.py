"""Hostile input, end to end: a broken insurer, forged webhooks, hostile messages and bodies, and a snoop in the rows.

Whatever comes in, the row ends where a person sees why, nothing irreversible follows from it, and no personal data of
it is kept. Most run on one database: both only where the columns' limits or types matter.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.exceptions import Reject, SoftTimeLimitExceeded
from kombu.utils.json import dumps, loads
from sqlalchemy import LargeBinary, select, text
from sqlalchemy.exc import OperationalError

from shared import logs, webhook_events
from shared.cancellation_request import CancellationRequest
from shared.columns import Base
from shared.config import WorkerSettings
from shared.insurer.transport import InsurerHttp, Reply, parse_json
from shared.lifecycle import TaskName
from shared.models import Claim
from shared.webhook_models import WebhookDelivery
from shared.xclaim.signature import derive_key, sign
from tests.gateway import BOOKING, Gateway
from tests.recording import RecordingDatabase
from tests.world import World
from workers import celery_door
from workers.app import app

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SKIP = {"mode": "skip"}
A_CLAIM, THE_CLAIMS = "/claims/", "/claims$"
PKG, QUOTE = "AAAAA-BBBBB-INS", "201eb11b-4494-40e8-97fa-e107c76501bf"


def answers(on: str, body: Any, *, times: int = 1000, status: int = 200) -> dict[str, Any]:
    return {"on": on, "do": "refuse", "status": status, "body": body, "times": times}


def a_preview(**changes: Any) -> dict[str, Any]:
    quote = {"id": QUOTE, "status": "CANCELLED", "refund_value": 22.4, "cancelled_at": None}
    return {
        "id": PKG, "status": "CANCELLED", "quotes": [quote], "currency": "EUR", "total_refund": 22.4,
        "cancellation_id": "90o3N-fIexx-Zw2bd-CCL", "confirm_before": "2030-01-01T00:00:00Z", **changes,
    }  # fmt: skip


def a_booking(**changes: Any) -> dict[str, Any]:
    quote = {"id": QUOTE, "status": "CONFIRMED", "can_be_cancelled": True, "cancelled_at": None}
    return {"id": PKG, "status": "CONFIRMED", "currency": "EUR", "quotes": [quote], **changes}


def one_policy(world: World, *faults: dict[str, Any], **more: Any) -> Any:
    return world.booking(id=PKG, policies=[{"id": QUOTE, "price": 22.4}], faults=list(faults), **more)


def survive(world: World, *, rounds: int = 25) -> list[BaseException]:
    """Run as workers would: an exception fails the task and the sweeper rings again."""
    failures: list[BaseException] = []
    for _ in range(rounds):
        while world.database.published:
            try:
                world.run(*world.database.published.pop(0))
            except Exception as error:
                failures.append(error)
        try:
            wait = world._seconds_to_next()
        except Exception as error:
            failures.append(error)
            wait = 0.0
        if wait is None:
            break
        world.later(max(wait, 0.0) + 10.1)
        try:
            world.sweep()
        except Exception as error:
            failures.append(error)
    return failures


def kinds(failures: list[BaseException]) -> list[str]:
    return [f"{type(error).__name__}: {str(error)[:150]}" for error in failures[:6]]


def parked(world: World, row_id: UUID, failures: list[BaseException]) -> None:
    row = world.row(row_id)
    kind = (row.problem or {}).get("type")
    assert (failures, row.status) == ([], row.status), (kinds(failures), row.status, kind)
    assert row.status in {"needs_review", "rejected"}, (row.status, kind, kinds(failures))
    assert kind not in {"/problems/internal-error", "/problems/worker-crashed"}, (row.problem, kinds(failures))


# --- a broken insurer ----------------------------------------------------------------------------------------------


NEVER = "9999-12-31T23:59:59Z"


def _raw_state(world: World) -> list[Any]:
    with world.database.reading() as session:
        asked = text("SELECT status, next_step, tries, abandoned, CAST(preview_expires_at AS TEXT) FROM cancellations")
        return [tuple(row) for row in session.execute(asked)]


@pytest.mark.parametrize("behind", [0, 5])
def test_an_offer_that_never_ends_leaves_its_row_readable_and_going(world: World, behind: int) -> None:
    world.control.shift_clock(-behind)
    last = NEVER if behind else "9999-12-31T23:59:59.999999Z"
    one_policy(world, answers("preview", a_preview(confirm_before=last)))
    world.accept(PKG)

    failures = survive(world, rounds=15)

    assert (kinds(failures)[:2], _raw_state(world)[0][0]) == ([], "awaiting_refund"), _raw_state(world)


@ON_POSTGRESQL
def test_an_offer_that_never_ends_does_not_break_the_list_of_its_caller_and_of_operators(world: World) -> None:
    world.control.shift_clock(-5)
    one_policy(world, answers("preview", a_preview(confirm_before=NEVER)))
    world.accept(PKG)
    survive(world, rounds=3)

    gateway = Gateway(world.database)

    assert [gateway.get("", token=token).status_code for token in ("shop-token", "operator-token")] == [200, 200]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("long cancellation id", {"cancellation_id": "c" * 65}),
        ("currency of four", {"currency": "EURO"}),
        ("lower case currency", {"currency": "eur"}),
        ("huge total", {"total_refund": 1e30}),
        ("negative total", {"total_refund": -5}),
        ("metal", {"currency": "XAU"}),
        ("nul", {"cancellation_id": "a\u0000b", "currency": "E\u0000R"}),
    ],
)
def test_a_preview_that_cannot_be_stored_is_parked_clearly(world: World, what: str, change: dict[str, Any]) -> None:
    one_policy(world, answers("preview", a_preview(**change)))
    row_id = world.accept(PKG)

    failures = survive(world)

    parked(world, row_id, failures)


@ON_SQLITE
@pytest.mark.parametrize("refunds", [(30.0, -7.6), (11.205, 11.195)])
def test_policy_refunds_that_are_no_amounts_disagree(world: World, refunds: tuple[float, float]) -> None:
    other = "302eb11b-4494-40e8-97fa-e107c76501bf"
    quotes = [
        {"id": quote_id, "status": "CANCELLED", "refund_value": refund, "cancelled_at": None}
        for quote_id, refund in zip((QUOTE, other), refunds, strict=True)
    ]
    world.booking(
        id=PKG, policies=[{"id": QUOTE}, {"id": other}], faults=[answers("preview", a_preview(quotes=quotes))]
    )
    row_id = world.accept(PKG)

    failures = survive(world, rounds=3)

    assert failures == []
    assert world.row(row_id).status == "needs_review"


@ON_SQLITE
def test_a_confirm_that_refunds_another_amount_than_previewed_is_for_a_person(world: World) -> None:
    gone = [{"id": QUOTE, "status": "CANCELLED", "refund_value": 1, "cancelled_at": "2026-11-21T10:00:00Z"}]
    confirmed = a_preview(quotes=gone, total_refund=1.0, cancellation_id=None, confirm_before=None)
    one_policy(world, answers("confirm", confirmed))
    row_id = world.accept(PKG, refund=SKIP)

    failures = survive(world, rounds=5)

    assert failures == []
    assert world.row(row_id).status == "needs_review", (world.row(row_id).status, world.row(row_id).preview_total)


@ON_POSTGRESQL
@pytest.mark.parametrize("length", [65, 400])
def test_policy_ids_longer_than_our_columns_are_parked_clearly(world: World, length: int) -> None:
    quote = {"id": "q" * length, "status": "CONFIRMED", "can_be_cancelled": True}
    one_policy(world, answers("get_booking", a_booking(quotes=[quote])))
    row_id = world.accept(PKG)

    failures = survive(world)

    parked(world, row_id, failures)


@ON_POSTGRESQL
def test_a_booking_of_very_many_policies_is_carried_or_refused_without_a_crash(world: World) -> None:
    quotes = [{"id": f"quote-{number:06}", "status": "CONFIRMED", "can_be_cancelled": True} for number in range(500)]
    one_policy(world, answers("get_booking", a_booking(quotes=quotes)))
    row_id = world.accept(PKG)

    world.run(*world.database.published.pop(0))

    row = world.row(row_id)
    assert row.done_steps == ["look_up"] or row.status == "rejected", (row.status, row.problem)


@ON_POSTGRESQL
@pytest.mark.parametrize(
    "body",
    [
        {"data": {"id": "c" * 65, "claimReference": "R-1"}},
        {"data": {"id": "c-1", "claimReference": "R" * 65}},
    ],
)
def test_claim_names_longer_than_our_columns_are_parked_clearly(world: World, body: dict[str, Any]) -> None:
    one_policy(world, answers("create_claim", body), claim_when_cancelled=True)
    row_id = world.accept(PKG, claim={}, refund=SKIP)

    failures = survive(world, rounds=40)

    parked(world, row_id, failures)


@ON_POSTGRESQL
def test_the_same_claim_id_for_two_policies_is_parked_clearly(world: World) -> None:
    body = {"data": {"id": "c-1", "claimReference": "R-1", "status": {"category": "Submitted"}}}
    other = "302eb11b-4494-40e8-97fa-e107c76501bf"
    one_policy(world, answers("create_claim", body))
    world.booking(id="OTHER-BBBBB-INS", policies=[{"id": other}], faults=[answers("create_claim", body)])
    world.accept(PKG, claim={}, refund=SKIP)
    survive(world, rounds=5)
    row_id = world.accept("OTHER-BBBBB-INS", claim={}, refund=SKIP)

    failures = survive(world, rounds=40)

    parked(world, row_id, failures)


@ON_SQLITE
def test_a_claim_shown_as_another_policys_is_parked_as_that_and_not_as_an_internal_error(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    # the create is pending; reading it back by its reference shows another policy
    created = {"data": {"claim_reference": "R-1", "booking_reference": PKG, "processing_status": "pending"}}
    one_policy(world, {"on": "create_claim", "do": "refuse", "status": 202, "body": created})
    row_id = world.accept(PKG, claim={}, refund=SKIP)
    world.drain()
    assert world.claim(row_id).reference == "R-1"
    shown = {"data": {"id": "c-9", "claim_reference": "R-1", "booking_reference": PKG, "quote_reference": "else"}}
    tamper(A_CLAIM, shown)

    failures = survive(world, rounds=40)

    parked(world, row_id, failures)


@ON_SQLITE
def test_a_claim_type_in_other_letters_is_still_our_claim_and_is_not_made_twice(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    upper = "ABCDEFAB-4494-40E8-97FA-E107C76501BF"
    world.control.settings(duplicates="accept")
    listed = [
        {
            "id": "c-1", "claimReference": "R-1", "bookingReference": PKG, "quoteReference": QUOTE,
            "claimTypeId": upper.lower(), "reportedAt": datetime.now(UTC).isoformat(),
            "status": {"category": "Submitted"},
        }
    ]  # fmt: skip
    tamper(THE_CLAIMS, {"data": listed})
    made = {"data": listed[0]}
    one_policy(world, answers("create_claim", made, status=201))
    row_id = world.accept(PKG, claim={"claim_type_id": upper}, refund=SKIP)

    failures = survive(world, rounds=30)

    sent = len(world.control.requests(operation="create_claim"))
    assert sent == 1, (sent, world.row(row_id).status, world.row(row_id).problem, kinds(failures))


@ON_SQLITE
def test_a_list_with_an_impossible_next_page_is_not_an_internal_error(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    tamper(THE_CLAIMS, {"data": [], "links": {"next": "http://[bad/claims"}})
    one_policy(world, {"on": "create_claim", "do": "act_then_drop"})
    row_id = world.accept(PKG, claim={}, refund=SKIP)

    failures = survive(world, rounds=20)

    parked(world, row_id, failures)


@pytest.fixture
def tamper(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Let the insurer answer GETs of addresses that match a pattern with this body."""

    def answer(pattern: str, body: Any) -> None:
        original = InsurerHttp.send

        def send(self: InsurerHttp, method: str, url: str, **more: Any) -> Reply:
            if method != "GET" or not re.search(pattern, url):
                return original(self, method, url, **more)
            told = parse_json(json.dumps(body).encode())
            now = datetime.now(UTC)
            return Reply(status=200, json=told, excerpt="", insurer_time=now, retry_after=None, next_link=None)

        monkeypatch.setattr(InsurerHttp, "send", send)

    return answer


@ON_SQLITE
def test_an_eligibility_amount_in_another_form_does_not_hold_up_what_it_is_not_needed_for(world: World) -> None:
    said = {"isCustomerEligible": True, "claimAmount": "1,000.00", "currency": "USD"}
    one_policy(world, answers("eligibility", said))
    row_id = world.accept(PKG, claim={}, refund=SKIP)

    failures = survive(world, rounds=10)

    assert (failures, world.row(row_id).status) == ([], "completed"), world.timeline(row_id)[-1].reason


# --- the hostile webhook sender ------------------------------------------------------------------------------------


def arrive(world: World, token: str | None, event: str, **payload: Any) -> UUID:
    raw = json.dumps({"event": event, "payload": payload}).encode()
    with world.database.transaction() as tx:
        delivery_id, _ = webhook_events.record(tx, raw, source="xclaim", token=token, key_id="first", headers={})
    return delivery_id


def claimed(world: World, **spec: Any) -> tuple[UUID, Claim]:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], **spec)
    row_id = world.accept(booking, claim={})
    world.settle()
    return row_id, world.claim(row_id)


STATUS = "claim.status-category-update"


@ON_SQLITE
def test_an_event_about_another_booking_and_claim_touches_nothing_on_this_claims_address(world: World) -> None:
    row_id, claim = claimed(world)

    arrive(
        world, claim.webhook_token, STATUS, claimReference="OTHER-CLAIM-CLA", bookingReference="OTHER-BOOK1-INS",
        status={"category": "Declined"},
    )  # fmt: skip
    world.drain()

    assert (world.claim(row_id).milestones, world.row(row_id).status) == ({}, "awaiting_refund")


@ON_SQLITE
def test_the_bare_address_does_not_close_our_pending_claim_for_a_foreign_claim_of_the_booking(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_polls=500)
    row_id = world.accept(booking, claim={})
    world.drain()
    claim = world.claim(row_id)
    assert claim.reference
    assert claim.claim_id is None

    arrive(
        world, None, STATUS, id="foreign-id", claimReference="FOREIGN-CLA", bookingReference=booking.id,
        status={"category": "Declined"},
    )  # fmt: skip
    world.database.published[:] = [m for m in world.database.published if m[0] is TaskName.HANDLE_WEBHOOK]
    world.drain()

    (delivery,) = world.all(WebhookDelivery)
    assert (world.claim(row_id).milestones, world.held_policies()) == ({}, [claim.quote_id]), delivery.verdict


@ON_SQLITE
def test_the_bare_address_adopts_no_claim_that_does_not_name_our_policy(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    booking = world.booking(policies=[{"price": 50}], faults=[{"on": "create_claim", "do": "drop_before"}])
    row_id = world.accept(booking, claim={})
    world.drain()  # the claim went unanswered: we do not know whether it exists
    tamper(A_CLAIM, {"data": {"id": "foreign-id", "status": {"category": "Submitted"}}})

    arrive(world, None, STATUS, id="foreign-id", bookingReference=booking.id, status={"category": "Submitted"})
    world.database.published[:] = [m for m in world.database.published if m[0] is TaskName.HANDLE_WEBHOOK]
    world.drain()

    assert world.claim(row_id).claim_id is None


def _handle_for_long(world: World, rounds: int) -> tuple[list[BaseException], WebhookDelivery]:
    failures: list[BaseException] = []
    for _ in range(rounds):
        (delivery,) = world.all(WebhookDelivery)
        if delivery.next_attempt_at is None:
            break
        try:
            world.run(TaskName.HANDLE_WEBHOOK, delivery.id)
        except Exception as error:
            failures.append(error)
        world.later(301)
    return failures, world.all(WebhookDelivery)[0]


@ON_SQLITE
def test_an_event_whose_claim_is_never_shown_readably_is_not_retried_for_ever(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    _, claim = claimed(world)
    tamper(A_CLAIM, {"data": {"id": 7}})
    arrive(world, claim.webhook_token, STATUS, id=claim.claim_id, status={"category": "Under Review"})

    failures, delivery = _handle_for_long(world, 40)

    assert failures == []
    assert delivery.next_attempt_at is None, (delivery.tries, delivery.verdict)


@ON_POSTGRESQL
def test_an_event_whose_claim_has_a_too_long_id_is_not_retried_for_ever(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_polls=500)
    row_id = world.accept(booking, claim={})
    world.drain()
    reference = world.claim(row_id).reference
    tamper(A_CLAIM, {"data": {"id": "c" * 80, "claim_reference": reference, "status": "Submitted"}})
    arrive(world, world.claim(row_id).webhook_token, STATUS, claimReference=reference, status={"category": "Submitted"})

    failures, delivery = _handle_for_long(world, 40)

    assert delivery.next_attempt_at is None, (delivery.tries, delivery.verdict, kinds(failures))


@ON_POSTGRESQL
def test_an_event_whose_claim_id_is_another_claims_is_not_retried_for_ever(
    world: World, tamper: Callable[[str, Any], None]
) -> None:
    _, first = claimed(world)
    booking = world.booking(policies=[{"price": 50}], claim_story=[], claim_pending_polls=500)
    row_id = world.accept(booking, claim={})
    world.drain()
    second = world.claim(row_id)
    tamper(A_CLAIM, {"data": {"id": first.claim_id, "claim_reference": second.reference, "status": "Submitted"}})
    arrive(world, second.webhook_token, STATUS, claimReference=second.reference, status={"category": "Submitted"})

    failures, delivery = _handle_for_long(world, 40)

    assert delivery.next_attempt_at is None, (delivery.tries, delivery.verdict, kinds(failures))


@ON_SQLITE
@pytest.mark.parametrize(
    ("keys", "signed_with"),
    [("a,,b", ""), ("a, ,b", " "), ("a,b,", ""), (" a ,b", " a ")],
)
def test_empty_and_blank_keys_open_nothing(database: RecordingDatabase, keys: str, signed_with: str) -> None:
    gateway = Gateway(database, xclaim_webhook_keys=keys)
    raw = json.dumps({"event": "x", "payload": {}}).encode()

    for path, key in (("", signed_with), ("/tok", derive_key(signed_with, "tok"))):
        answer = gateway.client.post(f"/webhooks/xclaim{path}", data=raw, headers={"XClaim-Signature": sign(raw, key)})
        assert answer.status_code == 401


# --- the Celery door -----------------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def hand_over(world: World, **kwargs: Any) -> str:
    try:
        app.tasks[TaskName.REQUEST.value](**loads(dumps(kwargs)))  # as it travels
    except Reject:
        return "put back for ever: a poison message"
    except Exception as error:
        return f"dropped by {type(error).__name__}: {str(error)[:100]}"
    return "taken"


HOSTILE = {
    "booking id with NUL": {"booking_id": "a\x00b"},
    "field name with NUL": {"booking_id": "ok", "a\x00b": 1},
    "quote field name with NUL": {"booking_id": "ok", "quotes": [{"id": "q", "a\x00b": 1}]},
    "booking id with lone surrogate": {"booking_id": "a\ud800b"},
    "field name with lone surrogate": {"booking_id": "ok", "a\ud800b": 1},
    "decimal in metadata": {"booking_id": "ok", "metadata": {"a": {"__type__": "decimal", "__value__": "1"}}},
    "uuid in section fields": {
        "booking_id": "ok",
        "claim": {"section_fields": [{"__type__": "uuid", "__value__": {"hex": "0" * 32}}]},
    },
    "bytes in metadata": {"booking_id": "ok", "metadata": {"a": {"__type__": "bytes", "__value__": "x"}}},
    "datetime as booking": {"booking_id": {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}},
    "deep metadata": {"booking_id": "ok", "metadata": {"a": nested(700)}},
    "key with NUL": {"booking_id": "ok", "idempotency_key": "a\x00b"},
    "caller with NUL": {"booking_id": "ok", "caller": "a\x00b"},
    "caller not text": {"booking_id": "ok", "caller": ["shop"]},
    "metadata with NUL": {"booking_id": "ok", "metadata": {"a\x00": "b\x00"}},
    "huge int": {"booking_id": "ok", "metadata": {"a": 10**4000}},
    "long unknown field": {"booking_id": "ok", "x" * 300_000: 1},
    "surrogate metadata": {"booking_id": "ok", "metadata": {"\ud800": "\udfff"}},
    "infinite": {"booking_id": "ok", "metadata": {"a": float("inf")}},
}


@ON_POSTGRESQL
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_celery_message_leaves_an_entry_an_operator_sees(world: World, name: str) -> None:
    kwargs = {"idempotency_key": f"key-{uuid4()}", **HOSTILE[name]}

    outcome = hand_over(world, **kwargs)

    assert (outcome, len(world.rows())) == ("taken", 1)
    gateway = Gateway(world.database)
    assert gateway.get("", token="operator-token").status_code == 200


@ON_POSTGRESQL
@pytest.mark.parametrize("depth", [100, 300])
def test_metadata_from_celery_that_is_nested_deeper_than_http_allows_breaks_no_list(world: World, depth: int) -> None:
    outcome = hand_over(world, idempotency_key="k-1", booking_id="ok", metadata={"a": nested(depth)})

    gateway = Gateway(world.database)
    shown = gateway.get("", token="operator-token").status_code
    assert (outcome, len(world.rows()), shown) == ("taken", 1, 200)


@ON_POSTGRESQL
@pytest.mark.parametrize("depth", [100, 300])
def test_section_fields_from_celery_that_are_nested_deeply_leave_an_entry(world: World, depth: int) -> None:
    outcome = hand_over(world, idempotency_key="k-1", booking_id="ok", claim={"section_fields": [nested(depth)]})

    assert (outcome, len(world.rows())) == ("taken", 1)
    (row,) = world.rows()
    assert row.status == "rejected" or CancellationRequest.model_validate(row.request)


@ON_SQLITE
def test_a_celery_message_whose_time_runs_out_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_args: Any, **_more: Any) -> Any:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(celery_door.intake, "accept", hangs)
    monkeypatch.setattr(celery_door, "PAUSE", 0)

    with pytest.raises(Reject) as put_back:
        app.tasks[TaskName.REQUEST.value](booking_id="ok", idempotency_key="k-1")

    assert (put_back.value.requeue, world.rows()) == (True, [])


@ON_SQLITE
def test_a_celery_message_that_meets_a_mistake_of_ours_leaves_an_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: Any, **_more: Any) -> Any:
        raise ZeroDivisionError(LAST)

    monkeypatch.setattr(celery_door.intake, "accept", breaks)

    outcomes = [hand_over(world, idempotency_key="k-1", booking_id="ok", metadata={"who": LAST}) for _ in range(2)]

    (row,) = world.rows()
    assert (outcomes, row.status, row.booking_id) == (["taken"] * 2, "rejected", "ok")
    assert row.problem is not None
    assert row.problem["type"] == "/problems/internal-error"
    assert leaks(world) == []


# --- the hostile caller over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


RAW_BODIES = [
    b'{"booking_id": "a", "\\ud800": 1}',
    b'{"booking_id": "a", "\\u0000": 1}',
    b'{"booking_id": "\\ud800"}',
    b'{"booking_id": "a", "metadata": {"\\ud800": 1}}',
    b'{"booking_id": "a", "metadata": {"a": "\\udfff"}}',
    b'{"booking_id": "a", "metadata": {"\\u0000": 1}}',
    b'{"booking_id": "a", "metadata": {"a": ["\\u0000"]}}',
    b'{"booking_id": "a", "metadata": {"a": 1e400}}',
    b'{"booking_id": "a", "metadata": {"a": ' + b"9" * 5000 + b"}}",
    b'{"booking_id": "a", "metadata": {"a": ' + b"9" * 4000 + b"}}",
    b'{"booking_id": "a", "metadata": {"a": 1e308, "b": 5e-324, "c": -0.0}}',
    b'{"booking_id": "a", "quotes": [{"id": "q", "reason_for_cancellation": "\\u2028\\ufdd0"}]}',
    b'{"booking_id": "a", "claim": {"section_fields": [{"\\u0000": "x"}]}}',
    b'{"booking_id": "a", "claim": {"language": "en' + b"-aaaaaaaa" * 20000 + b'"}}',
    b'{"booking_id": "a\\n"}',
    b'{"booking_id": ' + b"[" * 100000,
    b"\xef\xbb\xbf{}",
    b"null",
    b'"x"',
    b"",
]


@ON_POSTGRESQL
@pytest.mark.parametrize("raw", RAW_BODIES, ids=lambda raw: str(raw[:60]))
def test_no_body_makes_a_5xx(gateway: Gateway, raw: bytes) -> None:
    headers = {"Authorization": "Bearer shop-token", "Idempotency-Key": "k-1"}
    answer = gateway.client.post("/v1/cancellations", data=raw, content_type="application/json", headers=headers)
    again = gateway.client.post("/v1/cancellations", data=raw, content_type="application/json", headers=headers)

    assert answer.status_code < 500, answer.text[:300]
    assert again.status_code == (200 if answer.status_code == 202 else answer.status_code)
    if answer.status_code == 202:
        assert again.get_json() == answer.get_json()
        assert gateway.get("").status_code == 200


@ON_SQLITE
@pytest.mark.parametrize(
    ("first", "second"),
    [("1", "1.0"), ("1", "true"), ("0", "false"), ('"\\u00e9"', '"e\\u0301"'), ("null", '"null"'), ("[]", "{}"),
     ("9007199254740993", "9007199254740992"), ("9007199254740993.0", "9007199254740992.0"), ("0.0", "-0.0")],
)  # fmt: skip
def test_bodies_that_differ_conflict(gateway: Gateway, first: str, second: str) -> None:
    def send(value: str) -> int:
        return gateway.client.post(
            "/v1/cancellations", data=f'{{"booking_id": "a", "metadata": {{"a": {value}}}}}'.encode(),
            content_type="application/json", headers={"Authorization": "Bearer shop-token", "Idempotency-Key": "k-1"},
        ).status_code  # fmt: skip

    assert (send(first), send(second)) == (202, 422)


@ON_POSTGRESQL
@pytest.mark.parametrize("value", ["1e22", "1.0", "1e5", "1e308", "123456789.12345678"])
def test_metadata_is_shown_as_it_was_sent(gateway: Gateway, value: str) -> None:
    answer = gateway.client.post(
        "/v1/cancellations", data=f'{{"booking_id": "a", "metadata": {{"a": {value}}}}}'.encode(),
        content_type="application/json", headers={"Authorization": "Bearer shop-token", "Idempotency-Key": "k-1"},
    )  # fmt: skip

    assert float(answer.get_json()["metadata"]["a"]) == float(value)  # PostgreSQL writes 1e22 out as a whole number


@ON_POSTGRESQL
def test_a_backslash_before_u0000_is_ordinary_text(gateway: Gateway) -> None:
    assert (
        gateway.post("", {"booking_id": "a", "metadata": {"path": "C:\\u0000"}}, Idempotency_Key="k").status_code == 202
    )


PATHS = [
    "//v1/cancellations",
    "/v1//cancellations",
    "/V1/cancellations",
    "/v1/cancellations/",
    "/v1/%2e%2e/livez",
    "/v1%2Fcancellations",
    "/%2fv1/cancellations",
    "/v1/cancellations/%00",
    "/v1/cancellations/%ff/events",
    "/v1/%0d%0aX:y",
    "/webhooks/xclaim/%0d%0a",
    "/webhooks/xclaim//",
    "/./v1/cancellations",
    "/x/../v1/cancellations",
]


@ON_SQLITE
@pytest.mark.parametrize("path", PATHS)
def test_no_path_gets_around_the_token(gateway: Gateway, path: str) -> None:
    gateway.accept()
    for method in ("get", "post", "put", "delete", "options", "head"):
        answer = getattr(gateway.client, method)(path)
        assert answer.status_code in {400, 401, 404, 405} or method == "options", (method, answer.status_code)
        assert BOOKING not in answer.text


@ON_POSTGRESQL
@pytest.mark.parametrize(
    "query",
    [
        "?cursor=%00",
        "?cursor=" + "A" * 22,
        "?cursor=" + "_" * 22,
        "?limit=0",
        "?limit=201",
        "?limit=-1",
        "?status=%00",
        "?booking_id=%ff",
        "?idempotency_key=%0a",
        "?%00=1",
        "?a[]=1",
        "?limit=%D9%A3",
        "?x=" + "y" * 3000,
        "?limit=1&limit=2",
        "?%ed%a0%80=1",
    ],
)
def test_no_query_makes_a_5xx(gateway: Gateway, query: str) -> None:
    gateway.accept()
    assert gateway.get(query).status_code in {200, 400}


@ON_SQLITE
@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "bearer shop-token ",
        "Bearer shop-token,",
        "Basic c2hvcDpzaG9w",
        "Bearer \xff\xfe",
        "Bearer shop-tokenx",
        "Bearer\tshop-token",
        "Bearer SHOP-TOKEN",
        "shop-token",
        "Bearer " + "x" * 8000,
    ],
)
def test_only_the_token_itself_opens(gateway: Gateway, header: str) -> None:
    gateway.accept()
    answer = gateway.client.get("/v1/cancellations", headers={"Authorization": header})

    assert answer.status_code == (200 if header == "bearer shop-token " else 401)


@ON_SQLITE
def test_another_caller_sees_and_steers_nothing(gateway: Gateway) -> None:
    found = gateway.accept_previewed()
    report = {"amount": "22.40", "currency": "EUR", "reference": "re"}
    assert gateway.get(f"/{found}", token="other-token").status_code == 404
    assert gateway.get(f"/{found}/events", token="other-token").status_code == 404
    assert gateway.post(f"/{found}/refund", report, token="other-token").status_code == 404
    assert gateway.post(f"/{found}/abort", token="other-token").status_code == 404
    assert gateway.post(f"/{found}/retry", token="other-token").status_code == 403
    assert gateway.get("?idempotency_key=key-1", token="other-token").get_json()["items"] == []


# --- the snoop -----------------------------------------------------------------------------------------------------

FIRST, LAST, MAIL, STREET = "Qqmarkfirst", "Zzmarklast", "qq.mark@example.org", "Markstreet 77"
MARKS = [FIRST, LAST, MAIL, STREET, "0171 5551234"]


def every_text(world: World) -> dict[str, str]:
    found = {}
    with world.database.reading() as session:
        for table in Base.metadata.sorted_tables:
            columns = [column for column in table.columns if not isinstance(column.type, LargeBinary)]
            for number, row in enumerate(session.execute(select(*columns))):
                for column, value in zip(columns, row, strict=True):
                    found[f"{table.name}.{column.name}[{number}]"] = json.dumps(value, default=str, ensure_ascii=False)
    return found


def leaks(world: World, logs: str = "") -> list[str]:
    texts = {**every_text(world), "logs": logs}
    return sorted({f"{where.split('[')[0]}: {mark}" for where, said in texts.items() for mark in MARKS if mark in said})


def marked(world: World, *faults: dict[str, Any], **more: Any) -> Any:
    return one_policy(world, *faults, first_name=FIRST, last_name=LAST, email=MAIL, security_token="SECTOKEN", **more)


READ_OR_DONE = ("get_booking", "eligibility", "preview", "confirm", "create_claim")


@ON_POSTGRESQL
@pytest.mark.parametrize("do", ["garbled", "with_errors", "empty", "without_cancellation_id", "act_then_error"])
def test_no_personal_data_of_a_booking_is_kept_or_logged(
    world: World, capfd: pytest.CaptureFixture[str], do: str
) -> None:
    faults = [{"on": on, "do": do} for on in (*READ_OR_DONE, "get_claim")]
    booking = marked(world, *faults, claim_pending_polls=2)
    row_id = world.accept(booking, claim={}, refund=SKIP)
    survive(world, rounds=20)
    said = capfd.readouterr()

    asked = {request["operation"] for request in world.control.requests()}
    assert asked.issuperset(READ_OR_DONE), (asked, world.timeline(row_id)[-1].reason)
    assert leaks(world, said.out + said.err) == []
    assert not [where for where, value in every_text(world).items() if "SECTOKEN" in value]


@contextmanager
def configured_logs(settings: WorkerSettings) -> Iterator[None]:
    """Log as a worker does, and put the tests' own logging back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure(settings)
    try:
        yield
    finally:
        root.handlers[:], root.level = before, level


COMPLAINTS = {
    "by its field": {"errors": {"policyholder": {"last_name": [f"'{LAST}' is not valid"]}}},
    "by its field, flat": {"errors": {"first_name": f"{FIRST} is too short"}},
    "by a numbered object": {"errors": {"0": {"message": "failed", "policyholder": {"first_name": FIRST}}}},
    "other names": {"message": "no", "booking": {"full_name": LAST, "mobile": "0171 5551234", "street": STREET}},
    "holder name": {"message": "no", "policyholder_name": LAST, "customer_name": FIRST, "insured_people": [LAST]},
    "extra fields": {"id": PKG, "quotes": None, "extra_fields": {"passenger": LAST, "traveller": FIRST}},
}


@ON_SQLITE
@pytest.mark.parametrize("name", COMPLAINTS)
@pytest.mark.parametrize("on", ["preview"])
def test_a_refusal_that_quotes_a_person_is_kept_without_the_person(
    world: World, capfd: pytest.CaptureFixture[str], on: str, name: str
) -> None:
    marked(world, answers(on, COMPLAINTS[name], status=422))
    world.accept(PKG)
    survive(world, rounds=3)
    said = capfd.readouterr()

    assert leaks(world, said.out + said.err) == []


@ON_SQLITE
def test_a_failing_celery_request_does_not_write_its_arguments_into_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def away(*_args: Any, **_more: Any) -> Any:
        raise OperationalError("x", {}, Exception("gone"))

    monkeypatch.setattr(celery_door.intake, "accept", away)
    monkeypatch.setattr(celery_door, "PAUSE", 0)
    with configured_logs(world.settings):
        app.tasks[TaskName.REQUEST.value].apply(
            kwargs={
                "booking_id": "ok", "idempotency_key": "k-1", "metadata": {"passenger": LAST},
                "claim": {"section_fields": [{"name": FIRST}]},
            }
        )  # fmt: skip
    said = capfd.readouterr()

    assert "request_put_back" in said.err
    assert LAST not in said.err, said.err[-1500:]


@ON_SQLITE
def test_a_celery_producer_cannot_write_control_characters_into_a_readable_log(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    with configured_logs(world.settings.model_copy(update={"log_format": "text"})):
        hand_over(world, idempotency_key="k", booking_id="ok", **{"x\x1b[2J\x1b]0;owned\x07": 1})
        hand_over(world, idempotency_key="k", booking_id="ok", **{"x\nFORGED line": 1})
    said = capfd.readouterr().err

    assert "\x1b[2J" not in said
    assert "\nFORGED" not in said


MANY = [{"quotes": [1] * 50_000}, {f"f{number}": 1 for number in range(15_000)}]


@ON_SQLITE
@pytest.mark.parametrize("body", MANY, ids=["quotes", "unknown fields"])
def test_a_refusal_is_not_much_larger_than_the_request(gateway: Gateway, body: dict[str, Any]) -> None:
    answer = gateway.post("", {"booking_id": "a", **body}, Idempotency_Key="k")

    assert (answer.status_code, len(answer.data) < 256 * 1024) == (422, True), len(answer.data)


@ON_SQLITE
def test_an_event_that_comes_while_claims_are_switched_off_is_not_a_failing_task_for_ever(world: World) -> None:
    _, claim = claimed(world)
    world.configure(claims_enabled=False)
    arrive(world, claim.webhook_token, STATUS, id=claim.claim_id, status={"category": "Declined"})

    failures, delivery = _handle_for_long(world, 20)

    assert kinds(failures) == [], (delivery.tries, delivery.verdict)


@ON_POSTGRESQL
def test_hostile_messages_do_not_hold_the_worker_for_seconds_each(world: World) -> None:
    started = datetime.now(UTC)
    for _ in range(2):
        try:
            app.tasks[TaskName.REQUEST.value](booking_id="a\x00b", idempotency_key="k")
        except Reject:
            continue
    assert (datetime.now(UTC) - started).total_seconds() < 2


@ON_SQLITE
def test_a_step_that_is_switched_off_is_parked_as_that(world: World) -> None:
    one_policy(world)
    row_id = world.accept(PKG, claim={}, refund=SKIP)
    world.configure(claims_enabled=False)

    failures = survive(world, rounds=12)

    parked(world, row_id, failures)


@ON_SQLITE
@pytest.mark.parametrize("asked", [PKG.lower()])
def test_a_booking_that_answers_under_its_own_spelling_is_refused_and_not_asked_for_for_hours(
    world: World, asked: str
) -> None:
    world.booking(id=asked, policies=[{"id": QUOTE}], faults=[answers("get_booking", a_booking())])
    row_id = world.accept(asked)

    survive(world, rounds=12)

    assert world.row(row_id).status in {"rejected", "needs_review"}, world.timeline(row_id)[-1].reason


@ON_SQLITE
def test_a_verified_decline_stops_the_confirm_although_xclaim_cannot_be_asked_just_then(world: World) -> None:
    row_id, claim = claimed(world)
    world.control.patch_booking(
        world.row(row_id).booking_id, faults=[{"on": "get_claim", "do": "error_before", "times": 1000}]
    )
    arrive(world, claim.webhook_token, STATUS, id=claim.claim_id, status={"category": "Declined"})
    world.drain()

    world.report_refund(row_id, "50", "EUR")
    world.drain()

    assert (world.row(row_id).status, world.control.effects("confirm")) == ("needs_review", [])
