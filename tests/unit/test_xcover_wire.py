import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.insurer.errors import UnusableAnswer
from shared.insurer.transport import parse_json
from shared.xcover import wire
from shared.xcover.bookings import QuoteToCancel

BOOKING = "8UHPK-ALPQT-INS"
QUOTE = "d5465e90-f22f-477a-b0cc-2950fcf034ff"
OTHER = "201eb11b-4494-40e8-97fa-e107c76501bf"
CANCELLATION = "90o3N-fIexx-Zw2bd-CCL"
MOMENT = "2021-01-07T18:19:04.222570Z"

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["id", "quotes", "status", "currency", "cancelled_at", "total_refund", "policy"]),
            inner,
        )
    ),
    max_leaves=30,
)


def a_booking(**changes: object) -> dict[str, Any]:
    quote = {
        "id": QUOTE,
        "status": "CONFIRMED",
        "can_be_cancelled": True,
        "cancelled_at": None,
        "policy_start_date": "2021-01-17T13:00:00+00:00",
        "policy_end_date": "2021-01-19T13:00:00+00:00",
        "policy": {"policy_type": "event_ticket_protection"},
        "insured": [{"email": "someone@example.test"}],
    }
    return {
        "id": BOOKING,
        "status": "CONFIRMED",
        "currency": "EUR",
        "quotes": [quote],
        "policyholder": {"email": "someone@example.test"},
        "security_token": "hunter2",
    } | changes


def an_answer(*, cancelled_at: str | None = None, **changes: object) -> dict[str, Any]:
    quote = {
        "id": QUOTE,
        "status": "CANCELLED",
        "refund_value": Decimal("22.4"),
        "cancelled_at": cancelled_at,
    }
    previewed = cancelled_at is None
    return {
        "id": BOOKING,
        "status": "CANCELLED",
        "currency": "EUR",
        "total_refund": Decimal("22.4"),
        "quotes": [quote],
        "cancellation_id": CANCELLATION if previewed else None,
        "confirm_before": "2021-01-08T18:19:04.228699Z" if previewed else None,
    } | changes


def read_preview(body: object, *quote_ids: str) -> wire.Preview:
    return wire.preview_from(body, booking_id=BOOKING, quote_ids=quote_ids or (QUOTE,))


def read_confirmation(body: object, *quote_ids: str, cancellation_id: str | None = CANCELLATION) -> wire.Confirmation:
    return wire.confirmation_from(
        body, booking_id=BOOKING, quote_ids=quote_ids or (QUOTE,), cancellation_id=cancellation_id
    )


def test_a_preview_request_always_says_that_it_is_one() -> None:
    quotes = [QuoteToCancel(id=QUOTE, reason="No longer travelling"), QuoteToCancel(id=OTHER)]
    assert wire.preview_request(quotes, refund_required=None) == {
        "preview": True,
        "quotes": [{"id": QUOTE, "reason_for_cancellation": "No longer travelling"}, {"id": OTHER}],
    }


def test_reasons_can_be_left_out_and_a_wish_for_the_refund_passed_on() -> None:
    body = wire.preview_request([QuoteToCancel(id=QUOTE, reason="x")], refund_required=False, with_reasons=False)
    assert body == {"preview": True, "quotes": [{"id": QUOTE}], "refund_required": False}


def test_a_cancellation_that_names_no_policy_is_never_written() -> None:
    with pytest.raises(ValueError, match="names its policies"):
        wire.preview_request([], refund_required=None)


@pytest.mark.parametrize(
    ("path", "text", "is_about"),
    [
        ("malformed", "Unexpected field", True),
        ("quotes.reason_for_cancellation", "Unexpected field", True),
        ("refund_required", "Unexpected field", False),
        ("malformed", "Something else", False),
    ],
)
def test_a_complaint_about_reasons_is_recognised(path: str, text: str, is_about: bool) -> None:
    assert wire.complains_of_reasons((("x", "y"), (path, text))) is is_about


