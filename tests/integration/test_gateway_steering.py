"""Bulk actions, pauses, the audit log and the reason for a wait over HTTP: who may, what is answered, what is kept."""

from typing import Any

import pytest

from tests.gateway import OPERATOR, OTHER, SHOP, Gateway, bearer
from tests.recording import RecordingDatabase

VIEWER = "viewer-token"
TOKENS = f"shop:{SHOP},other:{OTHER},anna:{OPERATOR}:operator,vera:{VIEWER}:viewer"


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database, api_tokens=TOKENS)


def ask(gateway: Gateway, path: str, body: Any = None, *, token: str = OPERATOR) -> Any:
    method = "GET" if body is None else "POST"
    return gateway.client.open(f"/v1{path}", method=method, json=body, headers=bearer(token))


def test_a_bulk_action_is_told_and_then_done(gateway: Gateway) -> None:
    ids = [gateway.parked_at_refund(key=f"r-{number}") for number in range(2)]
    meant = {"action": "retry", "problem": "refund-not-reported"}
    told = ask(gateway, "/cancellations/bulk", meant).get_json()
    assert told == {
        "action": "retry", "dry_run": True, "touched": 2, "is_capped": False, "done": 0, "left": 2,
        "by_status": {"needs_review": 2}, "by_step": {"refund": 2}, "by_problem": {"refund-not-reported": 2},
        "refused": [], "first_ids": ids,
    }  # fmt: skip
    deed = meant | {"dry_run": False, "note": "repaired"}
    refused = ask(gateway, "/cancellations/bulk", deed)
    assert (refused.status_code, refused.get_json()["type"]) == (409, "/problems/more-than-shown")
    done = ask(gateway, "/cancellations/bulk", deed | {"at_most": 2}).get_json()
    assert (done["dry_run"], done["done"], done["left"]) == (False, 2, 0)
    (press,) = ask(gateway, "/audit").get_json()["items"]
    assert (press["actor"], press["action"], press["note"]) == ("operator:anna", "bulk_retry", "repaired")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "retry"}, ""),
        ({"action": "close", "status": "needs_review"}, "action"),
        ({"action": "retry", "status": None}, ""),
        ({"action": "retry", "ids": []}, "ids"),
        ({"action": "retry", "ids": ["x"]}, "ids.0"),
        ({"action": "retry", "status": "done"}, "status"),
        ({"action": "retry", "status": "needs_review", "at_most": -1}, "at_most"),
        ({"action": "retry", "status": "needs_review", "dry_run": "no"}, "dry_run"),
        ({"action": "retry", "status": "needs_review", "all": True}, "all"),
    ],
    ids=["everything", "action", "null", "no ids", "no id", "status", "negative", "text", "unknown"],
)
def test_a_wrong_bulk_action_is_named_and_nothing_is_done(gateway: Gateway, body: Any, field: str) -> None:
    answer = ask(gateway, "/cancellations/bulk", body)
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, field)


def test_a_pause_is_shown_and_taken_back(gateway: Gateway) -> None:
    paused = ask(gateway, "/pauses", {"partner": "ABCDE", "step": "confirm", "note": "keys"}).get_json()["items"]
    assert [(one["partner"], one["step"], one["paused_by"], one["note"]) for one in paused] == [
        ("ABCDE", "confirm", "operator:anna", "keys")
    ]
    ask(gateway, "/pauses", {"everything": True})
    assert len(ask(gateway, "/pauses", token=VIEWER).get_json()["items"]) == 2
    left = ask(gateway, "/pauses/resume", {"partner": "ABCDE", "step": "confirm"}).get_json()["items"]
    assert [(one["partner"], one["step"]) for one in left] == [(None, None)]
    assert ask(gateway, "/pauses/resume", {"everything": True}).get_json()["items"] == []
    assert [entry["action"] for entry in ask(gateway, "/audit").get_json()["items"]] == [
        "resume", "resume", "pause", "pause"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [{}, {"everything": False}, {"everything": True, "step": "confirm"}, {"step": "sleep"}, {"partner": "NOBODY"}],
    ids=["nothing", "not everything", "both", "step", "partner"],
)
def test_a_pause_of_nothing_or_nobody_is_refused(gateway: Gateway, body: Any) -> None:
    assert ask(gateway, "/pauses", body).status_code == 422
    assert ask(gateway, "/pauses").get_json()["items"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [("/cancellations/bulk", {"action": "retry", "status": "needs_review"}), ("/pauses", {"everything": True}),
     ("/pauses/resume", {"everything": True})],
    ids=["bulk", "pause", "resume"],
)  # fmt: skip
def test_only_an_operator_presses(gateway: Gateway, path: str, body: Any) -> None:
    for token in (SHOP, VIEWER):
        assert ask(gateway, path, body, token=token).status_code == 403
    assert ask(gateway, "/audit").get_json()["items"] == []


@pytest.mark.parametrize("path", ["/pauses", "/audit"])
def test_a_caller_sees_neither_pauses_nor_presses(gateway: Gateway, path: str) -> None:
    statuses = [ask(gateway, path, token=token).status_code for token in (SHOP, VIEWER, OPERATOR)]
    assert statuses == [403, 200, 200]


def test_the_audit_log_is_read_page_by_page_and_for_one_cancellation(gateway: Gateway) -> None:
    found = gateway.parked_at_refund()
    assert gateway.post(f"/{found}/retry", token=OPERATOR).status_code == 200
    for step in ("confirm", "refund"):
        ask(gateway, "/pauses", {"step": step})
    first = ask(gateway, "/audit?limit=2").get_json()
    second = ask(gateway, f"/audit?limit=2&cursor={first['next_cursor']}").get_json()
    entries = [*first["items"], *second["items"]]
    assert [entry["action"] for entry in entries] == ["pause", "pause", "retry"]
    assert second["next_cursor"] is None
    about = ask(gateway, f"/audit?cancellation_id={found}").get_json()["items"]
    assert [entry["id"] for entry in about] == [entries[2]["id"]]


def test_it_is_told_why_one_waits_to_whoever_may_see_it(gateway: Gateway) -> None:
    found = gateway.parked_at_refund()
    for token in (SHOP, VIEWER, OPERATOR):
        told = gateway.get(f"/{found}/why", token=token).get_json()
        assert (told["id"], told["status"]) == (found, "needs_review")
        assert "The refund was not reported in time. What to do: report it: it goes on by itself" in told["why"]
    assert gateway.get(f"/{found}/why", token=OTHER).status_code == 404
