"""Personal data goes, by age or by request, and the trail of the money stays."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from shared import audit, retention, webhook_events
from shared.invariant_checks import check_all
from shared.lifecycle import TaskName
from shared.models import Call, Cancellation, Claim, Transition
from shared.operations_models import ProcessSeen
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.xclaim.signature import key_id
from tests.gateway import OPERATOR, SHOP, bearer, web_settings
from tests.world import WEBHOOK_KEY, World
from webhook_gateway.app import create_app
from workers.app import app

MARK = "Benedikta-Mustermann-1974"
DAY = 24 * 3600.0
ASKED: dict[str, Any] = {
    "refund": {"mode": "skip"},
    "metadata": {"customer": MARK},
    "claim": {"section_fields": [{"name": "full_name", "value": MARK}]},
}


def ended(world: World) -> UUID:
    """Carry one with a claim to its end, and let a webhook tell of it."""
    booking = world.booking(policies=[{"price": 50}])
    quotes = [{"id": booking.quote_id, "reason_for_cancellation": f"{MARK} is ill"}]
    row_id = world.accept(booking, quotes=quotes, **ASKED)
    world.settle()
    assert world.row(row_id).status == "completed"
    claim = world.claim(row_id)
    event = {"event": "claim.updated", "payload": {"id": claim.claim_id, "customer": {"name": MARK}}}
    with world.database.transaction() as tx:
        webhook_events.record(
            tx, json.dumps(event).encode(), source="xclaim", token=claim.webhook_token, key_id=key_id(WEBHOOK_KEY),
            headers={},
        )  # fmt: skip
    world.drain()
    return row_id


def keep_house(world: World) -> None:
    app.tasks[TaskName.KEEP_HOUSE.value]()


def told_of(world: World, mark: str = MARK) -> set[str]:
    """Return the tables in which the mark can be read."""
    found = set()
    for table in (Cancellation, Call, Transition, Claim, WebhookBody, WebhookDelivery):
        for row in world.all(table):
            if mark in " ".join(str(value) for value in vars(row).values()):
                found.add(table.__tablename__)
    return found


def count(world: World, table: Any) -> int:
    with world.database.reading() as session:
        return int(session.scalar(select(func.count()).select_from(table)) or 0)


def test_what_ended_long_ago_loses_its_personal_data_and_nothing_else(world: World) -> None:
    row_id = ended(world)
    assert told_of(world) >= {"cancellations", "webhook_bodies"}
    before, calls = world.row(row_id), world.calls(row_id)
    world.later(179 * DAY)
    keep_house(world)
    assert world.row(row_id).erased_at is None

    world.later(2 * DAY)
    keep_house(world)
    assert told_of(world) == set()
    row = world.row(row_id)
    kept = ("status", "steps", "done_steps", "fingerprint", "idempotency_key", "preview_total", "refund_amount")
    assert {name: getattr(row, name) for name in kept} == {name: getattr(before, name) for name in kept}
    assert [(call.key, call.outcome, call.attempts) for call in world.calls(row_id)] == [
        (call.key, call.outcome, call.attempts) for call in calls
    ]
    assert [line.event for line in world.timeline(row_id)][-1] == "erased"
    assert dict(check_all(world.database)) == {}


def test_a_key_stands_for_its_request_after_its_data_was_erased(world: World) -> None:
    row_id = ended(world)
    row = world.row(row_id)
    world.later(181 * DAY)
    keep_house(world)
    sent = {"quotes": [{"id": row.quotes[0]["id"], "reason_for_cancellation": f"{MARK} is ill"}], **ASKED}
    assert world.accept(row.booking_id, key=row.idempotency_key, **sent) == row_id


def test_what_has_not_ended_keeps_its_data_however_old_it_is(world: World) -> None:
    row_id = world.accept(world.booking(), metadata={"customer": MARK})
    world.settle()
    assert world.row(row_id).status == "awaiting_refund"
    with world.database.transaction() as tx:
        tx.session.get_one(Cancellation, row_id).updated_at -= timedelta(days=400)
    keep_house(world)
    assert world.row(row_id).metadata_ == {"customer": MARK}


def test_an_erased_webhook_that_is_replayed_does_nothing(world: World) -> None:
    row_id = ended(world)
    world.later(181 * DAY)
    keep_house(world)
    (delivery,) = world.all(WebhookDelivery)
    answer = door(world).post(f"/v1/webhooks/{delivery.id}/replay", json={"dry_run": False}, headers=bearer(OPERATOR))
    assert answer.status_code == 200
    world.drain()
    (delivery,) = world.all(WebhookDelivery)
    assert (delivery.outcome, delivery.verdict) == ("kept", "kept: its body was removed")
    assert world.row(row_id).status == "completed"


def test_the_same_event_is_a_repeat_for_ever(world: World) -> None:
    ended(world)
    (body,) = world.all(WebhookBody)
    raw = body.raw
    world.later(400 * DAY)
    keep_house(world)
    assert count(world, WebhookDelivery) == 0
    with world.database.transaction() as tx:
        _, is_new = webhook_events.record(tx, raw, source="xclaim", token=None, key_id="k", headers={})
    assert is_new is False


def test_many_go_in_batches_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for number in range(5):
        booking = world.booking(policies=[{"price": 50, "can_be_cancelled": False}])
        world.accept(booking, key=f"k-{number}", metadata={"customer": MARK})
    world.settle()
    world.later(181 * DAY)
    keeping = retention.Keeping(bodies=timedelta(days=180), webhooks=None, cancellations=None)
    step = retention.steps(keeping)["cancellations_erased"]
    assert retention.clean(world.database, step, may_go_on=lambda: False) == 2
    assert retention.clean(world.database, step, may_go_on=lambda: True) == 3
    assert told_of(world) == set()


def test_cancellations_go_only_where_that_is_asked_for_and_with_all_that_is_theirs(world: World) -> None:
    row_id = ended(world)
    with world.database.transaction() as tx:
        audit.record(tx, "retry", actor="operator:anna", cancellation_id=row_id)
    world.later(800 * DAY)
    keep_house(world)
    assert count(world, Cancellation) == 1

    world.configure(keep_cancellations="365d")
    keep_house(world)
    assert count(world, Cancellation) == 1  # its claim is open

    with world.database.transaction() as tx:
        tx.session.scalars(select(Claim)).one().closed_at = func.now() if tx.session.bind is None else row_time(world)
    keep_house(world)
    assert [count(world, table) for table in (Cancellation, Call, Claim, Transition)] == [0, 0, 0, 0]
    with world.database.reading() as session:
        assert [entry.action for entry in audit.entries(session, limit=5)] == ["retry"]


def row_time(world: World) -> Any:
    return world.rows()[0].created_at


def door(world: World) -> Any:
    return create_app(
        web_settings(xcover_partner_code=world.settings.xcover_partner_code), database=world.database
    ).test_client()


def erase(world: World, booking_id: str, *, token: str = OPERATOR, **more: Any) -> Any:
    return door(world).post("/v1/erasures", json={"booking_id": booking_id, **more}, headers=bearer(token))


def test_an_operator_erases_a_booking_on_request(world: World) -> None:
    row_id = ended(world)
    booking_id = world.row(row_id).booking_id
    told = erase(world, booking_id).get_json()
    assert told == {"dry_run": True, "erased": 1, "when_ended": 0, "before": 0}
    assert MARK in str(world.row(row_id).metadata_)

    done = erase(world, booking_id.lower(), dry_run=False, note="ticket 4711")
    assert (done.status_code, done.get_json()["erased"]) == (200, 1)
    assert told_of(world) == set()
    assert erase(world, booking_id, dry_run=False).get_json() == {
        "dry_run": False, "erased": 0, "when_ended": 0, "before": 1,
    }  # fmt: skip
    with world.database.reading() as session:
        (entry,) = audit.entries(session, limit=5)
    assert (entry.action, entry.actor, entry.cancellation_id, entry.note) == (
        "erase", "operator:anna", row_id, "ticket 4711",
    )  # fmt: skip


def test_one_under_way_is_erased_once_it_has_ended(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, metadata={"customer": MARK})
    world.settle()
    assert erase(world, booking.id, dry_run=False).get_json()["when_ended"] == 1
    keep_house(world)
    assert world.row(row_id).metadata_ == {"customer": MARK}

    offered = world.row(row_id)
    world.report_refund(row_id, str(offered.preview_total), str(offered.preview_currency))
    world.settle()
    assert world.row(row_id).status == "completed"
    keep_house(world)
    assert told_of(world) == set()


def test_callers_erase_nothing(world: World) -> None:
    row_id = ended(world)
    answer = erase(world, world.row(row_id).booking_id, token=SHOP, dry_run=False)
    assert answer.status_code == 403
    assert world.row(row_id).erased_at is None


def test_too_short_a_time_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="at least 30d"):
        world.configure(keep_bodies="1d")
    world.configure(keep_bodies="0")
    assert world.settings.keep_bodies is None


def test_processes_that_are_long_gone_are_forgotten(world: World) -> None:
    with world.database.transaction() as tx:
        tx.session.add(ProcessSeen(name="celery@gone", kind="worker", details={}))
    world.later(6 * DAY)
    keep_house(world)
    assert count(world, ProcessSeen) == 1
    world.later(2 * DAY)
    keep_house(world)
    assert count(world, ProcessSeen) == 0