def test_a_booking_is_read_with_its_times_in_utc() -> None:
    booking = wire.booking_from(a_booking(), booking_id=BOOKING)
    policy = booking.policies[0]
    assert (booking.id, booking.status, booking.currency) == (BOOKING, "CONFIRMED", "EUR")
    assert policy.starts_at == datetime(2021, 1, 17, 13, tzinfo=UTC)
    assert (policy.can_be_cancelled, policy.policy_type) == (True, "event_ticket_protection")


def test_unknown_statuses_fields_and_absent_flags_survive() -> None:
    body = a_booking(status="OPTED_OUT", brand_new={"a": 1}, quotes=[{"id": QUOTE, "status": "FROZEN"}])
    booking = wire.booking_from(body, booking_id=BOOKING)
    assert (booking.status, booking.policies[0].status) == ("OPTED_OUT", "FROZEN")
    assert (booking.policies[0].can_be_cancelled, booking.policies[0].ends_at) == (None, None)


@pytest.mark.parametrize("wrapped", [lambda quote: [None, quote], lambda quote: {"0": quote, "1": None}])
def test_policies_may_come_as_a_list_or_numbered_and_with_gaps(wrapped: Callable[[object], object]) -> None:
    body = a_booking(quotes=wrapped(a_booking()["quotes"][0]))
    assert [policy.id for policy in wire.booking_from(body, booking_id=BOOKING).policies] == [QUOTE]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        a_booking(id="other"),
        a_booking(status=None),
        a_booking(currency=5),
        a_booking(quotes=None),
        a_booking(quotes=["x"]),
        a_booking(quotes=[{"status": "CONFIRMED"}]),
        a_booking(quotes=[{"id": QUOTE}]),
    ],
)
def test_a_body_that_is_not_the_booking_is_unusable(body: object) -> None:
    with pytest.raises(UnusableAnswer):
        wire.booking_from(body, booking_id=BOOKING)


@pytest.mark.parametrize(
    "instant",
    [
        "2021-02-30T00:00:00Z",
        "2021-01-01T00:00:60Z",
        "2021-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59Z",
        "2201-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        5,
        "",
    ],
)
def test_an_impossible_time_is_named(instant: object) -> None:
    body = a_booking(quotes=[{"id": QUOTE, "status": "CONFIRMED", "cancelled_at": instant}])
    with pytest.raises(UnusableAnswer, match="cancelled_at"):
        wire.booking_from(body, booking_id=BOOKING)


def test_a_policy_without_an_end_has_one_that_can_be_reckoned_with() -> None:
    quote = {"id": QUOTE, "status": "CONFIRMED", "policy_end_date": "9999-12-31T23:59:59Z"}
    (policy,) = wire.booking_from(a_booking(quotes=[quote]), booking_id=BOOKING).policies
    assert policy.ends_at == datetime(2200, 12, 31, tzinfo=UTC)


def test_an_id_that_cannot_be_stored_whole_is_unusable() -> None:
    with pytest.raises(UnusableAnswer, match="id is longer than 64"):
        wire.booking_from(a_booking(quotes=[{"id": "q" * 65, "status": "CONFIRMED"}]), booking_id=BOOKING)
    with pytest.raises(UnusableAnswer, match="cancellation_id is longer than 64"):
        read_preview(an_answer(cancellation_id="c" * 65))


def test_an_offer_without_an_end_has_one_that_can_be_reckoned_with() -> None:
    preview = read_preview(an_answer(confirm_before="9999-12-31T23:59:59.999999Z"))
    assert preview.confirm_before == datetime(2200, 12, 31, tzinfo=UTC)


