"""XClaim's client against a scripted server: what leaves, and what each answer is taken for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from shared.insurer.errors import (
    InFlight,
    InsurerError,
    KeyConflict,
    Misdirected,
    NotAllowed,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Refused,
    Throttled,
    Unavailable,
    UnusableAnswer,
)
from shared.insurer.transport import InsurerHttp
from shared.xclaim import client as client_module
from shared.xclaim import wire
from shared.xclaim.auth import StaticToken
from shared.xclaim.client import XClaimClient
from tests.integration.test_insurer_transport import NOON, Turn, hang_up, say, serving
from tests.servers import free_port

BOOKING = "8UHPK-ALPQT-INS"
QUOTE = "d5465e90-f22f-477a-b0cc-2950fcf034ff"
CLAIM = "099c4df7-cf47-4fb8-baf7-4a1d64d1fd56"
REFERENCE = "HVGCU-B78QJ-CLA"
REQUEST = wire.claim_request(
    claim_type_id="type",
    booking_id=BOOKING,
    quote_id=QUOTE,
    language="en",
    section_fields=[],
    webhook_url="https://ours.test/t",
    webhook_key="hunter2",
)
ALL = "/x/partners/ABCDE/claims"


def claim(**changes: object) -> dict[str, Any]:
    return {
        "id": CLAIM,
        "claimReference": REFERENCE,
        "bookingReference": BOOKING,
        "quoteReference": QUOTE,
        "status": {"category": "Submitted"},
        "claimant": {"email": "someone@example.test"},
    } | changes


@pytest.fixture
def http() -> Iterator[InsurerHttp]:
    client = InsurerHttp()
    yield client
    client.close()


def a_client(url: str, http: InsurerHttp, *, path: str | None = None) -> XClaimClient:
    return XClaimClient(
        base_url=url,
        partner_code="ABCDE",
        tokens=StaticToken("bearer-secret"),
        claims_by_booking_path=path,
        http=http,
    )


def create(client: XClaimClient) -> Any:
    return client.create_claim(REQUEST, idempotency_key="key-1")


def failed_create(http: InsurerHttp, turn: Turn) -> InsurerError:
    with serving(turn) as stub, pytest.raises(InsurerError) as raised:
        create(a_client(stub.url, http))
    return raised.value


def test_eligibility_is_a_get_with_a_body(http: InsurerHttp) -> None:
    with serving(say(200, {"isCustomerEligible": True, "claimAmount": "1000", "currency": "USD"})) as stub:
        answer = a_client(stub.url, http).eligibility(BOOKING, QUOTE)
    seen = stub.seen[0]
    assert (seen.method, seen.json) == ("GET", {"quoteReference": QUOTE})
    assert seen.target == f"/x/partners/ABCDE/bookings/{BOOKING}/customer-eligibility-check"
    assert seen.headers["authorization"] == "Bearer bearer-secret"
    assert seen.headers["accept-language"] == "en"
    assert "x-idempotency-key" not in seen.headers
    assert (answer.value.is_eligible, answer.value.amount, answer.insurer_time) == (True, Decimal("1000"), NOON)


def test_ineligibility_keeps_its_reasons_as_evidence(http: InsurerHttp) -> None:
    body = {"isCustomerEligible": False, "failedChecks": ["valid_policy_coverage_period"]}
    with serving(say(200, body)) as stub:
        answer = a_client(stub.url, http).eligibility(BOOKING, QUOTE)
    assert answer.value.failed_checks == ("valid_policy_coverage_period",)
    assert answer.evidence["failedChecks"] == "valid_policy_coverage_period"


@pytest.mark.parametrize("turn", [say(200, {}), say(200, raw=b"<html>"), say(503), hang_up])
def test_eligibility_without_an_answer_is_unavailable(http: InsurerHttp, turn: Turn) -> None:
    with serving(turn) as stub, pytest.raises(Unavailable):
        a_client(stub.url, http).eligibility(BOOKING, QUOTE)


@pytest.mark.parametrize(
    ("turn", "is_processed"),
    [
        (say(200, {"data": claim()}), True),
        (say(201, {"data": claim()}), True),
        (say(201, claim()), True),
        (say(202, {"data": {"claim_reference": REFERENCE, "processing_status": "pending"}}), False),
        (say(202, {"data": claim()}), False),
    ],
)
def test_each_plausible_success_is_a_claim(http: InsurerHttp, turn: bytes, is_processed: bool) -> None:
    with serving(turn) as stub:
        answer = create(a_client(stub.url, http))
    seen = stub.seen[0]
    assert (seen.method, seen.target, seen.json) == ("POST", ALL, REQUEST)
    assert seen.headers["x-idempotency-key"] == "key-1"
    assert (answer.value.reference, answer.value.is_processed, answer.replayed) == (REFERENCE, is_processed, False)
    assert (answer.value.booking_id, answer.value.quote_id) == (BOOKING, QUOTE)
    assert "someone" not in json.dumps(answer.evidence)


def test_a_conflict_with_our_own_claim_in_it_is_success_told_again(http: InsurerHttp) -> None:
    with serving(say(409, {"data": claim()})) as stub:
        assert create(a_client(stub.url, http)).replayed


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": claim(bookingReference="other")},
        {"data": claim(quoteReference="other")},
        {"data": claim(quoteReference=None)},
        {"message": "conflict"},
    ],
)
def test_a_conflict_that_does_not_name_our_policy_is_a_conflict(http: InsurerHttp, body: object) -> None:
    assert type(failed_create(http, say(409, body))) is KeyConflict


@pytest.mark.parametrize(
    "turn",
    [
        say(200, {}),
        say(201, {"data": {"status": "Submitted"}}),
        say(201, {"data": claim(quoteReference="other")}),
        say(201, raw=b"created"),
        say(204, raw=b""),
        say(500, {}),
        say(502, raw=b"<html>"),
        hang_up,
    ],
)
def test_a_claim_that_may_have_been_made_is_an_unknown_outcome(http: InsurerHttp, turn: Turn) -> None:
    assert type(failed_create(http, turn)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Misdirected),
        (400, Refused),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (422, Refused),
        (423, InFlight),
        (429, Throttled),
    ],
)
def test_a_refused_claim_says_what_to_do_next(http: InsurerHttp, status: int, kind: type) -> None:
    body = {"type": "exception", "message": "m", "errors": {"sectionFields.0.name": ["is required"]}}
    error = failed_create(http, say(status, body))
    assert type(error) is kind
    assert error.problems == (("sectionFields.0.name", "is required"),)
    for secret in ("hunter2", "bearer-secret"):
        assert secret not in str(error) + repr(error) + json.dumps(error.evidence)


def test_a_claim_that_reaches_nobody_was_not_sent(http: InsurerHttp) -> None:
    with pytest.raises(NotSent):
        create(a_client(f"http://127.0.0.1:{free_port()}/", http))


def test_a_claim_for_no_policy_is_not_sent(http: InsurerHttp) -> None:
    with serving() as stub, pytest.raises(UnusableAnswer):
        a_client(stub.url, http).create_claim({"bookingReference": BOOKING}, idempotency_key="k")
    assert stub.connections == 0


def test_a_repeated_claim_is_the_same_bytes_whatever_order_it_was_kept_in(http: InsurerHttp) -> None:
    with serving(say(500), say(500)) as stub:
        client = a_client(stub.url, http)
        for body in (REQUEST, dict(reversed(REQUEST.items()))):
            with pytest.raises(OutcomeUnknown):
                client.create_claim(body, idempotency_key="k")
    assert stub.seen[0].body == stub.seen[1].body


def test_a_claim_is_read_by_its_reference_first(http: InsurerHttp) -> None:
    body = {"data": {"id": CLAIM, "claim_reference": REFERENCE, "status": "Submitted", "is_closed": False}}
    with serving(say(200, body)) as stub:
        answer = a_client(stub.url, http).get_claim(reference=REFERENCE, claim_id=CLAIM)
    assert stub.seen[0].target == f"/x/v2/partners/ABCDE/claims/{REFERENCE}"
    assert (answer.value.category, answer.value.is_processed) == ("Submitted", True)


def test_a_claim_that_is_not_processed_yet_is_pending(http: InsurerHttp) -> None:
    body = {"data": {"claim_reference": REFERENCE, "processing_status": "pending", "failure_reason": None}}
    with serving(say(202, body)) as stub:
        answer = a_client(stub.url, http).get_claim(reference=REFERENCE, claim_id=None)
    assert (answer.status, answer.value.is_processed, answer.value.id) == (202, False, None)


def test_a_claim_without_a_reference_is_read_by_its_id(http: InsurerHttp) -> None:
    with serving(say(200, {"data": claim()})) as stub:
        answer = a_client(stub.url, http).get_claim(reference=None, claim_id=CLAIM)
    assert stub.seen[0].target == f"/x/partners/ABCDE/claims/{CLAIM}"
    assert answer.value.category == "Submitted"


def test_another_claim_than_the_one_asked_for_is_no_answer(http: InsurerHttp) -> None:
    with serving(say(200, {"data": claim()}), say(200, {"data": claim()})) as stub:
        client = a_client(stub.url, http)
        with pytest.raises(Unavailable):
            client.get_claim(reference="OTHER-CLA", claim_id=None)
        with pytest.raises(Unavailable):
            client.get_claim(reference=None, claim_id="other")


def test_an_unknown_claim_is_not_found(http: InsurerHttp) -> None:
    with serving(say(404, {"message": "Could not find the claim"})) as stub, pytest.raises(NotFound):
        a_client(stub.url, http).get_claim(reference=REFERENCE, claim_id=None)


def test_a_claim_is_not_asked_for_without_a_name(http: InsurerHttp) -> None:
    with pytest.raises(ValueError, match="both are missing"):
        a_client("https://x.test", http).get_claim(reference=None, claim_id=None)


def test_without_a_path_all_claims_are_listed_and_filtered(http: InsurerHttp) -> None:
    with serving(say(200, {"data": [claim(), claim(id="x", bookingReference="other")]})) as stub:
        answer = a_client(stub.url, http).list_claims(BOOKING)
    assert stub.seen[0].target == ALL
    assert [found.id for found in answer.value.claims] == [CLAIM]
    assert answer.value.is_complete
    assert "someone" not in json.dumps(answer.evidence)


def test_with_a_path_only_the_bookings_claims_are_asked_for(http: InsurerHttp) -> None:
    path = "/partners/{partner}/bookings/{booking_id}/claims?reference={booking_id}"
    with serving(say(200, {"data": [claim()]})) as stub:
        answer = a_client(stub.url, http, path=path).list_claims("a/b&c")
    assert stub.seen[0].target == "/x/partners/ABCDE/bookings/a%2Fb%26c/claims?reference=a%2Fb%26c"
    assert answer.value.claims == ()


@pytest.mark.parametrize("path", ["claims", "https://evil.test/{booking_id}", "//evil.test/{booking_id}"])
def test_a_path_that_leads_elsewhere_or_names_no_booking_is_refused(http: InsurerHttp, path: str) -> None:
    with pytest.raises(ValueError, match="booking_id"):
        a_client("https://x.test", http, path=path)


def test_pages_are_followed_to_the_end(http: InsurerHttp) -> None:
    first = {"data": [claim()], "links": {"next": f"{ALL}?page=2"}, "meta": {"total": 2}}
    second = {"data": [claim(id="second")], "links": {"next": None}, "meta": {"total": 2}}
    with serving(say(200, first), say(200, second)) as stub:
        answer = a_client(stub.url, http).list_claims(BOOKING)
    assert [seen.target for seen in stub.seen] == [ALL, f"{ALL}?page=2"]
    assert [found.id for found in answer.value.claims] == [CLAIM, "second"]
    assert answer.value.is_complete


def test_a_link_header_is_followed_too(http: InsurerHttp) -> None:
    pages = say(200, {"data": [claim()]}, Link=f'<{ALL}?page=2>; rel="next"'), say(200, {"data": []})
    with serving(*pages) as stub:
        assert a_client(stub.url, http).list_claims(BOOKING).value.is_complete
    assert len(stub.seen) == 2


def test_a_page_elsewhere_is_not_followed(http: InsurerHttp) -> None:
    with serving() as elsewhere, serving(say(200, {"data": [], "links": {"next": elsewhere.url}})) as stub:
        assert not a_client(stub.url, http).list_claims(BOOKING).value.is_complete
    assert elsewhere.connections == 0


def test_pages_in_a_circle_are_left(http: InsurerHttp) -> None:
    page = {"data": [claim()], "links": {"next": ALL}}
    with serving(say(200, page), say(200, page)) as stub:
        assert not a_client(stub.url, http).list_claims(BOOKING).value.is_complete
    assert len(stub.seen) == 1


def test_a_list_without_end_is_left_incomplete(http: InsurerHttp) -> None:
    turns = [say(200, {"data": [], "links": {"next": f"?page={page}"}}) for page in range(client_module.MAX_PAGES + 5)]
    with serving(*turns) as stub:
        assert not a_client(stub.url, http).list_claims(BOOKING).value.is_complete
    assert len(stub.seen) == client_module.MAX_PAGES


def test_a_list_that_cannot_be_read_whole_is_unavailable(http: InsurerHttp) -> None:
    first = {"data": [claim()], "links": {"next": "?page=2"}}
    with serving(say(200, first), say(502)) as stub, pytest.raises(Unavailable):
        a_client(stub.url, http).list_claims(BOOKING)
    with serving(say(200, {"data": {}})) as stub, pytest.raises(Unavailable):
        a_client(stub.url, http).list_claims(BOOKING)


def test_a_client_shows_no_secret(http: InsurerHttp) -> None:
    client = a_client("https://x.test", http)
    assert "bearer-secret" not in repr(client) + repr(vars(client))
