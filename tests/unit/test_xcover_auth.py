from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.xcover.auth import Signer

NOON = datetime(2025, 4, 8, 12, tzinfo=UTC)
PATH = "/x/partners/ABCDE/bookings/8UHPK-ALPQT-INS/cancel"

SHA256_DATE = "KZazP2wUTo1pJ9y6j44z3uA0GKCCES02bFOVInlfsh4%3D"
SHA512_DATE = "TZjogG0unMfVYbnu1qibLswb8kMAbIU4ioGnIuhAwNOoeo4pSg8LocZutkLnd26hgdbzHrJR89InceMtLJRd6A%3D%3D"
SHA256_BOTH = "p5TJlGvAjBtmWCM84PjL5k1QJPYXmWTPvn%2BBH5DDHzU%3D"
SHA512_BOTH = "zkjydJk1pP%2FjGgajRVII%2FWvRxWxygjmL1MpxQ5dlPdGCAKYFZ%2FPf8FyElhD%2BVlsYCg51qTe1n0j5MFiAI70A0g%3D%3D"


@pytest.mark.parametrize(
    ("algorithm", "signed", "signature"),
    [
        ("hmac-sha256", "date", SHA256_DATE),
        ("hmac-sha512", "date", SHA512_DATE),
        ("hmac-sha256", "(request-target) date", SHA256_BOTH),
        ("hmac-sha512", "(request-target) date", SHA512_BOTH),
    ],
)
def test_each_variant_gives_the_known_signature(algorithm: str, signed: str, signature: str) -> None:
    headers = Signer("k", "test_api_secret", algorithm, signed).headers_for("POST", PATH, NOON)
    assert headers["Authorization"].endswith(f'signature="{signature}"')
    assert f'algorithm="{algorithm}"' in headers["Authorization"]
    assert ("headers=" in headers["Authorization"]) == (signed != "date")


def test_the_vendors_python_client_signs_the_same_date_the_same_way() -> None:
    moment = datetime(2021, 8, 29, 12, 7, 26, tzinfo=UTC)
    headers = Signer("test_api_key", "test_api_secret", "hmac-sha256").headers_for("GET", "/", moment)
    assert headers == {
        "Date": "Sun, 29 Aug 2021 12:07:26 GMT",
        "X-Api-Key": "test_api_key",
        "Authorization": 'Signature keyId="test_api_key",algorithm="hmac-sha256",'
        'signature="bfxytCfvFqito27v0%2FKcN1jBJsgnCReimKXdAWwoi0k%3D"',
    }


def test_the_vendors_first_client_signs_the_same_date_the_same_way() -> None:
    headers = Signer("abcd", "efgh").headers_for("GET", "/", datetime(2019, 1, 1, tzinfo=UTC))
    assert headers["Date"] == "Tue, 01 Jan 2019 00:00:00 GMT"
    assert headers["Authorization"] == (
        'Signature keyId="abcd",algorithm="hmac-sha512",signature="'
        'f6RnwuCiDBJiAgi7fbc4cXEeKF%2BPKiIA%2BQbKVHqQmu3KHemhLg2wV5FDceUEbzPurmnqQi5H7W9Ot1om0o7W3A%3D%3D"'
    )


def test_the_order_of_the_parameters_is_the_official_clients() -> None:
    authorization = Signer("k", "s", "hmac-sha384", "(request-target) date").headers_for("GET", "/x", NOON)[
        "Authorization"
    ]
    assert authorization.startswith(
        'Signature keyId="k",algorithm="hmac-sha384",headers="(request-target) date",signature="'
    )


def test_the_date_is_utc_whatever_zone_the_clock_is_in() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=10)))
    signer = Signer("k", "test_api_secret")
    assert signer.headers_for("GET", "/", elsewhere) == signer.headers_for("GET", "/", NOON)


def test_a_signer_shows_no_secret() -> None:
    assert "hunter2" not in repr(Signer("hunter2-key", "hunter2"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"api_key": 'a"b'},
        {"api_key": "a\nb"},
        {"api_key": "é"},
        {"secret": ""},
        {"algorithm": "hmac-sha1"},
        {"signed_headers": "(request-target)"},
    ],
)
def test_a_signer_that_could_not_sign_is_not_made(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Signer(**{"api_key": "k", "secret": "s", **wrong})