def test_a_preview_is_told_by_its_id_and_deadline() -> None:
    preview = read_preview(an_answer(refund_amount=Decimal("22.40")))
    assert preview.cancellation_id == CANCELLATION
    assert preview.confirm_before == datetime(2021, 1, 8, 18, 19, 4, 228699, tzinfo=UTC)
    assert (preview.total_refund, preview.refund_amount, preview.currency) == (
        Decimal("22.4"),
        Decimal("22.4"),
        "EUR",
    )
    assert preview.refunds[0].refund == Decimal("22.4")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (an_answer(cancellation_id=None), "cancellation_id"),
        (an_answer(confirm_before=None), "confirm_before"),
        (an_answer(cancelled_at=MOMENT), "it is cancelled"),
        (an_answer(cancelled_at=MOMENT, cancellation_id=CANCELLATION), "it is cancelled"),
        (an_answer(total_refund=None), "total_refund"),
        (an_answer(total_refund=True), "total_refund"),
        (an_answer(total_refund=Decimal("1E+999999")), "total_refund"),
        (an_answer(total_refund="NaN"), "total_refund"),
        (an_answer(currency=None), "currency"),
        (an_answer(quotes=[]), "lacks policies"),
        (an_answer(quotes=[None]), "lacks policies"),
        (an_answer(id="other"), "not about the booking"),
    ],
)
def test_anything_else_is_not_a_preview(body: object, why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        read_preview(body)


def test_a_preview_that_lacks_a_policy_asked_for_is_none() -> None:
    with pytest.raises(UnusableAnswer, match=OTHER):
        read_preview(an_answer(), QUOTE, OTHER)


def test_a_policy_cancelled_long_ago_does_not_spoil_the_preview_of_another() -> None:
    body = an_answer()
    body["quotes"].append({"id": OTHER, "status": "CANCELLED", "cancelled_at": MOMENT})
    assert {refund.quote_id for refund in read_preview(body).refunds} == {QUOTE, OTHER}


def test_a_confirmation_is_told_by_the_time_of_cancellation_on_every_policy() -> None:
    confirmation = read_confirmation(an_answer(cancelled_at=MOMENT))
    assert confirmation.total_refund == Decimal("22.4")
    assert confirmation.policies[0].cancelled_at == datetime(2021, 1, 7, 18, 19, 4, 222570, tzinfo=UTC)


def test_the_short_documented_confirmation_counts_too() -> None:
    body = {
        "id": BOOKING,
        "status": "CANCELLED",
        "quotes": [{"id": QUOTE, "status": "CANCELLED", "refund_value": 22, "cancelled_at": MOMENT}],
        "total_refund": 22,
    }
    assert read_confirmation(body).currency is None


@pytest.mark.parametrize(
    "body",
    [
        an_answer(),
        an_answer(cancelled_at=MOMENT, cancellation_id="another-CCL"),
        an_answer(cancelled_at=MOMENT, quotes=[]),
        an_answer(cancelled_at=MOMENT, id="other"),
        {"errors": ["no"]},
        None,
    ],
)
def test_a_preview_or_anything_else_is_not_a_confirmation(body: object) -> None:
    with pytest.raises(UnusableAnswer):
        read_confirmation(body)


def test_no_policy_asked_for_means_all_of_them() -> None:
    body = an_answer(cancelled_at=MOMENT)
    body["quotes"].append({"id": OTHER, "cancelled_at": None})
    with pytest.raises(UnusableAnswer, match=OTHER):
        wire.confirmation_from(body, booking_id=BOOKING, quote_ids=(), cancellation_id=None)


@pytest.mark.parametrize("literal", ["22.4", "0.1", "0.30000000000000004", "2.02", "0.0", "100"])
def test_money_is_exactly_the_literal_on_the_wire(literal: str) -> None:
    raw = json.dumps(an_answer(total_refund="?"), default=str).replace('"?"', literal).encode()
    assert str(read_preview(parse_json(raw)).total_refund) == literal


def test_evidence_names_no_person_and_no_token() -> None:
    kept = json.dumps(wire.evidence_in(a_booking(errors={"phone": ["+1 202 555 0100 is wrong"]})))
    for secret in ("someone", "hunter2", "555"):
        assert secret not in kept
    assert QUOTE in kept


def test_evidence_keeps_amounts_as_text() -> None:
    kept = wire.evidence_in(an_answer())
    assert kept["total_refund"] == "22.4"
    assert kept["quotes"] == [{"id": QUOTE, "status": "CANCELLED", "refund_value": "22.4", "cancelled_at": None}]


@given(json_like)
def test_any_json_is_read_or_called_unusable(body: object) -> None:
    json.dumps(wire.evidence_in(body))
    for read in (read_preview, read_confirmation, lambda value: wire.booking_from(value, booking_id=BOOKING)):
        with pytest.raises(UnusableAnswer):
            read(body)
