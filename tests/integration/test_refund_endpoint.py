"""The client of the partner's refund endpoint against a scripted server: what leaves, and what each answer means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.insurer.errors import InsurerError, NotSent, OutcomeUnknown
from shared.insurer.transport import InsurerHttp
from shared.refund_endpoint import RefundEndpoint, RefundRefused
from tests.integration.test_insurer_transport import Turn, hang_up, say, serving
from tests.servers import free_port
from tests.simulator import REFUND_SECRET

BODY: dict[str, Any] = {
    "id": "01a1fdf5-fd9d-750d-bdfb-9093fdd6406a", "booking_id": "8WD8Y-LTEKE-INS", "amount": "22.40", "currency": "EUR",
    "idempotency_key": "A-1", "metadata": {"note": "grüße"},
}  # fmt: skip


@pytest.fixture
def http() -> Iterator[InsurerHttp]:
    client = InsurerHttp()
    yield client
    client.close()


def endpoint(url: str, http: InsurerHttp) -> RefundEndpoint:
    return RefundEndpoint(url=f"{url}refunds", secret=REFUND_SECRET, http=http, clock=lambda: datetime.now(UTC))


def ask(http: InsurerHttp, turn: Turn) -> Any:
    with serving(turn) as stub:
        return endpoint(stub.url, http).ask(BODY, key="key-1")


def failure(http: InsurerHttp, turn: Turn) -> InsurerError:
    with pytest.raises(InsurerError) as raised:
        ask(http, turn)
    return raised.value


def test_what_leaves_is_signed_so_that_the_standard_library_verifies_it(http: InsurerHttp) -> None:
    with serving(say(200, {})) as stub:
        endpoint(stub.url, http).ask(BODY, key="key-1")

    (seen,) = stub.seen
    assert (seen.method, seen.target) == ("POST", "/x/refunds")
    assert Webhook(REFUND_SECRET).verify(seen.body, dict(seen.headers)) == {"type": "refund.requested", **BODY}
    assert (seen.headers["idempotency-key"], seen.headers["webhook-id"]) == ("key-1", "key-1")
    with pytest.raises(WebhookVerificationError):
        Webhook(REFUND_SECRET).verify(seen.body + b" ", dict(seen.headers))


def test_a_repeat_is_the_same_bytes(http: InsurerHttp) -> None:
    with serving(say(503), say(200, {})) as stub:
        client = endpoint(stub.url, http)
        with pytest.raises(OutcomeUnknown):
            client.ask(BODY, key="key-1")
        client.ask(dict(reversed(BODY.items())), key="key-1")

    first, second = stub.seen
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


@pytest.mark.parametrize(
    ("turn", "is_promised", "reference"),
    [
        (say(200, {"reference": "re_1"}), False, "re_1"),
        (say(201, {"reference": "re_1", "more": 1}), False, "re_1"),
        (say(200, {}), False, None),
        (say(200, {"reference": 7}), False, None),
        (say(200, {"reference": "   "}), False, None),
        (say(200, {"reference": "r" * 300}), False, "r" * 255),
        (say(200, raw=b""), False, None),
        (say(200, raw=b"ok"), False, None),
        (say(202, {"reference": "later"}), True, "later"),
        (say(202, raw=b""), True, None),
    ],
)
def test_paid_or_promised(http: InsurerHttp, turn: Turn, is_promised: bool, reference: str | None) -> None:
    answer = ask(http, turn)

    assert (answer.value.is_promised, answer.value.reference) == (is_promised, reference)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 410, 418, 422, 423, 425, 429, 451, 499])
def test_every_4xx_is_a_no(http: InsurerHttp, status: int) -> None:
    error = failure(http, say(status, {"message": "no"}))

    assert type(error) is RefundRefused
    assert error.status == status


@pytest.mark.parametrize(
    "body", [{"error": "closed account"}, {"detail": "closed account"}, {"message": "closed account"}]
)
def test_the_partners_words_are_told(http: InsurerHttp, body: dict[str, str]) -> None:
    assert "closed account" in str(failure(http, say(402, body)))


@pytest.mark.parametrize("status", [203, 204, 206, 301, 302, 304, 307, 500, 502, 503, 504])
def test_anything_else_is_not_known(http: InsurerHttp, status: int) -> None:
    assert type(failure(http, say(status))) is OutcomeUnknown


@pytest.mark.parametrize("raw", [b"<!doctype html><title>Just a moment</title>", b'{"refere', b"[1, "])
def test_a_page_or_an_answer_cut_short_is_not_taken_for_a_yes(http: InsurerHttp, raw: bytes) -> None:
    assert type(failure(http, say(200, raw=raw))) is OutcomeUnknown


def test_a_connection_that_breaks_leaves_the_outcome_unknown(http: InsurerHttp) -> None:
    assert type(failure(http, hang_up)) is OutcomeUnknown


def test_where_nobody_listens_nothing_was_sent(http: InsurerHttp) -> None:
    with pytest.raises(NotSent):
        endpoint(f"http://127.0.0.1:{free_port()}/", http).ask(BODY, key="key-1")


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_a_secret_that_is_none_is_refused(secret: str, http: InsurerHttp) -> None:
    with pytest.raises(Exception, match="secret"):
        RefundEndpoint(url="http://127.0.0.1:9/", secret=secret, http=http)
