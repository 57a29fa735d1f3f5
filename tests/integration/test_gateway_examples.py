"""Every documented example body is one that the real door takes."""

from collections.abc import Callable
from typing import Any

import pytest

from shared import webhook_events
from shared.lifecycle import Journey
from tests.gateway import OPERATOR, URL, Gateway, bearer
from tests.integration.test_gateway_webhooks import EVENT
from tests.recording import RecordingDatabase
from webhook_gateway.openapi import document

# Where a cancellation must stand for an example to make sense.
STATES: dict[tuple[str, str], Callable[[Gateway], str]] = {
    ("refund", "report"): Gateway.accept_previewed,
    ("retry", "with_a_note"): Gateway.parked_at_confirm,
    ("replay", "everything"): Gateway.accept,
    ("resolve", "done"): Gateway.parked_at_refund,
    ("resolve", "not_done"): Gateway.parked_at_confirm,
    ("resolve", "amend"): Gateway.parked_at_claim,
    ("resolve", "close"): Gateway.parked_at_confirm,
}


def stored_webhook(database: RecordingDatabase) -> str:
    with database.transaction() as tx:
        stored, _ = webhook_events.record(tx, EVENT, source="xclaim", token=None, key_id="first", headers={})
    return str(stored)


def documented() -> list[tuple[str, str, Any]]:
    """Return (path, name, body) of every example there is."""
    return [
        (path, name, example["value"])
        for path, item in document()["paths"].items()
        for said in item.values()
        for content in said.get("requestBody", {}).get("content", {}).values()
        for name, example in content.get("examples", {}).items()
    ]


@pytest.mark.parametrize(("path", "name", "body"), documented())
def test_every_documented_example_is_accepted(
    database: RecordingDatabase, path: str, name: str, body: dict[str, Any]
) -> None:
    gateway = Gateway(database)
    if path == URL:
        answer = gateway.post("", body, Idempotency_Key="key-1")
        journey = "dry_run" if body.get("dry_run") else body.get("journey", "cancel")
        assert (answer.status_code, answer.get_json()["journey"]) == (202, journey), answer.text
        return

    if path == f"{URL}/bulk" or path.startswith(("/v1/pauses", "/v1/erasures")):
        answer = gateway.client.post(path, json=body, headers=bearer(OPERATOR))
        assert answer.status_code == 200, answer.text
        return

    if path.startswith("/v1/webhooks"):
        path = path.replace("{id}", stored_webhook(database))
        answer = gateway.client.post(path, json=body, headers=bearer(OPERATOR))
        assert (answer.status_code, answer.get_json()["dry_run"]) == (200, body.get("dry_run", True)), answer.text
        return

    if path.startswith("/v1/batches"):
        answer = gateway.client.post(
            "/v1/batches", json={"name": "a"}, headers=bearer(OPERATOR) | {"Idempotency-Key": "b"}
        )
        path = path.replace("{id}", answer.get_json()["id"])
        answer = gateway.client.post(path, json=body, headers=bearer(OPERATOR) | {"Idempotency-Key": "key-1"})
        assert answer.status_code == (200 if path.endswith("/cancellations") else 201), answer.text
        return

    action = path.rpartition("/")[2]
    found = STATES[action, name](gateway)
    answer = gateway.client.post(path.replace("{id}", found), json=body, headers=bearer(OPERATOR))

    assert answer.status_code == 200, answer.text


def test_there_is_an_example_of_each_journey_and_of_every_body() -> None:
    names = {name for path, name, _ in documented() if path == URL}
    taken = {path for path, item in document()["paths"].items() for said in item.values() if "parameters" in said
             and "requestBody" in said and path.startswith("/v1/")}  # fmt: skip

    assert {journey.value for journey in Journey} <= names
    assert taken == {path for path, _, _ in documented()}


def test_the_page_shows_every_example(database: RecordingDatabase) -> None:
    page = Gateway(database).client.get("/docs").text

    for path, item in document()["paths"].items():
        for said in item.values():
            for content in said.get("requestBody", {}).get("content", {}).values():
                for example in content.get("examples", {}).values():
                    assert example["summary"] in page.replace("&#39;", "'"), (path, example["summary"])
