"""The simulated XCover: what it shows, previews, confirms, cancels and refuses."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.simulator.caller import Caller
from tests.simulator.server import SimulatorServer

NOT_ALLOWED = {
    "type": "validation_error",
    "message": "An API error occurred.",
    "errors": ["Status change not allowed for QuotePackage in status CANCELLED"],
}
UNEXPECTED = {
    "type": "validation_error",
    "message": "An API error occurred.",
    "errors": {"malformed": "Unexpected field"},
}
NOTHING = {"previews": 0, "confirms": 0, "cancels": 0, "claims": 0, "refunds": 0, "webhooks": 0}


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


def test_a_booking_is_shown_with_floats_offsets_and_tokens(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(currency="EUR", policies=[{"price": "22.40"}])

    answer = caller.get(booking.id)

    shown = answer.json()
    assert answer.headers["x-ratelimit-limit"] == "-1"
    assert (shown["status"], shown["total_price"]) == ("CONFIRMED", 22.4)
    assert shown["security_token"] in shown["coi"]["pdf"]
    quote = shown["quotes"][0]
    assert quote["policy_end_date"].endswith("+00:00")
    assert quote["can_be_cancelled"] is True
    assert "cancellation_id" not in shown
    assert "refund_value" not in quote


def test_can_be_cancelled_may_be_missing(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(policies=[{"can_be_cancelled": None}])
    assert "can_be_cancelled" not in caller.get(booking.id).json()["quotes"][0]


def test_a_preview_looks_cancelled_and_changes_nothing(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(policies=[{"price": "22.40", "refund": "11.20"}])

    shown = caller.preview(booking.id).json()

    assert (shown["status"], shown["quotes"][0]["status"]) == ("CANCELLED", "CANCELLED")
    assert shown["quotes"][0]["cancelled_at"] is None
    assert shown["cancellation_id"].endswith("-CCL")
    assert (shown["total_refund"], shown["total_price"]) == (11.2, 0.0)
    assert shown["quotes"][0]["policy_end_date"].endswith("Z")
    assert shown["quotes"][0]["commission"] is None
    assert "can_be_cancelled" not in shown["quotes"][0]
    assert caller.get(booking.id).json()["status"] == "CONFIRMED"
    assert insurer.control.summary(booking.id) == {**NOTHING, "previews": 1}


def test_a_preview_lasts_a_day_or_until_the_policy_ends(insurer: SimulatorServer, caller: Caller) -> None:
    day = insurer.control.add_booking()
    lasts = caller.preview(day.id).json()
    assert _seconds(lasts["quotes"][0]["updated_at"], lasts["confirm_before"]) == pytest.approx(86400, abs=1)

    end = caller.get(day.id).json()["created_at"].replace("T", " ")
    soon = insurer.control.add_booking(policies=[{"policy_end": _plus(end, 86400 + 3600)}])
    assert caller.preview(soon.id).json()["confirm_before"] == _plus(end, 86400 + 3600)


def test_a_confirm_cancels_as_of_the_preview(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    preview = caller.preview(booking.id).json()
    insurer.control.shift_clock(3600)

    shown = caller.confirm(booking.id, preview["cancellation_id"]).json()

    assert shown["quotes"][0]["cancelled_at"] == preview["quotes"][0]["updated_at"]
    assert (shown["cancellation_id"], shown["confirm_before"]) == (None, None)
    assert shown["total_refund"] == preview["total_refund"]
    after = caller.get(booking.id).json()
    assert (after["status"], after["quotes"][0]["can_be_cancelled"]) == ("CANCELLED", False)
    effect = insurer.control.effects("confirm", booking.id)[0]
    assert (effect["amount"], effect["currency"], effect["quotes"]) == ("22.40", "EUR", booking.quote_ids)


@pytest.mark.parametrize("body", [{}, {"preview": False}, b""])
def test_a_body_without_preview_really_cancels(
    insurer: SimulatorServer, caller: Caller, body: dict[str, Any] | bytes
) -> None:
    booking = insurer.control.add_booking()
    shown = caller.cancel(booking.id, body).json()
    assert shown["quotes"][0]["cancelled_at"] is not None
    assert shown["cancellation_id"] is None
    assert insurer.control.summary(booking.id) == {**NOTHING, "cancels": 1}


def test_a_package_is_cancelled_only_when_all_its_policies_are(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(policies=[{"price": "10"}, {"price": "5"}])
    first, second = booking.quote_ids

    shown = caller.preview(booking.id, quotes=[{"id": first, "reason_for_cancellation": "Rain"}]).json()
    assert [quote["status"] for quote in shown["quotes"]] == ["CANCELLED", "CONFIRMED"]
    assert (shown["status"], shown["total_refund"], shown["total_price"]) == ("CONFIRMED", 10.0, 5.0)
    assert caller.confirm(booking.id, shown["cancellation_id"]).json()["status"] == "CONFIRMED"

    assert caller.cancel(booking.id, {"quotes": [{"id": second}]}).json()["status"] == "CANCELLED"
    assert caller.get(booking.id).json()["total_price"] == 0.0


def test_a_confirm_after_its_time_is_refused(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(preview_validity=60)
    offer = caller.preview(booking.id).json()["cancellation_id"]
    insurer.control.shift_clock(61)
    assert caller.confirm(booking.id, offer).status_code == 422
    assert insurer.control.summary(booking.id)["confirms"] == 0


def test_an_older_preview_stays_valid_beside_a_newer_one(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    older, newer = (caller.preview(booking.id).json()["cancellation_id"] for _ in range(2))
    assert caller.confirm(booking.id, older).status_code == 200
    assert caller.confirm(booking.id, newer).json() == NOT_ALLOWED


def test_a_second_confirm_and_an_unknown_one_are_refused(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    offer = caller.preview(booking.id).json()["cancellation_id"]
    caller.confirm(booking.id, offer)
    assert caller.confirm(booking.id, offer).json() == NOT_ALLOWED
    assert caller.confirm(booking.id, "aaaaa-bbbbb-ccccc-CCL").status_code == 404
    assert insurer.control.summary(booking.id)["confirms"] == 1


def test_a_policy_that_cannot_be_cancelled_is_not(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(policies=[{"can_be_cancelled": False}])
    assert caller.preview(booking.id).status_code == 422
    gone = insurer.control.add_booking(policies=[{"status": "CANCELLED"}])
    assert caller.cancel(gone.id, {}).json() == NOT_ALLOWED
    assert insurer.control.effects() == []


@pytest.mark.parametrize(
    "body",
    [
        {"preview": True, "reason_for_cancellation": "No"},
        {"preview": True, "quotes": [{"id": "x", "price": 1}]},
        {"previw": True},
    ],
)
def test_an_unknown_field_is_refused(insurer: SimulatorServer, caller: Caller, body: dict[str, Any]) -> None:
    answer = caller.cancel(insurer.control.add_booking().id, body)
    assert (answer.status_code, answer.json()) == (422, UNEXPECTED)


@pytest.mark.parametrize(
    "body",
    [
        {"preview": "true"},
        {"refund_required": 1},
        {"quotes": []},
        {"quotes": [{"id": "not one of its quotes"}]},
        {"quotes": [{}]},
        [],
        None,
    ],
)
def test_a_body_of_the_wrong_shape_is_refused(insurer: SimulatorServer, caller: Caller, body: Any) -> None:
    raw = b"null" if body is None else body
    assert caller.cancel(insurer.control.add_booking().id, raw).status_code == 422
    assert insurer.control.effects() == []


def test_reasons_are_refused_where_the_booking_says_so(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(reject_reasons=True)
    quote = {"id": booking.quote_id, "reason_for_cancellation": "Rain"}
    answer = caller.preview(booking.id, quotes=[quote])
    assert answer.json()["errors"] == {"reason_for_cancellation": "Unexpected field"}
    assert caller.preview(booking.id, quotes=[{"id": booking.quote_id}]).status_code == 200


def test_what_is_not_json_is_400_and_what_is_not_there_404(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    answer = caller.cancel(booking.id, b"{preview: true}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("JSON parse error - ")
    missing = caller.get("AAAAA-BBBBB-INS")
    assert missing.status_code == 404
    assert missing.json() == {"type": "api_error", "message": "Quote package does not exist"}


def test_slashes_are_where_the_insurer_has_them(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    redirected = caller.xcover("GET", f"bookings/{booking.id}")
    assert redirected.status_code == 301
    assert redirected.headers["location"] == f"/x/partners/LLODT/bookings/{booking.id}/"
    assert caller.xcover("POST", f"bookings/{booking.id}/cancel/", {}).status_code == 404
    assert caller.xcover("POST", f"bookings/{booking.id}/confirm_cancellation/", {}).status_code == 404


def test_too_many_requests_are_throttled(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(rate_limit=1, retry_after=1)
    answers = [caller.get(booking.id) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json() == {"detail": "Request was throttled. Expected available in 1 second."}
    assert answers[1].headers["retry-after"] == "1"


def test_a_booking_can_be_changed_while_it_is_in_use(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking(policies=[{"price": "10"}, {"price": "5"}])
    insurer.control.patch_booking(
        booking.id, policies=[{"id": booking.quote_ids[1], "refund": "1.50"}], total_refund="99"
    )
    shown = caller.preview(booking.id).json()
    assert [quote["refund_value"] for quote in shown["quotes"]] == [10.0, 1.5]
    assert shown["total_refund"] == 99.0


def test_a_reset_forgets_everything(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.settings(key_mode="ignored")
    caller.cancel(booking.id, {})
    insurer.control.reset()
    assert caller.get(booking.id).status_code == 404
    assert insurer.control.effects() == []
    assert insurer.control.settings()["key_mode"] == "honoured"


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _plus(moment: str, seconds: float) -> str:
    later = datetime.fromtimestamp(datetime.fromisoformat(moment).timestamp() + seconds).astimezone()
    return later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
