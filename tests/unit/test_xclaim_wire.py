import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.insurer.errors import UnusableAnswer
from shared.nesting import MAX_DEPTH
from shared.xclaim import wire
from shared.xclaim.wire import NotAClaimEvent, parse_event

CLAIM = "099c4df7-cf47-4fb8-baf7-4a1d64d1fd56"
REFERENCE = "HVGCU-B78QJ-CLA"
BOOKING = "8UHPK-ALPQT-INS"
QUOTE = "d5465e90-f22f-477a-b0cc-2950fcf034ff"

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["event", "payload", "id", "status", "category", "data", "claimReference"]) | st.text(),
            inner,
        )
    ),
    max_leaves=30,
)


def event_bytes(**payload: object) -> bytes:
    return json.dumps({"event": "claim.status-update", "payload": payload}).encode()


def test_a_claim_request_names_policy_type_and_receiver() -> None:
    body = wire.claim_request(
        claim_type_id="type",
        booking_id=BOOKING,
        quote_id=QUOTE,
        language="en",
        section_fields=[{"name": "claim_details", "fields": []}],
        webhook_url="https://ours.test/webhooks/xclaim/t",
        webhook_key="abc",
    )
    assert body == {
        "claimTypeId": "type",
        "bookingReference": BOOKING,
        "quoteReference": QUOTE,
        "language": "en",
        "sectionFields": [{"name": "claim_details", "fields": []}],
        "webhooks": [{"url": "https://ours.test/webhooks/xclaim/t", "key": "abc"}],
    }
    assert wire.claimed_policy(body) == (BOOKING, QUOTE)


def test_a_claim_of_the_older_interface_is_read() -> None:
    claim = wire.claim_from(
        {
            "data": {
                "id": CLAIM,
                "claimReference": REFERENCE,
                "bookingReference": BOOKING,
                "quoteReference": QUOTE,
                "claimTypeId": "type",
                "reportedAt": "2026-03-01T10:00:00+00:00",
                "status": {"name": "fraud_over", "label": "Fraud check over", "category": "Under Assessment"},
                "brandNew": {"a": 1},
            }
        }
    )
    assert (claim.id, claim.reference, claim.booking_id, claim.quote_id) == (CLAIM, REFERENCE, BOOKING, QUOTE)
    assert (claim.category, claim.status_name, claim.status_label) == (
        "Under Assessment",
        "fraud_over",
        "Fraud check over",
    )
    assert claim.reported_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert (claim.is_processed, claim.is_closed, claim.claim_type_id) == (True, None, "type")


def test_a_claim_of_the_newer_interface_is_read() -> None:
    claim = wire.claim_from(
        {
            "data": {
                "id": CLAIM,
                "claim_reference": REFERENCE,
                "booking_reference": BOOKING,
                "quote_reference": QUOTE,
                "status": "Never Seen Before",
                "is_closed": False,
                "claimant": {"email": "someone@example.test"},
            }
        }
    )
    assert (claim.category, claim.status_name, claim.is_closed) == ("Never Seen Before", None, False)
    assert claim.is_processed


@pytest.mark.parametrize("answered_202", [True, False])
def test_a_claim_that_is_not_processed_yet_has_a_reference_and_no_id(answered_202: bool) -> None:
    body: dict[str, Any] = {"data": {"claim_reference": REFERENCE, "failure_reason": None}}
    if not answered_202:
        body["data"]["processing_status"] = "pending"
    claim = wire.claim_from(body, is_pending=answered_202)
    assert (claim.id, claim.reference, claim.is_processed) == (None, REFERENCE, False)


def test_an_id_alone_does_not_make_a_pending_claim_processed() -> None:
    assert not wire.claim_from({"id": CLAIM, "processing_status": "pending"}).is_processed


def test_the_reason_of_a_failure_is_told_without_personal_data() -> None:
    claim = wire.claim_from(
        {"claim_reference": REFERENCE, "processing_status": "failed", "failure_reason": "no someone@example.test"}
    )
    assert not claim.is_processed
    assert claim.failure_reason == "no [redacted]"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"data": None}, {"data": []}, {"data": {"status": "Submitted"}}])
def test_what_has_neither_id_nor_reference_is_no_claim(body: object) -> None:
    with pytest.raises(UnusableAnswer):
        wire.claim_from(body)


@pytest.mark.parametrize("body", [{"id": "c" * 65}, {"id": CLAIM, "claim_reference": "R" * 65}])
def test_a_name_that_cannot_be_stored_whole_is_unusable(body: object) -> None:
    with pytest.raises(UnusableAnswer, match="longer than 64"):
        wire.claim_from(body)


def test_an_impossible_time_of_reporting_is_named() -> None:
    with pytest.raises(UnusableAnswer, match="reportedAt"):
        wire.claim_from({"id": CLAIM, "reportedAt": "2026-02-30T00:00:00Z"})


@pytest.mark.parametrize("amount", ["1000", Decimal("1000.5"), 1000, "2500.000000000000000000"])
def test_an_eligible_policy_has_an_exact_amount(amount: object) -> None:
    answer = wire.eligibility_from({"isCustomerEligible": True, "claimAmount": amount, "currency": "USD"})
    assert answer.is_eligible
    assert (answer.amount, answer.currency, answer.failed_checks) == (Decimal(str(amount)), "USD", ())


