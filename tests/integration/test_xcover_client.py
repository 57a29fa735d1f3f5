"""XCover's client against a scripted server: what leaves, and what each answer is taken for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
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
)
from shared.insurer.transport import InsurerHttp
from shared.xcover import wire
from shared.xcover.auth import Signer
from shared.xcover.bookings import QuoteToCancel
from shared.xcover.client import XCoverClient
from shared.xcover.errors import CancelledInstead, NotAPreview, UnsafeCancelBody
from tests.integration.test_insurer_transport import NOON, Stub, Turn, hang_up, say, serving
from tests.servers import free_port

BOOKING = "8UHPK-ALPQT-INS"
QUOTE = "d5465e90-f22f-477a-b0cc-2950fcf034ff"
OTHER = "201eb11b-4494-40e8-97fa-e107c76501bf"
CANCELLATION = "90o3N-fIexx-Zw2bd-CCL"
MOMENT = "2021-01-07T18:19:04.222570Z"
PREVIEW = wire.preview_request([QuoteToCancel(id=QUOTE, reason="No longer travelling")], refund_required=None)
IMMEDIATE = wire.immediate_request([QuoteToCancel(id=QUOTE)], refund_required=True)

Call = Callable[[XCoverClient], Any]


def get_booking(client: XCoverClient) -> Any:
    return client.get_booking(BOOKING)


def preview(client: XCoverClient) -> Any:
    return client.preview(BOOKING, PREVIEW, idempotency_key="key-1")


def confirm(client: XCoverClient) -> Any:
    return client.confirm(BOOKING, CANCELLATION, quote_ids=[QUOTE], idempotency_key="key-2")


def cancel_now(client: XCoverClient) -> Any:
    return client.cancel_now(BOOKING, IMMEDIATE, idempotency_key="key-3")


DEEDS = [preview, confirm, cancel_now]


def answer(*, cancelled_at: str | None = None, **changes: object) -> dict[str, Any]:
    is_preview = cancelled_at is None
    return {
        "id": BOOKING,
        "status": "CANCELLED",
        "currency": "EUR",
        "total_refund": 22.4,
        "policyholder": {"email": "someone@example.test"},
        "quotes": [{"id": QUOTE, "status": "CANCELLED", "refund_value": 22.4, "cancelled_at": cancelled_at}],
        "cancellation_id": CANCELLATION if is_preview else None,
        "confirm_before": "2021-01-08T18:19:04.228699Z" if is_preview else None,
    } | changes


DONE: dict[Call, Any] = {
    preview: answer(),
    confirm: answer(cancelled_at=MOMENT),
    cancel_now: answer(cancelled_at=MOMENT),
}
NOT_DONE: dict[Call, Any] = {preview: answer(cancellation_id=None), confirm: answer(), cancel_now: answer()}


@pytest.fixture
def http() -> Iterator[InsurerHttp]:
    client = InsurerHttp()
    yield client
    client.close()


def a_client(url: str, http: InsurerHttp, **changes: Any) -> XCoverClient:
    signer = Signer("api-key", "test_api_secret", **changes)
    return XCoverClient(base_url=url, partner_code="ABCDE", signer=signer, http=http, clock=lambda: NOON)


def outcome(http: InsurerHttp, call: Call, turn: Turn) -> tuple[Any, Stub]:
    with serving(turn) as stub:
        return call(a_client(stub.url, http)), stub


def failure(http: InsurerHttp, call: Call, turn: Turn) -> InsurerError:
    with serving(turn) as stub, pytest.raises(InsurerError) as raised:
        call(a_client(stub.url, http))
    assert len(stub.seen) == 1
    return raised.value


def test_a_booking_is_read_at_its_own_address_and_signed(http: InsurerHttp) -> None:
    body = {"id": BOOKING, "status": "CONFIRMED", "currency": "USD", "quotes": [], "security_token": "hunter2"}
    found, stub = outcome(http, get_booking, say(200, body))
    seen = stub.seen[0]
    assert (seen.method, seen.target, seen.body) == ("GET", f"/x/partners/ABCDE/bookings/{BOOKING}/", b"")
    assert seen.headers["date"] == "Tue, 08 Apr 2025 12:00:00 GMT"
    assert seen.headers["x-api-key"] == "api-key"
    assert "TZjogG0unMfVYbnu1qibLswb8kMAbIU4ioGnIuhAwNOoeo4p" in seen.headers["authorization"]
    assert "x-idempotency-key" not in seen.headers
    assert (found.value.status, found.insurer_time, found.replayed) == ("CONFIRMED", NOON, False)
    assert "hunter2" not in json.dumps(found.evidence)


def test_the_request_line_is_signed_as_it_is_sent(http: InsurerHttp) -> None:
    with serving(say(200, answer())) as stub:
        client = a_client(stub.url, http, signed_headers="(request-target) date")
        preview(client)
    assert stub.seen[0].target == "/x/partners/ABCDE/bookings/8UHPK-ALPQT-INS/cancel"
    assert "zkjydJk1pP%2FjGgajRVII%2FWvRxWxygjmL1MpxQ5dlPdGC" in stub.seen[0].headers["authorization"]


def test_each_attempt_is_signed_afresh(http: InsurerHttp) -> None:
    times = [NOON, datetime(2025, 4, 8, 12, 0, 5, tzinfo=UTC)]
    with serving(say(503), say(503)) as stub:
        client = XCoverClient(
            base_url=stub.url, partner_code="P", signer=Signer("k", "s"), http=http, clock=lambda: times.pop(0)
        )
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                preview(client)
    assert [seen.headers["date"][-12:-4] for seen in stub.seen] == ["12:00:00", "12:00:05"]
    assert stub.seen[0].headers["authorization"] != stub.seen[1].headers["authorization"]
    assert stub.seen[0].body == stub.seen[1].body


def test_a_preview_leaves_with_its_flag_its_policies_and_its_key(http: InsurerHttp) -> None:
    found, stub = outcome(http, preview, say(200, answer()))
    seen = stub.seen[0]
    assert (seen.method, seen.target) == ("POST", f"/x/partners/ABCDE/bookings/{BOOKING}/cancel")
    assert seen.json == {
        "preview": True,
        "quotes": [{"id": QUOTE, "reason_for_cancellation": "No longer travelling"}],
    }
    assert (seen.headers["x-idempotency-key"], seen.headers["content-type"]) == ("key-1", "application/json")
    assert (found.value.cancellation_id, found.value.total_refund) == (CANCELLATION, Decimal("22.4"))
    assert found.evidence["total_refund"] == "22.4"
    assert "someone" not in json.dumps(found.evidence)


def test_a_confirmation_leaves_with_an_empty_object_to_the_address_with_the_id(http: InsurerHttp) -> None:
    found, stub = outcome(http, confirm, say(200, answer(cancelled_at=MOMENT)))
    seen = stub.seen[0]
    assert (seen.method, seen.body) == ("POST", b"{}")
    assert seen.target == f"/x/partners/ABCDE/bookings/{BOOKING}/confirm_cancellation/{CANCELLATION}/"
    assert seen.headers["x-idempotency-key"] == "key-2"
    assert found.value.policies[0].cancelled_at == datetime(2021, 1, 7, 18, 19, 4, 222570, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"quotes": []},
        {"preview": None},
        {"preview": "true"},
        {"preview": 1},
        {"preview": False},
        {"Preview": True},
        {"quotes": [{"id": QUOTE, "preview": True}]},
    ],
)
def test_no_body_that_might_cancel_leaves_under_the_name_of_a_preview(http: InsurerHttp, body: dict[str, Any]) -> None:
    with serving() as stub, pytest.raises(UnsafeCancelBody):
        a_client(stub.url, http).preview(BOOKING, body, idempotency_key="k")
    assert (stub.seen, stub.connections) == ([], 0)


@pytest.mark.parametrize("call", DEEDS)
def test_a_conflict_with_our_own_deed_in_it_is_success_told_again(http: InsurerHttp, call: Call) -> None:
    found, _ = outcome(http, call, say(409, DONE[call]))
    assert found.replayed
    assert found.evidence["http_status"] == 409


@pytest.mark.parametrize("call", DEEDS)
@pytest.mark.parametrize(
    "make_body", [lambda call: {"message": "conflict"}, lambda call: NOT_DONE[call], lambda call: None]
)
def test_a_conflict_without_our_deed_is_a_conflict(
    http: InsurerHttp, call: Call, make_body: Callable[[Call], object]
) -> None:
    assert type(failure(http, call, say(409, make_body(call)))) is KeyConflict


@pytest.mark.parametrize("body", [answer(cancellation_id=None), {}, answer(id="other")])
def test_a_success_that_is_not_a_preview_has_to_be_settled(http: InsurerHttp, body: dict[str, Any]) -> None:
    error = failure(http, preview, say(200, body))
    assert type(error) is NotAPreview
    assert isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("status", [200, 409])
def test_a_preview_that_cancelled_for_real_says_so(http: InsurerHttp, status: int) -> None:
    error = failure(http, preview, say(status, answer(cancelled_at=MOMENT)))
    assert type(error) is CancelledInstead
    assert "cancelled_at is set" in str(error)
    assert MOMENT in json.dumps(error.evidence)
    assert "someone" not in json.dumps(error.evidence)


@pytest.mark.parametrize("call", [confirm])
@pytest.mark.parametrize(
    "turn",
    [
        say(200, answer()),
        say(200, {"errors": ["partly failed"]}),
        say(200, answer(cancelled_at=MOMENT, quotes=[None], errors={"0": {"message": "no", "type": "failure"}})),
        say(200, raw=b"<html>"),
        say(204),
        say(202, {"id": BOOKING}),
        say(200, answer(cancelled_at="2021-02-30T00:00:00Z")),
    ],
)
def test_a_success_without_the_deed_is_an_unknown_outcome(http: InsurerHttp, call: Call, turn: bytes) -> None:
    assert type(failure(http, call, turn)) is OutcomeUnknown


def test_complaints_beside_a_complete_deed_are_kept_as_evidence(http: InsurerHttp) -> None:
    found, _ = outcome(http, confirm, say(200, answer(cancelled_at=MOMENT, errors=["e-mail not sent"])))
    assert found.evidence["problems"] == [["", "e-mail not sent"]]


def test_every_policy_asked_for_must_be_cancelled(http: InsurerHttp) -> None:
    def confirm_both(client: XCoverClient) -> Any:
        return client.confirm(BOOKING, CANCELLATION, quote_ids={QUOTE, OTHER}, idempotency_key="k")

    assert type(failure(http, confirm_both, say(200, answer(cancelled_at=MOMENT)))) is OutcomeUnknown


@pytest.mark.parametrize("call", DEEDS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Misdirected),
        (308, Misdirected),
        (400, Refused),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (408, OutcomeUnknown),
        (422, Refused),
        (423, InFlight),
        (429, Throttled),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, OutcomeUnknown),
        (504, OutcomeUnknown),
    ],
)
def test_a_deeds_status_says_what_to_do_next(http: InsurerHttp, call: Call, status: int, kind: type) -> None:
    error = failure(http, call, say(status, {}, Location="/x/elsewhere"))
    assert (type(error), error.status, error.insurer_time) == (kind, status, NOON)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (429, Throttled), (502, Unavailable), (204, Unavailable)]
)
def test_a_read_has_nothing_to_settle(http: InsurerHttp, status: int, kind: type) -> None:
    assert type(failure(http, get_booking, say(status, raw=b""))) is kind


@pytest.mark.parametrize("body", [{}, {"id": "other"}, [], answer(quotes="x"), answer(quotes=[{"id": QUOTE}])])
def test_a_booking_that_is_not_the_one_asked_for_is_unavailable(http: InsurerHttp, body: object) -> None:
    assert type(failure(http, get_booking, say(200, body))) is Unavailable


def test_a_booking_with_an_impossible_date_says_which(http: InsurerHttp) -> None:
    body = answer(quotes=[{"id": QUOTE, "status": "CONFIRMED", "policy_end_date": "2021-02-30T00:00:00Z"}])
    assert "policy_end_date is not a possible time: 2021-02-30" in str(failure(http, get_booking, say(200, body)))


@pytest.mark.parametrize(
    ("turn", "seconds"),
    [
        (say(429, {"detail": "slow"}, Retry_After="3"), 3.0),
        (say(429, {"message": "Request was throttled. Expected available in 1 second."}), 1.0),
        (say(429, {"errors": ["Request was throttled. Expected available in 12 seconds."]}), 12.0),
        (say(429, raw=b"Request was throttled. Expected available in 2.5 seconds."), 2.5),
        (say(429, {"message": "Request was throttled."}), None),
    ],
)
def test_throttling_says_how_long_to_wait_where_it_can(http: InsurerHttp, turn: bytes, seconds: float | None) -> None:
    assert failure(http, confirm, turn).retry_after == seconds


def test_a_refusal_holds_the_insurers_words_and_hides_the_rest(http: InsurerHttp) -> None:
    body = {
        "type": "validation_error",
        "message": "An API error occurred.",
        "errors": ["Status change not allowed for QuotePackage in status CANCELLED"],
        "policyholder": {"email": "someone@example.test"},
        "security_token": "hunter2",
    }
    error = failure(http, confirm, say(422, body))
    assert error.problems == (("", "Status change not allowed for QuotePackage in status CANCELLED"),)
    assert "validation_error" in json.dumps(error.evidence)
    for secret in ("someone", "hunter2", "api-key", "test_api_secret"):
        assert secret not in json.dumps(error.evidence) + str(error) + repr(error)


def test_a_refused_reason_can_be_told_from_other_refusals(http: InsurerHttp) -> None:
    error = failure(http, preview, say(422, {"errors": {"malformed": "Unexpected field"}}))
    assert wire.complains_of_reasons(error.problems)


@pytest.mark.parametrize("call", DEEDS)
def test_a_deed_whose_connection_breaks_is_an_unknown_outcome(http: InsurerHttp, call: Call) -> None:
    assert type(failure(http, call, hang_up)) is OutcomeUnknown


def test_a_deed_that_reaches_nobody_was_not_sent(http: InsurerHttp) -> None:
    with pytest.raises(NotSent, match="confirm 90o3N-fIexx-Zw2bd-CCL on booking 8UHPK-ALPQT-INS"):
        confirm(a_client(f"http://127.0.0.1:{free_port()}/x", http))


@pytest.mark.parametrize(
    ("hostile", "sent"),
    [
        ("../../admin", "..%2F..%2Fadmin"),
        ("a/cancel?x=1#y", "a%2Fcancel%3Fx%3D1%23y"),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
    ],
)
def test_a_hostile_identifier_stays_one_segment(http: InsurerHttp, hostile: str, sent: str) -> None:
    with serving(say(404), say(404)) as stub:
        client = a_client(stub.url, http)
        with pytest.raises(NotFound):
            client.get_booking(hostile)
        with pytest.raises(NotFound):
            client.confirm(BOOKING, hostile, quote_ids=[], idempotency_key="k")
    assert stub.seen[0].target == f"/x/partners/ABCDE/bookings/{sent}/"
    assert stub.seen[1].target == f"/x/partners/ABCDE/bookings/{BOOKING}/confirm_cancellation/{sent}/"


@pytest.mark.parametrize("hostile", ["", ".", "..", "a\nb", "\x00", "\ud800", "x" * 201])
def test_what_no_path_can_hold_is_refused_without_sending(http: InsurerHttp, hostile: str) -> None:
    with serving() as stub:
        client = a_client(stub.url, http)
        with pytest.raises(Refused):
            client.get_booking(hostile)
        with pytest.raises(Refused):
            client.confirm(BOOKING, hostile, quote_ids=[], idempotency_key="k")
    assert stub.connections == 0


@pytest.mark.parametrize(
    "url", ["", "api.xcover.com/x", "ftp://x.test/", "https://", "https://user:pw@x.test/", "https://x.test/?a=b"]
)
def test_an_unusable_base_url_is_refused_at_once(url: str, http: InsurerHttp) -> None:
    with pytest.raises(ValueError, match="base URL") as raised:
        a_client(url, http)
    assert "pw" not in str(raised.value)


def test_a_client_shows_no_secret(http: InsurerHttp) -> None:
    shown = repr(a_client("https://x.test/x", http)) + repr(vars(a_client("https://x.test/x", http)))
    assert "test_api_secret" not in shown
    assert "api-key" not in shown


def test_an_immediate_cancel_says_so_in_the_bytes_that_leave(http: InsurerHttp) -> None:
    found, stub = outcome(http, cancel_now, say(200, answer(cancelled_at=MOMENT)))

    seen = stub.seen[0]
    assert (seen.method, seen.target) == ("POST", f"/x/partners/ABCDE/bookings/{BOOKING}/cancel")
    assert seen.body == b'{"preview":false,"quotes":[{"id":"%s"}],"refund_required":true}' % QUOTE.encode()
    assert seen.headers["x-idempotency-key"] == "key-3"
    assert (found.value.total_refund, found.value.currency) == (Decimal("22.4"), "EUR")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"quotes": [{"id": QUOTE}]},
        {"preview": None, "quotes": [{"id": QUOTE}]},
        {"preview": 0, "quotes": [{"id": QUOTE}]},
        {"preview": True, "quotes": [{"id": QUOTE}]},
        {"preview": False},
        {"preview": False, "quotes": []},
    ],
)
def test_an_immediate_cancel_that_does_not_say_so_or_names_no_policy_never_leaves(
    http: InsurerHttp, body: dict[str, Any]
) -> None:
    with serving(say(200, answer(cancelled_at=MOMENT))) as stub, pytest.raises((UnsafeCancelBody, ValueError)):
        a_client(stub.url, http).cancel_now(BOOKING, body, idempotency_key="key-3")

    assert stub.seen == []
