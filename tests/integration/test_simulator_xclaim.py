"""The simulated XClaim: who is let in, who may claim, and how claims are found again."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulator.caller import Caller
from tests.simulator.credentials import XCLAIM_API_KEY, XCLAIM_PASSWORD
from tests.simulator.server import SimulatorServer

TOKEN_PATH = "/xclaim/auth/jwt/token/programmatic-access"
CLAIMS = "/partners/LLODT/claims"


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


def test_a_password_buys_a_token_until_it_expires(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(token_lifetime=600)
    answer = caller.http.get(TOKEN_PATH, auth=(XCLAIM_API_KEY, XCLAIM_PASSWORD))
    token = answer.json()["data"]["jwt"]
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert claims["exp"] - claims["iat"] == 600

    bearer = {"Authorization": f"Bearer {token}"}
    assert caller.xclaim("GET", CLAIMS, headers=bearer).status_code == 200
    insurer.control.shift_clock(601)
    assert caller.xclaim("GET", CLAIMS, headers=bearer).status_code == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer made-up", "Basic abc"])
def test_without_a_token_nobody_is_let_in(caller: Caller, authorization: str) -> None:
    answer = caller.xclaim("GET", CLAIMS, headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["message"].startswith("Failed to authenticate because of bad credentials")


def test_a_wrong_password_is_401_and_another_partner_403(caller: Caller) -> None:
    assert caller.http.get(TOKEN_PATH, auth=(XCLAIM_API_KEY, "wrong")).status_code == 401
    assert caller.xclaim("GET", "/partners/OTHER/claims").status_code == 403
    version_2 = caller.xclaim("GET", "/v2/partners/OTHER/claims/A")
    assert version_2.json() == {"message": "This action is unauthorized."}


def test_an_eligible_policy_shows_its_amount_as_text(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(currency="USD", policies=[{"claim_amount": "1000"}])
    answer = caller.eligibility(booking.id, booking.quote_id)
    assert answer.json() == {"isCustomerEligible": True, "claimAmount": "1000", "currency": "USD"}


def test_each_failing_check_is_named(insurer: SimulatorServer, caller: Caller) -> None:
    over = {"policy_start": "2020-01-01T00:00:00Z", "policy_end": "2020-02-01T00:00:00Z"}
    specs: list[tuple[dict[str, Any], str]] = [
        ({"status": "CANCELLED"}, "booking_is_active"),
        (over, "valid_policy_coverage_period"),
    ]
    for policy, check in specs:
        booking = insurer.control.add_booking(policies=[policy])
        answer = caller.eligibility(booking.id, booking.quote_id)
        assert answer.json() == {"isCustomerEligible": False, "failedChecks": [check]}
    claimed = insurer.control.add_booking(failed_checks=["policyholder_fraud"])
    caller.claim(claimed.id, claimed.quote_id)
    answer = caller.eligibility(claimed.id, claimed.quote_id)
    assert answer.json()["failedChecks"] == [
        "policyholder_fraud",
        "claim_with_same_purchase_has_unique_quote",
    ]


def test_eligibility_is_asked_in_a_body(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    path = f"/partners/LLODT/bookings/{booking.id}/customer-eligibility-check?quoteReference=x"
    assert caller.xclaim("GET", path).status_code == 422


def test_a_claim_is_made_and_found_again(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_story=[])
    answer = caller.claim(booking.id, booking.quote_id)

    assert answer.status_code == 201
    made = answer.json()["data"]
    assert made["status"]["category"] == "Submitted"
    version_1 = caller.xclaim("GET", f"{CLAIMS}/{made['id']}").json()["data"]
    version_2 = caller.xclaim("GET", f"/v2{CLAIMS}/{made['claimReference']}").json()["data"]
    assert version_1["quoteReference"] == version_2["quote_reference"] == booking.quote_id
    assert (version_2["id"], version_2["status"]) == (made["id"], "Submitted")
    assert caller.xclaim("GET", CLAIMS).json() == {"data": [version_1]}
    by_booking = f"/partners/LLODT/bookings/{booking.id}/claims"
    assert caller.xclaim("GET", by_booking).json() == {"data": [version_1]}
    assert insurer.control.effects("claim")[0]["claim"] == made["id"]


def test_a_cancelled_policy_cannot_be_claimed(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    caller.cancel(booking.id, {})
    answer = caller.claim(booking.id, booking.quote_id)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["quoteReference"]
    assert insurer.control.claims() == []


def test_some_products_let_a_cancelled_policy_be_claimed(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_when_cancelled=True)
    caller.cancel(booking.id, {})
    assert caller.eligibility(booking.id, booking.quote_id).json()["isCustomerEligible"] is True
    assert caller.claim(booking.id, booking.quote_id).status_code == 201


def test_a_second_claim_is_refused_or_marked_a_duplicate(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    caller.claim(booking.id, booking.quote_id)
    assert caller.claim(booking.id, booking.quote_id).status_code == 422
    insurer.control.settings(duplicates="accept")
    second = caller.claim(booking.id, booking.quote_id)
    assert second.json()["data"]["status"]["category"] == "Duplicate Claim"
    assert insurer.control.summary(booking.id)["claims"] == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"claimTypeId": "CFAR"}, "claimTypeId"),
        ({"claimTypeId": None}, "claimTypeId"),
        ({"bookingReference": "AAAAA-BBBBB-INS"}, "bookingReference"),
        ({"quoteReference": "another"}, "quoteReference"),
        ({"amount": "10.00"}, "amount"),
        ({"sectionFields": [{"fields": []}]}, "sectionFields.0.name"),
        ({"webhooks": [{"url": "nowhere", "key": "k"}]}, "webhooks.0.url"),
        ({"webhooks": [{"url": "http://127.0.0.1/"}]}, "webhooks.0.key"),
        ({"webhooks": [{"url": "http://127.0.0.1/", "key": "k", "id": 1}]}, "webhooks.0"),
    ],
)
def test_a_claim_that_says_something_wrong_is_422(
    insurer: SimulatorServer, caller: Caller, change: dict[str, Any], field: str
) -> None:
    booking = insurer.control.add_booking()
    answer = caller.claim(booking.id, booking.quote_id, **change)
    body = answer.json()
    assert (answer.status_code, body["type"]) == (422, "exception")
    assert list(body["errors"]) == [field]
    assert body["errors"][field] == [body["message"]]
    assert insurer.control.effects() == []


def test_a_pending_claim_has_a_reference_before_it_has_an_id(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_pending_polls=2, claim_story=[])
    answer = caller.claim(booking.id, booking.quote_id)
    assert answer.status_code == 202
    assert "id" not in answer.json()["data"]
    listed = caller.xclaim("GET", CLAIMS).json()["data"][0]
    assert (listed["id"], listed["processingStatus"]) == (None, "pending")

    path = f"/v2{CLAIMS}/{answer.json()['data']['claimReference']}"
    polls = [caller.xclaim("GET", path) for _ in range(3)]
    assert [poll.status_code for poll in polls] == [202, 202, 200]
    assert polls[0].json()["data"]["processing_status"] == "pending"
    assert polls[2].json()["data"]["id"]


def test_a_pending_claim_may_fail(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_pending_polls=1, claim_fails="No such benefit")
    reference = caller.claim(booking.id, booking.quote_id).json()["data"]["claimReference"]
    caller.xclaim("GET", f"/v2{CLAIMS}/{reference}")
    failed = caller.xclaim("GET", f"/v2{CLAIMS}/{reference}").json()["data"]
    assert (failed["processing_status"], failed["failure_reason"]) == ("failed", "No such benefit")
    assert "id" not in failed
    assert caller.xclaim("GET", CLAIMS).json()["data"] == []


def test_a_claim_may_be_pending_for_a_time(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_pending_seconds=60, claim_story=[])
    path = f"/v2{CLAIMS}/{caller.claim(booking.id, booking.quote_id).json()['data']['claimReference']}"
    assert caller.xclaim("GET", path).status_code == 202
    insurer.control.shift_clock(61)
    assert caller.xclaim("GET", path).status_code == 200


def test_the_list_comes_in_pages_when_switched_on(insurer: SimulatorServer, caller: Caller) -> None:
    insurer.control.settings(list_pagination=2)
    for _ in range(3):
        booking = insurer.control.add_booking(claim_story=[])
        caller.claim(booking.id, booking.quote_id)
    first = caller.xclaim("GET", CLAIMS).json()
    assert (len(first["data"]), first["meta"]["total"]) == (2, 3)
    following = first["links"]["next"].removeprefix(insurer.xclaim_url)
    last = caller.xclaim("GET", following).json()
    assert (len(last["data"]), last["links"]["next"]) == (1, None)


def test_a_claim_that_is_not_there_is_404(caller: Caller) -> None:
    unknown = "5b0b3b5e-6f0f-4c57-9d0c-000000000000"
    answer = caller.xclaim("GET", f"{CLAIMS}/{unknown}")
    assert answer.json() == {
        "type": "exception",
        "message": f"Could not find the claim with id of {unknown}",
    }
    assert caller.xclaim("GET", f"/v2{CLAIMS}/AAAAA-BBBBB-CLA").status_code == 404


@pytest.mark.parametrize("on", ["eligibility", "create_claim", "get_claim", "list_claims"])
def test_faults_reach_each_endpoint(insurer: SimulatorServer, caller: Caller, on: str) -> None:
    booking = insurer.control.add_booking(claim_story=[], faults=[{"on": on, "do": "error_before"}])
    answers = [
        caller.eligibility(booking.id, booking.quote_id),
        caller.claim(booking.id, booking.quote_id),
        caller.claim(booking.id, booking.quote_id),
        caller.xclaim("GET", CLAIMS),
    ]
    claim = insurer.control.claims(booking.id)[0]
    answers.append(caller.xclaim("GET", f"{CLAIMS}/{claim['id']}"))
    assert [answer.status_code for answer in answers].count(503) == 1
    assert [one["operation"] for one in insurer.control.requests() if one["fault"]] == [on]


def test_a_list_may_come_empty(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(claim_story=[], faults=[{"on": "list_claims", "do": "empty"}])
    caller.claim(booking.id, booking.quote_id)
    assert caller.xclaim("GET", CLAIMS).json()["data"] == []
    assert len(caller.xclaim("GET", CLAIMS).json()["data"]) == 1
