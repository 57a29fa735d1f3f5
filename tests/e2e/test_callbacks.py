"""Upstream systems are told of each change, once and in order, whatever their endpoint does meanwhile."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog
from standardwebhooks import Webhook

from shared import callback_health, callbacks
from shared.callback_models import Callback, CallbackEndpoint
from shared.lifecycle import TaskName
from shared.models import Cancellation
from tests.e2e.test_missed_webhooks import becomes
from tests.simulator.receiver import Receiver
from tests.world import World
from workers import celery_door

pytestmark = pytest.mark.key_mode("honoured")  # the insurer has no part in it

SECRET = "whsec_c2VjcmV0X29mX2NhbGxiYWNrc19vZl90aGVfc2hvcA=="
NEW_SECRET = "whsec_YW5vdGhlcl9zZWNyZXRfdGhhdF9yZXBsYWNlc19pdA=="
DAY = 24 * 3600.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def told(world: World) -> World:
    """A world in which the shop has a secret, and endpoints on this machine are allowed."""
    world.configure(callback_secrets=f"shop:{SECRET}", callbacks_allow_loopback=True, refund_mode="skip")
    return world


def sent(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(arrived.body) for arrived in receiver.arrived]


def types(receiver: Receiver) -> list[str]:
    return [message["type"] for message in sent(receiver)]


def messages(world: World, row_id: UUID) -> list[Callback]:
    return sorted(world.all(Callback, Callback.cancellation_id == row_id), key=lambda row: row.sequence)


def only_endpoint(world: World) -> CallbackEndpoint:
    (endpoint,) = world.all(CallbackEndpoint)
    assert isinstance(endpoint, CallbackEndpoint)
    return endpoint


def wait_and_send(world: World, seconds: float) -> None:
    world.later(seconds)
    world.sweep()
    world.drain()


def replay(world: World, row_id: UUID, *, callback_id: UUID | None = None) -> int:
    with world.database.transaction() as tx:
        return callbacks.replay(tx, tx.session.get_one(Cancellation, row_id), callback_id=callback_id)


def waited_for_refund(world: World, receiver: Receiver) -> UUID:
    """Bring one to its first change without sending the message: it is published and not run."""
    row_id = world.accept(world.booking(), callback_url=receiver.url, refund={"mode": "wait"})
    while world.row(row_id).status == "in_progress":
        world.run(*world.database.published.pop(0))
    return row_id


def test_each_change_is_told_once_and_in_order(told: World, receiver: Receiver) -> None:
    row_id = told.accept(told.booking(), callback_url=receiver.url, refund={"mode": "wait"}, key="A-1")
    told.settle()
    preview = told.row(row_id)
    told.report_refund(row_id, str(preview.preview_total), str(preview.preview_currency))
    told.settle()
    wait_and_send(told, DAY)

    assert types(receiver) == ["cancellation.awaiting_refund", "cancellation.in_progress", "cancellation.completed"]
    assert [message["data"]["sequence"] for message in sent(receiver)] == [1, 2, 3]
    assert sent(receiver)[0]["data"] == {
        "cancellation_id": str(row_id),
        "idempotency_key": "A-1",
        "booking_id": preview.booking_id,
        "sequence": 1,
        "status": "awaiting_refund",
        "next_step": "refund",
        "milestone": None,
    }
    assert all(row.delivered_at is not None and row.last_status == 200 for row in messages(told, row_id))
    assert only_endpoint(told).last_success_at is not None


def test_a_claims_milestone_is_told(told: World, receiver: Receiver) -> None:
    row_id = told.accept(told.booking(claim_story=[]), callback_url=receiver.url, claim={})
    told.settle()
    becomes(told, told.claim(row_id), "Payment Complete")
    wait_and_send(told, 2 * DAY)

    assert types(receiver) == ["cancellation.completed", "claim.claim_paid"]
    milestone = sent(receiver)[1]["data"]
    assert (milestone["milestone"], milestone["status"]) == ("claim_paid", "completed")
    assert milestone["cancellation_id"] == str(row_id)


def test_nothing_is_written_for_a_caller_that_does_not_want_to_be_told(told: World) -> None:
    told.accept(told.booking())
    told.settle()

    assert told.all(Callback) == []
    assert TaskName.DELIVER_CALLBACK.value not in told.ran


def test_a_callers_own_address_is_used_where_the_request_names_none(told: World, receiver: Receiver) -> None:
    told.configure(
        callback_secrets=f"shop:{SECRET}",
        callback_urls=f"shop={receiver.url}",
        callbacks_allow_loopback=True,
        refund_mode="skip",
    )
    mine, other = told.accept(told.booking()), told.accept(told.booking(), caller="other")
    told.settle()

    assert types(receiver) == ["cancellation.completed"]
    assert (told.row(mine).callback_url, told.row(other).callback_url) == (receiver.url, None)


def test_a_celery_message_may_name_an_address_too(told: World, receiver: Receiver) -> None:
    told.configure(
        API_TOKENS="shop:token",
        callback_secrets=f"shop:{SECRET}",
        callbacks_allow_loopback=True,
        refund_mode="skip",
    )
    named = {"booking_id": told.booking().id, "callback_url": receiver.url}
    celery_door.request(idempotency_key="A-1", caller="shop", **named)
    told.settle()
    celery_door.request(idempotency_key="A-2", **named)

    assert types(receiver) == ["cancellation.completed"]
    (problem,) = [row.problem for row in told.rows() if row.problem is not None]
    assert problem["type"] == "/problems/callbacks-not-configured"


def test_a_receiver_verifies_it_by_the_standard(told: World, receiver: Receiver) -> None:
    told.configure(
        callback_secrets=f"shop:{SECRET},shop:{NEW_SECRET}", callbacks_allow_loopback=True, refund_mode="skip"
    )
    row_id = told.accept(told.booking(), callback_url=receiver.url)
    told.settle()

    (arrived,), (row,) = receiver.arrived, messages(told, row_id)
    for secret in (SECRET, NEW_SECRET):
        assert Webhook(secret).verify(arrived.body, dict(arrived.headers)) == row.payload
    assert arrived.headers["webhook-id"] == str(row.id)
    assert arrived.headers["Content-Type"] == "application/json"


def test_a_crash_between_the_answer_and_its_record_repeats_the_same_message(
    told: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_id = told.accept(told.booking(), callback_url=receiver.url)
    with monkeypatch.context() as crashing:
        crashing.setattr(callbacks, "finish", _die)
        with pytest.raises(_Died):
            told.settle()
    assert messages(told, row_id)[0].delivered_at is None
    told.drain()
    wait_and_send(told, callbacks.LEASE + callbacks.RUNG_FOR)

    first, second = receiver.arrived
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert messages(told, row_id)[0].delivered_at is not None


def test_what_is_sent_by_one_worker_is_not_sent_by_another(told: World, receiver: Receiver) -> None:
    row_id = waited_for_refund(told, receiver)
    (row,) = messages(told, row_id)
    with told.database.transaction() as tx:
        assert callbacks.begin(tx, row.id) is not None
    told.run(TaskName.DELIVER_CALLBACK, row.id)
    wait_and_send(told, callbacks.LEASE - 5)

    assert receiver.arrived == []


def test_failures_are_repeated_ever_later_until_one_is_taken(told: World) -> None:
    with Receiver(500, 503, 302) as receiver:
        row_id = told.accept(told.booking(), callback_url=receiver.url)
        told.settle()
        (row,) = messages(told, row_id)
        assert (row.last_status, row.tries, row.delivered_at) == (500, 1, None)
        assert only_endpoint(told).failing_since is not None

        wait_and_send(told, 3)
        assert len(receiver.arrived) == 1
        wait_and_send(told, 3)
        assert len(receiver.arrived) == 2
        wait_and_send(told, 299)
        assert len(receiver.arrived) == 2
        wait_and_send(told, 32)
        wait_and_send(told, 33 * 60)

    assert types(receiver) == ["cancellation.completed"] * 4
    assert len({arrived.headers["webhook-id"] for arrived in receiver.arrived}) == 1
    (row,) = messages(told, row_id)
    assert (row.last_status, row.last_error, row.tries) == (200, None, 4)
    assert only_endpoint(told).failing_since is None


def test_later_changes_wait_until_the_first_is_taken(told: World) -> None:
    with Receiver(500) as receiver:
        row_id = told.accept(told.booking(), callback_url=receiver.url, refund={"mode": "wait"})
        told.settle()
        preview = told.row(row_id)
        told.report_refund(row_id, str(preview.preview_total), str(preview.preview_currency))
        told.drain()
        assert told.row(row_id).status == "completed"
        assert types(receiver) == ["cancellation.awaiting_refund"]
        assert [row.next_attempt_at is not None for row in messages(told, row_id)] == [True, False, False]

        wait_and_send(told, 10)

    assert [message["data"]["sequence"] for message in sent(receiver)] == [1, 1, 2, 3]


def test_a_message_whose_tries_are_spent_is_given_up_and_the_next_one_sent(told: World) -> None:
    with Receiver(*[500] * 10) as receiver:
        row_id = told.accept(told.booking(), callback_url=receiver.url, refund={"mode": "wait"})
        told.settle()
        told.control.reset()  # nothing more is asked of the insurer
        with told.database.transaction() as tx:
            callbacks.record(
                tx, tx.session.get_one(Cancellation, row_id), "cancellation.closed", status="closed", next_step=None
            )
        for wait in callbacks.WAITS:
            told.database.published.clear()
            told.later(wait * (1 + callbacks.SPREAD) + 1)
            first = messages(told, row_id)[0]
            told.run(TaskName.DELIVER_CALLBACK, first.id)

        first = messages(told, row_id)[0]
        assert (first.tries, first.given_up_at is not None, first.last_error) == (10, True, "answered 500")
        told.run(*told.database.published.pop(0))
        assert types(receiver)[-2:] == ["cancellation.awaiting_refund", "cancellation.closed"]
        assert messages(told, row_id)[1].delivered_at is not None

        assert replay(told, row_id) == 1
        told.run(*told.database.published.pop(0))
    assert types(receiver)[-1] == "cancellation.awaiting_refund"
    assert messages(told, row_id)[0].given_up_at is None


def test_an_endpoint_that_is_gone_is_disabled_at_once_and_enabled_by_a_replay(told: World) -> None:
    with Receiver(410) as receiver, structlog.testing.capture_logs() as lines:
        row_id = told.accept(told.booking(), callback_url=receiver.url, refund={"mode": "wait"})
        told.settle()
        assert only_endpoint(told).disabled_at is not None
        preview = told.row(row_id)
        told.report_refund(row_id, str(preview.preview_total), str(preview.preview_currency))
        told.settle()
        assert len(receiver.arrived) == 1
        assert all(row.given_up_at is not None for row in messages(told, row_id))

        assert replay(told, row_id) == 3
        told.drain()

    assert [message["data"]["sequence"] for message in sent(receiver)] == [1, 1, 2, 3]
    assert only_endpoint(told).disabled_at is None
    (line,) = [line for line in lines if line["event"] == callback_health.DISABLED]
    assert (line["log_level"], line["caller"], line["origin"]) == ("error", "shop", receiver.url.removesuffix("/hook"))


def test_an_endpoint_that_failed_for_five_days_is_disabled(told: World) -> None:
    with Receiver(*[500] * 40) as receiver, structlog.testing.capture_logs() as lines:
        ids = [told.accept(told.booking(), callback_url=receiver.url)]
        told.settle()
        for _ in range(5):
            assert only_endpoint(told).disabled_at is None
            ids.append(told.accept(told.booking(), callback_url=receiver.url))
            told.drain()
            wait_and_send(told, DAY)
            wait_and_send(told, 70)
        assert only_endpoint(told).disabled_at is not None
        before = len(receiver.arrived)
        ids.append(told.accept(told.booking(), callback_url=receiver.url))
        told.drain()
        assert len(receiver.arrived) == before
        assert messages(told, ids[-1])[0].given_up_at is not None
    assert [line["log_level"] for line in lines if line["event"] == callback_health.DISABLED] == ["error"]


def test_one_success_in_five_days_keeps_an_endpoint(told: World) -> None:
    with Receiver(500, 200, *[500] * 40) as receiver:
        told.accept(told.booking(), callback_url=receiver.url)
        told.settle()
        wait_and_send(told, 4.5 * DAY)
        assert len(receiver.arrived) == 2
        row_id = told.accept(told.booking(), callback_url=receiver.url)
        told.drain()
        wait_and_send(told, 4.5 * DAY)

        assert only_endpoint(told).disabled_at is None
        assert messages(told, row_id)[0].given_up_at is None


def test_a_delivered_message_is_sent_again_when_it_is_named(told: World, receiver: Receiver) -> None:
    row_id = told.accept(told.booking(), callback_url=receiver.url)
    told.settle()
    (row,) = messages(told, row_id)
    assert replay(told, row_id) == 0
    assert replay(told, row_id, callback_id=row.id) == 1
    told.drain()

    assert [arrived.headers["webhook-id"] for arrived in receiver.arrived] == [str(row.id)] * 2


def test_a_lost_message_is_rung_for(told: World, receiver: Receiver) -> None:
    row_id = waited_for_refund(told, receiver)
    told.database.published.clear()
    wait_and_send(told, callbacks.RUNG_FOR - 1)
    assert receiver.arrived == []
    wait_and_send(told, 2)

    assert types(receiver) == ["cancellation.awaiting_refund"]
    assert messages(told, row_id)[0].delivered_at is not None


def test_without_its_callers_secret_nothing_leaves_and_the_endpoint_is_not_blamed(
    told: World, receiver: Receiver
) -> None:
    row_id = waited_for_refund(told, receiver)
    told.configure(callbacks_allow_loopback=True)
    told.drain()

    (row,) = messages(told, row_id)
    assert receiver.arrived == []
    assert row.last_error == "not sent: CALLBACK_SECRETS holds no secret of its caller"
    assert told.all(CallbackEndpoint) == []

    told.configure(callback_secrets=f"shop:{SECRET}", callbacks_allow_loopback=True)
    wait_and_send(told, 6)
    assert types(receiver) == ["cancellation.awaiting_refund"]


def test_an_address_that_the_settings_allow_no_more_is_not_sent_to(told: World, receiver: Receiver) -> None:
    row_id = waited_for_refund(told, receiver)
    told.configure(callback_secrets=f"shop:{SECRET}")
    told.drain()

    assert receiver.arrived == []
    assert "must be an https:// address" in str(messages(told, row_id)[0].last_error)


def test_an_endpoint_that_cannot_be_reached_is_tried_again(told: World) -> None:
    with Receiver() as receiver:
        pass
    row_id = told.accept(told.booking(), callback_url=receiver.url)
    told.settle()

    (row,) = messages(told, row_id)
    assert (row.last_status, row.tries) == (None, 1)
    assert "ConnectError" in str(row.last_error)
    assert row.next_attempt_at is not None


class _Died(Exception):
    """The worker's process ended."""


def _die(*_given: Any, **_named: Any) -> None:
    raise _Died
