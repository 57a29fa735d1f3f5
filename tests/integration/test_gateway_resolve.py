"""An operator's decision over HTTP: who may, what is refused and why, and that it stays in the timeline."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared import reservations
from shared.cancellations import begin_step, finish_step, reject
from shared.lifecycle import Step, TaskName
from shared.models import Reservation
from tests.gateway import OPERATOR, SHOP, Gateway
from tests.recording import RecordingDatabase

NOTE = "XCover's support says so, ticket 4711"
CLOSE = {"resolution": "close", "note": NOTE}
DONE = {"resolution": "done", "note": NOTE, "evidence": "seen in the insurer's portal"}
AMEND = {"resolution": "amend", "note": NOTE, "claim": {"language": "de"}}
PAID = {"amount": "22.4", "currency": "EUR", "reference": "re_9"}


@pytest.fixture
def gateway(database: RecordingDatabase) -> Gateway:
    return Gateway(database)


def timeline(gateway: Gateway, cancellation_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = gateway.get(f"/{cancellation_id}/events").get_json()["items"]
    return items


def test_a_decision_answers_with_the_resource_and_rings_for_what_is_next(
    gateway: Gateway, database: RecordingDatabase
) -> None:
    found = gateway.parked_at_confirm(journey="cancel_and_claim")

    answer = gateway.post(f"/{found}/resolve", DONE, token=OPERATOR)

    item = answer.get_json()
    assert (answer.status_code, item["status"], item["next_step"]) == (200, "in_progress", "claim")
    assert item == gateway.get(f"/{found}").get_json()
    assert database.published[-1] == (TaskName.CLAIM, UUID(found))


def test_a_decision_stays_in_the_timeline_with_who_why_the_evidence_and_the_problem_it_had(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()
    problem = gateway.get(f"/{found}").get_json()["problem"]
    evidence = {"claim_reference": "CLM-1", "seen_by": {"name": "Bo", "pages": [1, 2.5]}}

    answer = gateway.post(f"/{found}/resolve", {**DONE, "evidence": evidence}, token=OPERATOR)

    assert (answer.get_json()["status"], answer.get_json()["problem"]) == ("completed", None)
    last = timeline(gateway, found)[-1]
    assert (last["event"], last["actor"], last["reason"]) == ("resolved", "operator:anna", NOTE)
    assert last["details"] == {"resolution": "done", "evidence": evidence, "was": problem}
    assert problem["detail"] == "Nobody can tell."


def test_evidence_in_words_is_kept_as_text(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()

    gateway.post(f"/{found}/resolve", {**DONE, "evidence": "line one\nline two"}, token=OPERATOR)

    assert timeline(gateway, found)[-1]["details"]["evidence"] == {"text": "line one\nline two"}


def test_a_closed_one_keeps_its_problem_and_its_note(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()

    item = gateway.post(f"/{found}/resolve", CLOSE, token=OPERATOR).get_json()

    assert (item["status"], item["next_step"], item["next_attempt_at"]) == ("closed", None, None)
    assert item["problem"]["type"] == "/problems/outcome-unsettled"
    last = timeline(gateway, found)[-1]
    assert (last["event"], last["actor"], last["reason"]) == ("closed", "operator:anna", NOTE)


def test_a_refund_stated_as_evidence_becomes_the_reported_one(gateway: Gateway) -> None:
    found = gateway.parked_at_refund()

    item = gateway.post(f"/{found}/resolve", {**DONE, "evidence": PAID}, token=OPERATOR).get_json()

    assert (item["status"], item["next_step"]) == ("in_progress", "confirm")
    assert (item["refund"]["amount"], item["refund"]["currency"], item["refund"]["reference"]) == (
        "22.40", "EUR", "re_9",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "slug"),
    [
        ({**PAID, "amount": "22.41"}, "refund-mismatch"),
        ({"amount": "22.40", "currency": "EUR"}, "evidence-missing"),
        ("I saw it", "evidence-missing"),
    ],
)
def test_evidence_that_shows_no_such_refund_changes_nothing(gateway: Gateway, evidence: Any, slug: str) -> None:
    found = gateway.parked_at_refund()
    before = gateway.get(f"/{found}").get_json(), timeline(gateway, found)

    answer = gateway.post(f"/{found}/resolve", {**DONE, "evidence": evidence}, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["type"]) == (422, f"/problems/{slug}")
    assert (gateway.get(f"/{found}").get_json(), timeline(gateway, found)) == before


def test_amended_claim_fields_reach_the_request_and_the_others_stay(gateway: Gateway) -> None:
    fields = [{"name": "claim_details", "fields": []}]
    found = gateway.parked_at_claim(claim={"section_fields": fields, "quote_id": "q-1"})

    answer = gateway.post(f"/{found}/resolve", AMEND, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["next_step"]) == (200, "claim")
    claim = gateway.row(found).request["claim"]
    assert (claim["language"], claim["section_fields"], claim["quote_id"]) == ("de", fields, "q-1")
    assert timeline(gateway, found)[-1]["details"]["amended"] == ["language"]


@pytest.mark.parametrize(("free", "held"), [(False, ["q-1"]), (True, [])])
def test_closing_frees_the_policies_of_one_past_its_point_of_no_return_only_when_told_to(
    gateway: Gateway, database: RecordingDatabase, free: bool, held: list[str]
) -> None:
    found = gateway.parked_at_confirm()
    with database.transaction() as tx:
        reservations.take(tx, gateway.row(found), "q-1")

    answer = gateway.post(f"/{found}/resolve", {**CLOSE, "free_policies": free}, token=OPERATOR)

    assert answer.status_code == 200
    with database.reading() as session:
        still = [row.quote_id for row in session.query(Reservation) if row.released_at is None]
    assert still == held


def test_only_operators_decide_even_about_a_callers_own(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()

    for body in (CLOSE, {}, None):
        answer = gateway.post(f"/{found}/resolve", body, token=SHOP)
        assert (answer.status_code, answer.get_json()["type"]) == (403, "/problems/operators-only")
    assert gateway.get(f"/{found}").get_json()["status"] == "needs_review"


@pytest.mark.parametrize("body", [CLOSE, DONE, AMEND])
def test_what_does_not_exist_cannot_be_resolved(gateway: Gateway, body: dict[str, Any]) -> None:
    answer = gateway.post(f"/{uuid4()}/resolve", body, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/not-found")


def ended(gateway: Gateway, status: str) -> str:
    """Return a cancellation that is in this status."""
    found = gateway.accept(journey="cancel_now")
    if status == "aborted":
        gateway.post(f"/{found}/abort")
    for step in (Step.LOOK_UP, Step.CANCEL) if status == "completed" else ():
        with gateway.database.transaction() as tx:
            held = begin_step(tx, UUID(found), step)
            assert held is not None
            finish_step(tx, held, step, "done by a test")
    if status == "rejected":
        with gateway.database.transaction() as tx:
            held = begin_step(tx, UUID(found), Step.LOOK_UP)
            assert held is not None
            reject(tx, held, "booking-not-found", "It is not there.")
    assert gateway.row(found).status == status
    return found


@pytest.mark.parametrize("status", ["in_progress", "completed", "rejected", "aborted"])
@pytest.mark.parametrize("body", [CLOSE, DONE, AMEND, {"resolution": "not_done", "note": NOTE}])
def test_what_waits_for_nobody_is_refused_with_the_reason(gateway: Gateway, body: dict[str, Any], status: str) -> None:
    found = ended(gateway, status)
    before = timeline(gateway, found)

    answer = gateway.post(f"/{found}/resolve", body, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/nothing-to-resolve")
    assert status.replace("_", " ") in answer.get_json()["detail"].replace("_", " ")
    assert (gateway.row(found).status, timeline(gateway, found)) == (status, before)


def test_one_in_progress_is_not_closed_but_told_to_be_aborted(gateway: Gateway) -> None:
    answer = gateway.post(f"/{gateway.accept()}/resolve", CLOSE, token=OPERATOR)

    assert "abort it" in answer.get_json()["detail"]


def test_a_decision_taken_twice_is_carried_out_once(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm(journey="cancel_and_claim")

    answers = [gateway.post(f"/{found}/resolve", DONE, token=OPERATOR).status_code for _ in range(2)]

    assert answers == [200, 409]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**CLOSE, "resolution": "perhaps"}, "resolution"),
        ({**CLOSE, "resolution": "not-done"}, "resolution"),
        ({"note": NOTE}, "resolution"),
        ({"resolution": "close"}, "note"),
        ({**CLOSE, "note": ""}, "note"),
        ({**CLOSE, "note": "  "}, "note"),
        ({**CLOSE, "note": "x" * 2001}, "note"),
        ({**CLOSE, "note": "a\nb"}, "note"),
        ({**CLOSE, "note": "a\x1b[2J"}, "note"),
        ({**CLOSE, "note": "\ud800"}, "note"),
        ({**CLOSE, "note": 5}, "note"),
        ({**CLOSE, "colour": "red"}, "colour"),
        ({**CLOSE, "free_policies": "yes"}, "free_policies"),
        ({**CLOSE, "evidence": 5}, "evidence"),
        ({**CLOSE, "evidence": ["x"]}, "evidence"),
        ({**CLOSE, "evidence": {"free": "a\x00b"}}, "evidence"),
        ({**CLOSE, "evidence": {"\ud800": 1}}, "evidence"),
        ({**CLOSE, "evidence": {"free": "x" * 20_000}}, "evidence"),
        ({**CLOSE, "evidence": "x" * 20_000}, "evidence"),
        ({**CLOSE, "evidence": {"amount": "1"}}, "evidence"),
        ({**CLOSE, "evidence": {"currency": "EUR"}}, "evidence"),
        ({**CLOSE, "evidence": {"amount": "1.001", "currency": "EUR"}}, "evidence"),
        ({**CLOSE, "evidence": {"amount": "1", "currency": "ZZZ"}}, "evidence"),
        ({**CLOSE, "evidence": {"amount": "1", "currency": "XAU"}}, "evidence"),
        ({**CLOSE, "evidence": {"amount": 1, "currency": "EUR"}}, "evidence.amount"),
        ({**CLOSE, "evidence": {"amount": "-1", "currency": "EUR"}}, "evidence.amount"),
        ({**CLOSE, "evidence": {"amount": "1", "currency": "eur"}}, "evidence.currency"),
        ({**CLOSE, "evidence": {"reference": "a\nb"}}, "evidence.reference"),
        ({**CLOSE, "evidence": {"claim_id": "../other"}}, "evidence.claim_id"),
        ({**CLOSE, "evidence": {"claim_reference": "x" * 65}}, "evidence.claim_reference"),
        ({**AMEND, "claim": {"language": "deutsch!"}}, "claim.language"),
        ({**AMEND, "claim": {"claim_type_id": "a/b"}}, "claim.claim_type_id"),
        ({**AMEND, "claim": {"section_fields": {}}}, "claim.section_fields"),
        ({**AMEND, "claim": {"section_fields": ["a\x00b"]}}, "claim.section_fields"),
        ({**AMEND, "claim": {"quote_id": "q-2"}}, "claim.quote_id"),
    ],
)
def test_a_malformed_decision_is_refused_by_field(gateway: Gateway, body: dict[str, Any], field: str) -> None:
    found = gateway.parked_at_confirm()

    answer = gateway.post(f"/{found}/resolve", body, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid-request")
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]
    assert gateway.row(found).status == "needs_review"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"resolution": "done", "note": NOTE}, "evidence"),
        ({**DONE, "evidence": {}}, "evidence"),
        ({**DONE, "evidence": None}, "evidence"),
        ({**DONE, "evidence": {"amount": None, "reference": None}}, "evidence"),
        ({"resolution": "amend", "note": NOTE}, "claim"),
        ({**AMEND, "claim": {}}, "claim"),
        ({**AMEND, "claim": {"language": None}}, "claim"),
        ({**CLOSE, "claim": {"language": "de"}}, "claim"),
        ({**CLOSE, "claim": {}}, "claim"),
        ({**DONE, "free_policies": True}, "free_policies"),
        ({**AMEND, "free_policies": True}, "free_policies"),
    ],
)
def test_what_does_not_belong_to_a_decision_or_is_missing_from_it_is_named(
    gateway: Gateway, body: dict[str, Any], said: str
) -> None:
    answer = gateway.post(f"/{gateway.parked_at_confirm()}/resolve", body, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid-request")
    (error,) = answer.get_json()["errors"]
    assert error["problem"].startswith(f"{said}: ")


@pytest.mark.parametrize("body", [[], "close", 7])
def test_a_decision_is_an_object(gateway: Gateway, body: Any) -> None:
    answer = gateway.post(f"/{uuid4()}/resolve", body, token=OPERATOR)

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid-request")


def test_a_note_pasted_from_a_mail_may_hold_no_break_spaces(gateway: Gateway) -> None:
    found = gateway.parked_at_confirm()

    assert gateway.post(f"/{found}/resolve", {**CLOSE, "note": "no\u00a0break"}, token=OPERATOR).status_code == 200
