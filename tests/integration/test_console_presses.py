"""What is pressed in the console: each press changes what it says and writes one entry of the audit log."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from shared import audit, webhook_events
from shared.callback_models import Callback
from shared.db import now_plus
from shared.operations_models import AuditEntry, Pause
from shared.webhook_models import WebhookDelivery
from tests.bulk import line
from tests.console import Browser, console, signed_in
from tests.gateway import SHOP, Gateway, bearer
from tests.recording import RecordingDatabase

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CALLBACKS = {
    "callback_urls": {"shop": "https://shop.example/told"},
    "callback_secrets": {"shop": ["whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"]},
}


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return console(database)


@pytest.fixture
def anna(gateway: Gateway) -> Browser:
    return signed_in(gateway)


def entries(gateway: Gateway) -> list[AuditEntry]:
    with gateway.database.reading() as session:
        return list(audit.entries(session, limit=100))


def only_entry(gateway: Gateway) -> tuple[Any, ...]:
    (entry,) = entries(gateway)
    return entry.action, entry.actor, entry.cancellation_id and str(entry.cancellation_id), entry.note


def webhook(gateway: Gateway) -> str:
    """Store one that was handled."""
    raw = json.dumps({"event": "claim.updated", "payload": {"id": str(uuid4())}}).encode()
    with gateway.database.transaction() as tx:
        stored, _ = webhook_events.record(tx, raw, source="xclaim", token=None, key_id="k", headers={})
        handled = {"handled_at": now_plus(0), "next_attempt_at": None, "outcome": "ignored", "verdict": "nobody's"}
        tx.session.execute(update(WebhookDelivery).where(WebhookDelivery.id == stored).values(**handled))
    return str(stored)


def test_taking_up_again(gateway: Gateway, anna: Browser) -> None:
    row_id = gateway.parked_at_refund()
    answer = anna.post(f"/cancellations/{row_id}/retry", note="the endpoint is back")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/console/cancellations/{row_id}?said=retried")
    assert gateway.row(row_id).status == "in_progress"
    assert only_entry(gateway) == ("retry", "operator:anna", row_id, "the endpoint is back")
    page = anna.get(f"/cancellations/{row_id}?said=retried")
    assert "It is taken up again now." in page.text
    assert "the endpoint is back" in page.text


def test_aborting(gateway: Gateway, anna: Browser) -> None:
    row_id = gateway.accept()
    assert anna.post(f"/cancellations/{row_id}/abort").status_code == 303
    assert gateway.row(row_id).status == "aborted"
    assert only_entry(gateway) == ("abort", "operator:anna", row_id, None)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"resolution": "close", "note": "settled by mail"}, "closed"),
        ({"resolution": "close", "note": "settled by mail", "free_policies": "1"}, "closed"),
        (
            {
                "resolution": "done", "note": "seen in the portal", "amount": "22.40", "currency": "EUR",
                "reference": "re_9", "text": "",
            },
            "in_progress",
        ),
        ({"resolution": "not_done", "note": "never arrived"}, "in_progress"),
    ],
    ids=["close", "close and free", "done", "not done"],
)  # fmt: skip
def test_resolving(gateway: Gateway, anna: Browser, form: dict[str, str], status: str) -> None:
    row_id = gateway.parked_at_refund()
    assert anna.post(f"/cancellations/{row_id}/resolve", **form).status_code == 303
    assert gateway.row(row_id).status == status
    assert only_entry(gateway) == ("resolve", "operator:anna", row_id, form["note"])


def test_amending_a_refused_claim(gateway: Gateway, anna: Browser) -> None:
    row_id = gateway.parked_at_claim(claim={"section_fields": [{"id": "s", "fields": []}]})
    form = {"resolution": "amend", "note": "typing mistake", "language": "de", "section_fields": "[]"}
    answer = anna.post(f"/cancellations/{row_id}/resolve", **form)
    assert answer.status_code == 303, answer.text
    assert gateway.row(row_id).request["claim"]["language"] == "de"
    assert only_entry(gateway)[:2] == ("resolve", "operator:anna")


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("retry", {}, 409),
        ("resolve", {"resolution": "close", "note": "why"}, 409),
        ("resolve", {"resolution": "close"}, 422),
        ("resolve", {"resolution": "done", "note": "why"}, 422),
        ("resolve", {"resolution": "amend", "note": "why", "section_fields": "{"}, 400),
        ("resolve", {}, 422),
        ("retry", {"note": "\x07"}, 422),
    ],
    ids=["nothing to retry", "nothing to close", "no note", "no evidence", "no JSON", "nothing said", "no words"],
)
def test_what_is_refused_is_shown_with_why_and_changes_nothing(
    gateway: Gateway, anna: Browser, path: str, form: dict[str, str], status: int
) -> None:
    row_id = gateway.accept()
    assert anna.post(f"/cancellations/{row_id}/abort").status_code == 303
    before = gateway.row(row_id)

    answer = anna.post(f"/cancellations/{row_id}/{path}", **form)

    assert (answer.status_code, 'role="alert"' in answer.text) == (status, True)
    assert (gateway.row(row_id).status, gateway.row(row_id).lease) == (before.status, before.lease)
    assert len(entries(gateway)) == 1


def test_a_press_on_what_is_not_there(gateway: Gateway, anna: Browser) -> None:
    for path in (f"/cancellations/{uuid4()}/retry", f"/webhooks/{uuid4()}/replay", f"/batches/{uuid4()}/pause"):
        assert anna.post(path, confirm="1").status_code == 404, path
    assert [entry.action for entry in entries(gateway)] == ["replay_webhooks"]


def test_telling_the_caller_again(database: RecordingDatabase) -> None:
    gateway = console(database, **CALLBACKS)
    anna, row_id = signed_in(gateway), gateway.accept()
    assert gateway.post(f"/{row_id}/abort").status_code == 200
    with database.transaction() as tx:
        given_up = update(Callback).values(given_up_at=now_plus(0), next_attempt_at=None)
        tx.session.execute(given_up)
    assert anna.post(f"/cancellations/{row_id}/callbacks").headers["Location"].endswith("said=callbacks")
    assert only_entry(gateway)[:3] == ("replay_callbacks", "operator:anna", row_id)
    assert anna.post(f"/cancellations/{row_id}/callbacks", id="x" * 40).status_code == 422


def test_pausing_and_resuming(gateway: Gateway, anna: Browser) -> None:
    for where in ({}, {"partner": "ABCDE"}, {"step": "confirm"}):
        assert anna.post("/pauses", note="looking into it", **where).headers["Location"].endswith("said=paused")
        assert "looking into it" in anna.get("/pauses").text
        assert "Paused:" in anna.get("/").text
        assert anna.post("/pauses", **where).headers["Location"].endswith("said=nothing")
        assert anna.post("/pauses/resume", **where).headers["Location"].endswith("said=resumed")
        with gateway.database.reading() as session:
            assert session.query(Pause).count() == 0
    assert [entry.action for entry in entries(gateway)] == ["resume", "pause"] * 3
    assert {entry.actor for entry in entries(gateway)} == {"operator:anna"}


@pytest.mark.parametrize("where", [{"step": "dance"}, {"partner": "x" * 65}], ids=["no step", "too long"])
def test_a_pause_of_nothing_that_there_is(gateway: Gateway, anna: Browser, where: dict[str, str]) -> None:
    assert anna.post("/pauses", **where).status_code == 400
    assert entries(gateway) == []


def test_replaying_one_webhook_after_a_dry_run(gateway: Gateway, anna: Browser) -> None:
    stored = webhook(gateway)
    dry = anna.post(f"/webhooks/{stored}/replay")
    assert (dry.status_code, "What handling it again would change" in dry.text) == (200, True)
    assert entries(gateway) == []
    assert anna.post(f"/webhooks/{stored}/replay", confirm="1").headers["Location"].endswith("said=replayed")
    assert only_entry(gateway)[:2] == ("replay_webhooks", "operator:anna")
    with gateway.database.reading() as session:
        row = session.get_one(WebhookDelivery, UUID(stored))
        assert (row.handled_at, row.replays, row.replayed_by) == (None, 1, "anna")


def test_replaying_those_that_a_filter_means(gateway: Gateway, anna: Browser) -> None:
    for _ in range(3):
        webhook(gateway)
    assert "3 fit; 3 would be handled again" in anna.post("/webhooks/replay", outcome="ignored").text
    assert anna.post("/webhooks/replay").status_code == 422  # everything is never replayed by mistake
    assert entries(gateway) == []
    assert "3 are handled again" in anna.post("/webhooks/replay", outcome="ignored", confirm="1").text
    (entry,) = entries(gateway)
    assert (entry.action, entry.details) == ("replay_webhooks", {"webhooks": 3, "meant": {"outcome": "ignored"}})


def test_steering_a_batch(gateway: Gateway, anna: Browser) -> None:
    body = {"name": "show.csv", "cancellations": [line(1), line(2)]}
    headers = bearer(SHOP) | {"Idempotency-Key": "batch-1"}
    batch_id = gateway.client.post("/v1/batches", json=body, headers=headers).get_json()["id"]
    for action in ("pause", "resume", "call_off"):
        assert anna.post(f"/batches/{batch_id}/{action}").status_code == 303, action
    refused = anna.post(f"/batches/{batch_id}/resume")
    assert (refused.status_code, "was called off" in refused.text) == (409, True)
    assert "2 lines" in anna.get(f"/batches/{batch_id}").text
    assert [entry.action for entry in entries(gateway)] == ["batch_call_off", "batch_resume", "batch_pause"]


def test_a_bulk_press_is_shown_first_and_then_done(gateway: Gateway, anna: Browser) -> None:
    stuck = [gateway.parked_at_refund(key=f"key-{number}", booking_id=f"BOOK-{number}") for number in range(3)]
    shown = anna.get("/bulk?action=retry&problem=refund-not-reported").text
    assert "3 cancellations would be changed" in shown
    assert all(row_id in shown for row_id in stuck)
    assert {gateway.row(row_id).status for row_id in stuck} == {"needs_review"}
    assert entries(gateway) == []

    form = {"action": "retry", "problem": "refund-not-reported", "note": "endpoint is back"}
    too_many = anna.post("/bulk", at_most="2", **form)
    assert (too_many.status_code, entries(gateway)) == (409, [])
    assert anna.post("/bulk", **form).status_code == 400  # nothing was shown

    assert "3 cancellations were changed" in anna.post("/bulk", at_most="3", **form).text
    assert {gateway.row(row_id).status for row_id in stuck} == {"in_progress"}
    (entry,) = entries(gateway)
    assert (entry.action, entry.note, entry.details["touched"]) == ("bulk_retry", "endpoint is back", 3)


@pytest.mark.parametrize("query", ["action=explode", "action=retry&status=odd", "action=retry&search=a b"], ids=str)
def test_a_bulk_press_that_means_nothing(anna: Browser, query: str) -> None:
    answer = anna.get(f"/bulk?{query}")
    assert (answer.status_code, 'role="alert"' in answer.text) == (400, True)


def test_the_interface_writes_the_same_entries(gateway: Gateway) -> None:
    row_id = gateway.parked_at_refund()
    operator = {"token": "operator-token"}
    assert gateway.post(f"/{row_id}/resolve", {"resolution": "close", "note": "by hand"}, **operator).status_code == 200
    assert only_entry(gateway) == ("resolve", "operator:anna", row_id, "by hand")


def test_what_a_caller_does_is_no_press(gateway: Gateway) -> None:
    assert gateway.post(f"/{gateway.accept()}/abort").status_code == 200
    assert entries(gateway) == []
