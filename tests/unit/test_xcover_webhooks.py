"""XCover's webhooks: what verifies, what never does, and how little of a body is read."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.config import WebSettings
from shared.setting_values import WebhookKey
from shared.xcover.auth import Signer
from shared.xcover.webhooks import BookingHint, NotABookingEvent, SignedRequest, key_id, parse_hint, verify
from tests.gateway import web_settings
from tests.simulator import signatures

PATH = "/webhooks/xcover"
NOW = datetime(2025, 2, 27, 5, 2, tzinfo=UTC)
DATE = "Thu, 27 Feb 2025 05:01:47 GMT"
VECTOR = "DRuGpwetYU3shtNFaT2IEVsCr482r2KEyEArfeuhpKg%3D"
"""Of this date under `webhook_secret`, computed apart from this code."""
ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")


def key(name: str = "k", secret: str = "webhook_secret") -> WebhookKey:
    return WebhookKey(key=SecretStr(name), secret=SecretStr(secret))


KEYS = [key("other", "other_secret"), key()]


def judged(
    authorization: str | None,
    date: str | None = DATE,
    *,
    keys: list[WebhookKey] = KEYS,
    now: datetime = NOW,
    path: str = PATH,
) -> WebhookKey | None:
    request = SignedRequest(method="POST", path=path, date=date, authorization=authorization)
    return verify(request, keys, now=now).key


def signature_over(
    names: str, *, algorithm: str = "hmac-sha256", date: str = DATE, secret: str = "webhook_secret"
) -> str:
    text = signatures.signing_string(names.split(" "), method="POST", path=PATH, date=date)
    return signatures.quote(signatures.signature(secret, algorithm, text), safe="")


def header(name: str = "k", algorithm: str = "hmac-sha256", signature: str = VECTOR, listed: str | None = None) -> str:
    headers = "" if listed is None else f'headers="{listed}",'
    return f'Signature keyId="{name}",algorithm="{algorithm}",{headers}signature="{signature}"'


def test_the_known_signature_of_a_date_verifies() -> None:
    assert judged(header()) == KEYS[1]


@pytest.mark.parametrize(
    ("algorithm", "listed", "signature", "date", "secret"),
    [
        (
            "hmac-sha256",
            "date",
            "bfxytCfvFqito27v0%2FKcN1jBJsgnCReimKXdAWwoi0k%3D",
            "Sun, 29 Aug 2021 12:07:26 GMT",
            "test_api_secret",
        ),
        (
            "hmac-sha512",
            None,
            "f6RnwuCiDBJiAgi7fbc4cXEeKF%2BPKiIA%2BQbKVHqQmu3KHemhLg2wV5FDceUEbzPurmnqQi5H7W9Ot1om0o7W3A%3D%3D",
            "Tue, 01 Jan 2019 00:00:00 GMT",
            "efgh",
        ),
    ],
)
def test_what_the_vendors_own_clients_sign_verifies(
    algorithm: str, listed: str | None, signature: str, date: str, secret: str
) -> None:
    near = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    authorization = header(algorithm=algorithm, listed=listed, signature=signature)

    assert judged(authorization, date, keys=[key(secret=secret)], now=near) is not None


@pytest.mark.parametrize("listed", [None, "date", "(request-target) date", "date (request-target)"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_documented_variant_verifies(algorithm: str, listed: str | None) -> None:
    signature = signature_over(listed or "date", algorithm=algorithm)

    assert judged(header(algorithm=algorithm, signature=signature, listed=listed)) == KEYS[1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("signed_headers", ["date", "(request-target) date"])
def test_what_our_own_signer_signs_verifies(algorithm: str, signed_headers: str) -> None:
    made = Signer("k", "webhook_secret", algorithm, signed_headers).headers_for("POST", PATH, NOW)

    assert judged(made["Authorization"], made["Date"]) == KEYS[1]


@pytest.mark.parametrize(
    "authorization",
    [
        f'Signature signature="{VECTOR}",keyId="k",algorithm="hmac-sha256"',
        f'Signature keyId="k", algorithm="hmac-sha256", signature="{VECTOR}"',
        f'signature keyId=k,algorithm=hmac-sha256,signature="{VECTOR}"',
        header(signature=VECTOR.replace("%3D", "=")),
        header(signature=VECTOR.replace("%3D", "%3d")),
        header() + ',version="1"',
    ],
)
def test_the_order_of_parameters_spaces_quotes_and_others_parameters_do_not_matter(authorization: str) -> None:
    assert judged(authorization) == KEYS[1]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Signature",
        "Signature ",
        header().removeprefix("Signature "),
        header().replace("Signature", "Bearer", 1),
        header(name="other"),
        header(name="nobody"),
        header(name="K"),
        header(name=""),
        header(algorithm="hmac-sha1"),
        header(algorithm="hmac-md5"),
        header(algorithm="none"),
        header(algorithm=""),
        header(algorithm="hmac-sha512"),
        header(signature=""),
        header(signature=VECTOR[:-1]),
        header(signature="x" + VECTOR),
        header(signature=VECTOR.swapcase()),
        header(listed=""),
        header(listed="host date"),
        header(listed="(request-target)", signature=signature_over("(request-target)")),
        header(listed="(request-target) date"),
        header(listed="date date"),
        header() + ',keyId="k"',
        header() + f',signature="{VECTOR}"',
        f"{header()},{header()}",
        f"{header()}, {header()}",
        header().replace('"k"', '"k'),
        header().replace(",", ";"),
        header() + ',version="' + "1" * 10_000 + '"',
        header(name="k" * 3_000),
        f'Signature keyId="k",algorithm="hmac-sha256",signature="{VECTOR}",é="1"',
        "Signature " + "," * 2_000,
    ],
)
def test_anything_else_in_authorization_verifies_nothing(authorization: str | None) -> None:
    assert judged(authorization) is None


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "Thu, 27 Feb 2025 05:01:47 UTC",
        "Thu, 27 Feb 2025 05:01:47 +0000",
        "thu, 27 Feb 2025 05:01:47 GMT",
        "Fri, 27 Feb 2025 05:01:47 GMT",
        "Thu, 31 Feb 2025 05:01:47 GMT",
        "Thu, 27 Feb 0000 05:01:47 GMT",
        "Thu, 27 Xyz 2025 05:01:47 GMT",
        "Thu, 27 Feb 2025 25:61:61 GMT",
        "2025-02-27T05:01:47Z",
        f"{DATE},{DATE}",
        f"{DATE} ",
        "\u0661" * 29,
        "x" * 100_000,
    ],
)
def test_a_date_that_is_no_http_date_verifies_nothing_although_it_is_signed(date: str | None) -> None:
    assert judged(header(signature=signature_over("date", date=date or "")), date) is None


@pytest.mark.parametrize(("seconds", "is_near"), [(-300, True), (-301, False), (300, True), (301, False), (0, True)])
def test_a_date_may_be_five_minutes_off_either_way(seconds: int, *, is_near: bool) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)

    assert (judged(header(signature=signature_over("date", date=date)), date) is not None) is is_near


def test_a_signature_for_another_path_is_none_for_ours() -> None:
    authorization = header(listed="(request-target) date", signature=signature_over("(request-target) date"))

    assert judged(authorization, path="/webhooks/xclaim") is None


def test_a_keys_secret_may_be_replaced_under_its_name() -> None:
    both = [key(secret="the next"), key()]

    assert judged(header(), keys=both) == both[1]
    assert judged(header(signature=signature_over("date", secret="the next")), keys=both) == both[0]


def test_a_keys_id_tells_neither_name_nor_secret_and_is_its_own() -> None:
    ids = {key_id(one) for one in (key(), key("k2"), key(secret="another"))}

    assert len(ids) == 3
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in ids)


def test_why_repeats_nothing_of_a_request() -> None:
    for authorization in ("secret", header(name="secret"), header(algorithm="secret")):
        request = SignedRequest(method="POST", path=PATH, date="secret", authorization=authorization)
        assert "secret" not in verify(request, KEYS, now=NOW).why


anything = st.none() | st.text(max_size=200) | st.text(st.characters(max_codepoint=255), max_size=2_500)


@given(
    authorization=anything
    | st.lists(
        st.sampled_from(["Signature ", 'keyId="k"', ",", '"', "=", "algorithm=", "%", "%ff", VECTOR, "\ud800"])
    ).map("".join),
    date=anything | st.just(DATE),
    path=st.text(max_size=50),
)
def test_no_headers_whatever_make_verification_fail_or_succeed(
    authorization: str | None, date: str | None, path: str
) -> None:
    assert judged(authorization, date, path=path) is None


@given(
    st.sampled_from(["keyId", "algorithm", "headers", "signature"]),
    st.text(st.characters(max_codepoint=255), max_size=80),
)
def test_one_parameter_with_other_text_verifies_nothing(parameter: str, text: str) -> None:
    listed = {"keyId": "k", "algorithm": "hmac-sha256", "headers": "date", "signature": VECTOR}
    written = ",".join(f'{name}="{text if name == parameter else value}"' for name, value in listed.items())

    if text.strip(' "\t').casefold() not in {"date", "k", "hmac-sha256", VECTOR.casefold()}:
        assert judged(f"Signature {written}") is None


EVENT: dict[str, Any] = {"event": "BOOKING_CANCELLED", "payload": {"id": "8WD8Y-LTEKE-INS", "status": "CANCELLED"}}


def test_of_a_body_only_event_and_booking_are_read() -> None:
    hint = parse_hint(json.dumps({**EVENT, "more": [1e400], "event": "BOOKING_CANCELLED"}).encode())

    assert hint == BookingHint(event="BOOKING_CANCELLED", booking_id="8WD8Y-LTEKE-INS")
    assert hint.as_bytes() == b'{"event":"BOOKING_CANCELLED","payload":{"id":"8WD8Y-LTEKE-INS"}}'
    assert parse_hint(hint.as_bytes()) == hint


def test_an_unknown_event_of_a_booking_is_read_too() -> None:
    assert parse_hint(json.dumps({**EVENT, "event": "BOOKING_MOVED"}).encode()).event == "BOOKING_MOVED"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"1" * 10_000,
        json.dumps(EVENT).encode("utf-16"),
        str(EVENT).encode(),
        json.dumps({"Event": "BOOKING_CANCELLED", "Payload": {"Id": "8WD8Y-LTEKE-INS"}}).encode(),
        json.dumps({"event": "BOOKING_CANCELLED"}).encode(),
        json.dumps({"event": "BOOKING_CANCELLED", "payload": []}).encode(),
        *(
            json.dumps({**EVENT, "event": name}).encode()
            for name in (None, 1, "", "a b", "x" * 65, "\x00", "é", "\ud800")
        ),
        *(
            json.dumps({**EVENT, "payload": {"id": one}}).encode()
            for one in (None, 1, "", "a b", "x" * 65, "../a", "é")
        ),
    ],
)
def test_any_other_body_is_no_event_of_a_booking(raw: bytes) -> None:
    with pytest.raises(NotABookingEvent):
        parse_hint(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["event", "payload", "id", "x"]), inner),
)


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_body_is_read_or_refused_and_never_anything_else(raw: bytes) -> None:
    try:
        hint = parse_hint(raw)
    except NotABookingEvent:
        return
    assert parse_hint(hint.as_bytes()) == hint


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        ("", []),
        (" , ", []),
        ("k:s", [("k", "s")]),
        (" k:s , k2:s:t= ,", [("k", "s"), ("k2", "s:t=")]),
        ("k:old,k:new", [("k", "old"), ("k", "new")]),
    ],
)
def test_keys_are_set_as_name_and_secret(given: str, pairs: list[tuple[str, str]]) -> None:
    keys = web_settings(xcover_webhook_keys=given).xcover_webhook_keys

    assert [(one.key.get_secret_value(), one.secret.get_secret_value()) for one in keys] == pairs


@pytest.mark.parametrize("given", ["QZ", "QZ:", ":QZ", "QZ: ", 'Q"Z:s', "Q Z:s", "é:QZ", "q:s,QZ", f"{'QZ' * 128}:s"])
def test_a_key_that_no_header_could_name_is_refused_without_being_shown(given: str) -> None:
    with pytest.raises(ValueError, match="each entry must be key:secret") as refused:
        web_settings(xcover_webhook_keys=given)
    assert given not in str(refused.value)


def test_a_key_shows_neither_name_nor_secret() -> None:
    settings: WebSettings = web_settings(xcover_webhook_keys="the-name:the-secret")

    assert "the-" not in repr(settings.xcover_webhook_keys)