@pytest.mark.parametrize("amount", ["1,000.00", True, [], Decimal("1E+999999")])
def test_an_amount_that_cannot_be_read_changes_nothing_about_eligibility(amount: object) -> None:
    answer = wire.eligibility_from({"isCustomerEligible": True, "claimAmount": amount, "currency": "USD"})
    assert (answer.is_eligible, answer.amount) == (True, None)


def test_an_ineligible_policy_says_which_checks_failed() -> None:
    checks = ["valid_policy_coverage_period", "never_seen_before", 5]
    answer = wire.eligibility_from({"isCustomerEligible": False, "failedChecks": checks})
    assert not answer.is_eligible
    assert answer.failed_checks == ("valid_policy_coverage_period", "never_seen_before")


@pytest.mark.parametrize("body", [{}, {"isCustomerEligible": "true"}, {"isCustomerEligible": 1}, None])
def test_eligibility_is_never_guessed(body: object) -> None:
    with pytest.raises(UnusableAnswer):
        wire.eligibility_from(body)


@pytest.mark.parametrize(
    ("status", "message", "is_about"),
    [
        (401, "", True),
        (403, "Failed to authenticate because of bad credentials or an invalid authorization header.", True),
        (403, "Unauthorized action", False),
        (404, "Failed to authenticate", False),
    ],
)
def test_a_refused_token_is_told_from_a_refused_request(status: int, message: str, is_about: bool) -> None:
    assert wire.is_about_credentials(status, {"type": "exception", "message": message}) is is_about


def test_evidence_names_no_person() -> None:
    body = {"data": {"id": CLAIM, "status": "Submitted", "claimant": {"first_name": "Someone"}, "is_closed": False}}
    assert wire.evidence_in(body) == {"id": CLAIM, "category": "Submitted", "is_closed": False}


@given(json_like)
def test_any_json_is_read_or_called_unusable(body: object) -> None:
    json.dumps(wire.evidence_in(body))
    wire.is_about_credentials(403, body)
    for read in (wire.claim_from, wire.eligibility_from):
        try:
            read(body)
        except UnusableAnswer:
            continue


def test_the_published_event_is_read() -> None:
    event = parse_event(
        b'{"event": "claim.status-category-update", "payload": {"id": "%s", "claimReference": "HVGCU-B78QJ-CLA",'
        b' "bookingReference": "518B-3H5Q-INS", "status": {"category": "Action Required"}, "claimDetails": []}}'
        % CLAIM.encode()
    )
    assert (event.event, event.claim_id) == ("claim.status-category-update", CLAIM)
    assert (event.reference, event.booking_id) == (REFERENCE, "518B-3H5Q-INS")
    assert (event.category, event.status_name, event.status_label) == ("Action Required", None, None)


def test_an_event_may_lack_everything_but_its_payload() -> None:
    assert parse_event(event_bytes()).claim_id is None
    assert parse_event(event_bytes(status="Settled", claim_reference=REFERENCE)).category == "Settled"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"<html>",
        b'{"event": "x"}',
        b'{"event": "", "payload": {}}',
        b'{"event": 5, "payload": {}}',
        b'{"event": "x", "payload": []}',
        b'{"event": "x", "payload": {"n": NaN}}',
        b'{"event": "x", "payload": {"n": -Infinity}}',
        b'{"event": "x", "payload": {}, "event": "y"}',
        b'{"event": "x", "payload": {"id": "1", "id": "2"}}',
        b'{"event": "x", "payload": {"id": "\\ud800"}}',
        b'{"event": "x", "payload": {"\\ud800": 1}}',
        b'{"event": "x", "payload": {"id": "a\\u0000"}}',
        b'{"event": "x", "payload": {"n": ' + b"9" * 5000 + b"}}",
        b'\xef\xbb\xbf{"event": "x", "payload": {}}',
        '{"event": "x", "payload": {}}'.encode("utf-16"),
        b'{"event": "\xff", "payload": {}}',
        b"[" * 200_000,
        b'{"event": "x", "payload": ' + b'{"a":' * 90_000 + b"1" + b"}" * 90_000 + b"}",
    ],
)
def test_what_is_not_an_event_is_refused_as_such(raw: bytes) -> None:
    with pytest.raises(NotAClaimEvent):
        parse_event(raw)


def test_an_event_is_read_down_to_the_depth_that_a_worker_can_read_too() -> None:
    def nested(levels: int) -> bytes:
        return b'{"event": "x", "payload": ' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"

    assert parse_event(nested(MAX_DEPTH - 1)).event == "x"
    with pytest.raises(NotAClaimEvent, match="deeper"):
        parse_event(nested(MAX_DEPTH))


def test_a_backslash_before_u0000_is_not_a_nul() -> None:
    assert parse_event(b'{"event": "x", "payload": {"id": "a\\\\u0000"}}').claim_id == "a\\u0000"


@given(st.binary() | st.text().map(str.encode) | json_like.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    try:
        parse_event(raw)
    except NotAClaimEvent:
        return
