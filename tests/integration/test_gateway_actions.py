"""Reporting a refund, aborting, retrying and the timeline, over HTTP."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared import calls, claims
from shared.cancellations import await_premium_refund, begin_step, finish_step, park, postpone
from shared.lifecycle import Step, TaskName
from tests.gateway import OPERATOR, OTHER, URL, WEBHOOK_KEYS, Gateway, bearer
from tests.recording import RecordingDatabase

REPORT = {"amount": "22.40", "currency": "EUR", "reference": "re_123"}


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


def park_it(gateway: Gateway, cancellation_id: str) -> None:
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(cancellation_id), Step.LOOK_UP)
        assert held is not None
        park(tx, held, "outcome-unsettled", "It could not be told.")


def test_a_reported_refund_sends_the_cancellation_on(gateway: Gateway, database: RecordingDatabase) -> None:
    accepted = gateway.accept_previewed()

    answer = gateway.post(f"/{accepted}/refund", REPORT)

    item = answer.get_json()
    assert (answer.status_code, item["status"], item["next_step"]) == (200, "in_progress", "confirm")
    assert item["refund"]["reported_at"] is not None
    assert {name: item["refund"][name] for name in REPORT} == REPORT
    assert database.published[-1] == (TaskName.CONFIRM, UUID(accepted))


def test_repeating_a_report_is_harmless_and_another_one_is_refused(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()
    gateway.post(f"/{accepted}/refund", REPORT)

    assert gateway.post(f"/{accepted}/refund", {**REPORT, "amount": "22.4"}).status_code == 200
    other = gateway.post(f"/{accepted}/refund", {**REPORT, "reference": "re_999"})
    assert (other.status_code, other.get_json()["type"]) == (409, "/problems/refund-already-reported")


def test_a_refund_that_is_not_the_previewed_one_is_refused_and_kept(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()

    answer = gateway.post(f"/{accepted}/refund", {**REPORT, "amount": "22.41"})

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/refund-mismatch")
    assert gateway.get(f"/{accepted}").get_json()["status"] == "awaiting_refund"
    last = gateway.get(f"/{accepted}/events").get_json()["items"][-1]
    assert (last["event"], last["details"]) == ("refund_report_refused", {**REPORT, "amount": "22.41"})
    assert last["actor"] == "caller:shop"


def test_a_refund_reported_after_the_end_is_stored_for_a_person(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()
    gateway.post(f"/{accepted}/abort")

    answer = gateway.post(f"/{accepted}/refund", REPORT)

    assert (answer.status_code, answer.get_json()["status"]) == (202, "needs_review")
    assert answer.get_json()["problem"]["type"] == "/problems/refund-after-end"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 22.4}, "amount"),
        ({"amount": "-22.40"}, "amount"),
        ({"amount": "2.24e1"}, "amount"),
        ({"amount": "22,40"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount": "٢٢"}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"reference": ""}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"reference": "r" * 256}, "reference"),
        ({"reference": "\ud800"}, "reference"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_malformed_report_is_refused_by_field(gateway: Gateway, change: dict[str, Any], field: str) -> None:
    accepted = gateway.accept_previewed()

    answer = gateway.post(f"/{accepted}/refund", {**REPORT, **change})

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid-request")
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_an_amount_finer_than_the_currencys_coins_is_a_mismatch_and_stays_in_the_timeline(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()

    answer = gateway.post(f"/{accepted}/refund", {**REPORT, "amount": "22.405"})

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/refund-mismatch")
    lines = gateway.get(f"/{accepted}/events").get_json()["items"]
    assert any("22.405" in str(line) for line in lines)


def test_an_unknown_currency_is_a_refusal_not_a_failure(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()

    assert gateway.post(f"/{accepted}/refund", {**REPORT, "currency": "ZZZ"}).status_code == 422


def test_nobody_steers_anothers_cancellation(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()

    assert gateway.post(f"/{accepted}/refund", REPORT, token=OTHER).status_code == 404
    assert gateway.post(f"/{accepted}/abort", token=OTHER).status_code == 404
    assert gateway.post(f"/{uuid4()}/refund", REPORT).status_code == 404
    assert gateway.get(f"/{accepted}").get_json()["status"] == "awaiting_refund"


def test_abort_takes_it_back_and_may_be_repeated(gateway: Gateway) -> None:
    accepted = gateway.accept()

    first, again = gateway.post(f"/{accepted}/abort"), gateway.post(f"/{accepted}/abort")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.get_json()["status"] == "aborted"


def test_abort_is_refused_after_the_point_of_no_return(gateway: Gateway) -> None:
    accepted = gateway.accept_previewed()
    gateway.post(f"/{accepted}/refund", REPORT)

    answer = gateway.post(f"/{accepted}/abort")

    assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/point-of-no-return")


def test_only_operators_retry(gateway: Gateway) -> None:
    accepted = gateway.accept()
    park_it(gateway, accepted)

    refused = gateway.post(f"/{accepted}/retry")
    taken = gateway.post(f"/{accepted}/retry", token=OPERATOR)

    assert (refused.status_code, refused.get_json()["type"]) == (403, "/problems/operators-only")
    assert (taken.status_code, taken.get_json()["status"], taken.get_json()["problem"]) == (200, "in_progress", None)
    assert gateway.get(f"/{accepted}/events").get_json()["items"][-1]["actor"] == "operator:anna"


def test_the_note_of_a_retry_stays_in_the_timeline_with_who(gateway: Gateway) -> None:
    accepted = gateway.accept()
    park_it(gateway, accepted)

    answer = gateway.post(f"/{accepted}/retry", {"note": "ticket 4711"}, token=OPERATOR)

    last = gateway.get(f"/{accepted}/events").get_json()["items"][-1]
    assert (answer.status_code, last["event"], last["actor"]) == (200, "retried", "operator:anna")
    assert last["reason"] == "taken up again by an operator: ticket 4711"


@pytest.mark.parametrize("content_type", [None, "application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_retry_needs_no_body_whatever_type_it_announces(gateway: Gateway, content_type: str | None) -> None:
    accepted = gateway.accept()

    answer = gateway.client.post(
        f"{URL}/{accepted}/retry", data=b"", content_type=content_type, headers=bearer(OPERATOR)
    )

    assert answer.status_code == 200
    last = gateway.get(f"/{accepted}/events").get_json()["items"][-1]
    assert last["reason"] == "its wait was skipped by an operator"


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        ({"json": {}}, 200, None),
        ({"json": {"note": None}}, 200, None),
        ({"json": {"note": ""}}, 422, "invalid-request"),
        ({"json": {"note": "a\nb"}}, 422, "invalid-request"),
        ({"json": {"note": "x" * 2001}}, 422, "invalid-request"),
        ({"json": {"why": "x"}}, 422, "invalid-request"),
        ({"json": ["x"]}, 422, "invalid-request"),
        ({"data": "null", "content_type": "application/json"}, 200, None),
        ({"data": "{", "content_type": "application/json"}, 400, "not-json"),
        ({"data": "note=x", "content_type": "application/x-www-form-urlencoded"}, 415, "not-json-content"),
    ],
)
def test_a_body_of_a_retry_is_read_as_strictly_as_any(
    gateway: Gateway, sent: dict[str, Any], status: int, slug: str | None
) -> None:
    accepted = gateway.accept()

    answer = gateway.client.post(f"{URL}/{accepted}/retry", headers=bearer(OPERATOR), **sent)

    assert answer.status_code == status
    assert slug is None or answer.get_json()["type"] == f"/problems/{slug}"


def test_one_that_waits_for_others_shows_no_next_try(gateway: Gateway) -> None:
    reported, claimed = (
        gateway.accept_previewed(key="a"),
        gateway.accept(key="b", journey="claim_then_cancel", refund={"mode": "skip"}),
    )
    for step in (Step.LOOK_UP, Step.CLAIM):
        with gateway.database.transaction() as tx:
            held = begin_step(tx, UUID(claimed), step)
            assert held is not None
            finish_step(tx, held, step, "done by a test")
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(claimed), Step.AWAIT_PREMIUM_REFUND)
        assert held is not None
        await_premium_refund(tx, held, "waits", seconds=60)

    shown = [gateway.get(f"/{found}").get_json() for found in (reported, claimed)]

    assert [item["status"] for item in shown] == ["awaiting_refund", "awaiting_premium_refund"]
    assert [item["next_attempt_at"] for item in shown] == [None, None]
    assert shown[1]["steps"] == ["look_up", "claim", "await_premium_refund", "preview", "refund", "confirm"]
    assert shown[1]["refund"]["mode"] == "skip"


def test_a_refund_that_is_asked_for_is_shown_as_that(database: RecordingDatabase) -> None:
    gateway = Gateway(database, refund_url="https://shop.example/refund")

    assert gateway.get(f"/{gateway.accept(refund={'mode': 'call'})}").get_json()["refund"]["mode"] == "call"


def test_retry_without_anything_to_retry_is_refused(gateway: Gateway) -> None:
    accepted = gateway.accept()
    gateway.post(f"/{accepted}/abort")

    assert gateway.post(f"/{accepted}/retry", token=OPERATOR).status_code == 409
    assert gateway.post(f"/{uuid4()}/retry", token=OPERATOR).status_code == 404


def test_a_postponed_step_shows_its_tries_and_its_next_one(gateway: Gateway) -> None:
    accepted = gateway.accept()
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(accepted), Step.LOOK_UP)
        assert held is not None
        postpone(tx, held, "the insurer is away", seconds=60)

    item = gateway.get(f"/{accepted}").get_json()

    assert item["attempts"] == 1
    assert item["next_attempt_at"] > item["updated_at"]


def test_the_timeline_tells_transitions_calls_and_webhooks_in_order(gateway: Gateway) -> None:
    from tests.integration.test_gateway_webhooks import EVENT, signed

    accepted = gateway.accept(journey="cancel_and_claim")
    with gateway.database.transaction() as tx:
        held = begin_step(tx, UUID(accepted), Step.LOOK_UP)
        assert held is not None
        held.claim_quote_id = "q-1"
        call = calls.intend(tx, held, Step.PREVIEW, round_number=1, body={"preview": True}, evidence={"preview": True})
        calls.record(tx, call, "done", status=201, answer={"total_refund": "22.40"})
        claim = claims.open_claim(tx, held, claim_type_id="cfar")
        assert claim is not None
    gateway.client.post(
        f"/webhooks/xclaim/{claim.webhook_token}", **signed(EVENT, WEBHOOK_KEYS[0], token=claim.webhook_token)
    )
    gateway.client.post("/webhooks/xclaim", **signed(EVENT, WEBHOOK_KEYS[0]))

    items = gateway.get(f"/{accepted}/events").get_json()["items"]

    assert [(item["kind"], item.get("event") or item.get("step")) for item in items] == [
        ("transition", "accepted"),
        ("call", "preview"),
        ("webhook", "claim.updated"),
    ]
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    assert (items[1]["outcome"], items[1]["attempts"], items[1]["answer"]) == ("done", 1, {"total_refund": "22.40"})
    assert (items[2]["category"], items[2]["handled_at"]) == ("Claim Paid", None)
    assert claim.webhook_token not in str(items)
