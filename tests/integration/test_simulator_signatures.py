"""The simulator's judgement of signatures, against published vectors and over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from tests.simulator.caller import Caller, signed_headers
from tests.simulator.server import SimulatorServer
from tests.simulator.signatures import (
    SignatureError,
    signature,
    signing_string,
    verify,
)

PATH = "/x/partners/ABCDE/bookings/8UHPK-ALPQT-INS/cancel"
SPRING = "Tue, 08 Apr 2025 12:00:00 GMT"
BOTH = "(request-target) date"
VECTORS = [
    (
        "test_api_secret",
        "hmac-sha256",
        "date",
        "Sun, 29 Aug 2021 12:07:26 GMT",
        "bfxytCfvFqito27v0%2FKcN1jBJsgnCReimKXdAWwoi0k%3D",
    ),
    (
        "efgh",
        "hmac-sha512",
        "date",
        "Tue, 01 Jan 2019 00:00:00 GMT",
        "f6RnwuCiDBJiAgi7fbc4cXEeKF%2BPKiIA%2BQbKVHqQmu3KHemhLg2wV5FDceUEbzPurmnqQi5H7W9Ot1om0o7W3A%3D%3D",
    ),
    (
        "test_api_secret",
        "hmac-sha256",
        "date",
        SPRING,
        "KZazP2wUTo1pJ9y6j44z3uA0GKCCES02bFOVInlfsh4%3D",
    ),
    (
        "test_api_secret",
        "hmac-sha512",
        "date",
        SPRING,
        "TZjogG0unMfVYbnu1qibLswb8kMAbIU4ioGnIuhAwNOoeo4pSg8LocZutkLnd26hgdbzHrJR89InceMtLJRd6A%3D%3D",
    ),
    (
        "test_api_secret",
        "hmac-sha512",
        BOTH,
        SPRING,
        "zkjydJk1pP%2FjGgajRVII%2FWvRxWxygjmL1MpxQ5dlPdGCAKYFZ%2FPf8FyElhD%2BVlsYCg51qTe1n0j5MFiAI70A0g%3D%3D",
    ),
    (
        "test_api_secret",
        "hmac-sha256",
        BOTH,
        SPRING,
        "p5TJlGvAjBtmWCM84PjL5k1QJPYXmWTPvn%2BBH5DDHzU%3D",
    ),
    (
        "webhook_secret",
        "hmac-sha256",
        "date",
        "Thu, 27 Feb 2025 05:01:47 GMT",
        "DRuGpwetYU3shtNFaT2IEVsCr482r2KEyEArfeuhpKg%3D",
    ),
]


@pytest.fixture
def insurer(simulator: SimulatorServer) -> SimulatorServer:
    return simulator


@pytest.fixture
def caller(insurer: SimulatorServer) -> Iterator[Caller]:
    with Caller(insurer) as one:
        yield one


@pytest.mark.parametrize(("secret", "algorithm", "names", "date", "expected"), VECTORS)
def test_a_published_vector_is_accepted(secret: str, algorithm: str, names: str, date: str, expected: str) -> None:
    listed = "" if names == "date" else f'headers="{names}",'
    headers = {
        "Date": date,
        "Authorization": f'Signature keyId="k",algorithm="{algorithm}",{listed}signature="{expected}"',
    }
    now = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)

    verify(headers, method="POST", path=PATH, key="k", secret=secret, now=now)

    text = signing_string(names.split(" "), method="POST", path=PATH, date=date)
    assert quote(signature(secret, algorithm, text), safe="") == expected


def test_the_official_header_that_lists_only_the_date_is_accepted() -> None:
    value = (
        'Signature keyId="test_api_key",algorithm="hmac-sha256",headers="date",'
        'signature="bfxytCfvFqito27v0%2FKcN1jBJsgnCReimKXdAWwoi0k%3D"'
    )
    headers = {"Date": "Sun, 29 Aug 2021 12:07:26 GMT", "Authorization": value, "X-Api-Key": "test_api_key"}
    verify(
        headers,
        method="GET",
        path="/anything",
        key="test_api_key",
        secret="test_api_secret",
        now=datetime(2021, 8, 29, 12, 10, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "date",
    [
        "Tue, 8 Apr 2025 12:00:00 GMT",
        "Mon, 08 Apr 2025 12:00:00 GMT",
        "Tue, 08 Apr 2025 12:00:00 +0000",
        "2025-04-08T12:00:00Z",
    ],
)
def test_a_date_in_another_form_is_refused(date: str) -> None:
    headers = signed_headers("GET", "/", date=date, secret="s")
    with pytest.raises(SignatureError, match="IMF-fixdate"):
        verify(
            headers,
            method="GET",
            path="/",
            key="sim_xcover_key",
            secret="s",
            now=datetime(2025, 4, 8, 12, tzinfo=UTC),
        )


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha384", "hmac-sha512"])
@pytest.mark.parametrize("names", [None, "date", BOTH])
def test_each_variant_of_the_signature_lets_a_caller_in(
    insurer: SimulatorServer, caller: Caller, algorithm: str, names: str | None
) -> None:
    path = f"/x/partners/LLODT/bookings/{insurer.control.add_booking().id}/"
    answer = caller.http.get(path, headers=signed_headers("GET", path, algorithm=algorithm, names=names))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"secret": "another"}, 403),
        ({"date": SPRING}, 403),
        ({"algorithm": "hmac-sha256", "names": "date host"}, 403),
    ],
)
def test_a_signature_that_does_not_hold_is_403(
    insurer: SimulatorServer, caller: Caller, change: dict[str, str], status: int
) -> None:
    path = f"/x/partners/LLODT/bookings/{insurer.control.add_booking().id}/"
    if change.get("names") == "date host":
        headers = signed_headers("GET", path)
        headers["Authorization"] = headers["Authorization"].replace(",sig", ',headers="date host",sig')
    else:
        headers = signed_headers("GET", path, **change)
    answer = caller.http.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.json() == {
        "type": "auth_error",
        "message": "You do not have permission to access this url",
    }


def test_a_signature_over_another_path_is_403(insurer: SimulatorServer, caller: Caller) -> None:
    path = f"/x/partners/LLODT/bookings/{insurer.control.add_booking().id}/"
    answer = caller.http.get(path, headers=signed_headers("GET", f"{path}x", names=BOTH))
    assert answer.status_code == 403


def test_no_signature_at_all_is_401(insurer: SimulatorServer, caller: Caller) -> None:
    answer = caller.http.get(f"/x/partners/LLODT/bookings/{insurer.control.add_booking().id}/")
    assert answer.status_code == 401
    assert insurer.control.requests()[-1]["signature"] == "Authorization or Date is missing"


def test_an_api_key_that_is_not_ours_is_401(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    assert caller.xcover("GET", f"bookings/{booking.id}/", X_Api_Key="another").status_code == 401


def test_a_url_safe_signature_is_named_as_such() -> None:
    secret, algorithm, _, date, expected = VECTORS[1]
    url_safe = expected.replace("%2B", "-").replace("%2F", "_")
    value = f'Signature keyId="k",algorithm="{algorithm}",signature="{url_safe}"'
    now = datetime(2019, 1, 1, tzinfo=UTC)
    with pytest.raises(SignatureError) as caught:
        verify({"Date": date, "Authorization": value}, method="GET", path="/", key="k", secret=secret, now=now)
    assert caught.value.message == "Signature string does not match!"


def test_a_shifted_clock_shows_in_the_date_and_locks_nobody_out(insurer: SimulatorServer, caller: Caller) -> None:
    booking = insurer.control.add_booking()
    insurer.control.shift_clock(7200)

    answer = caller.get(booking.id)

    assert answer.status_code == 200
    dates = answer.headers.get_list("date")
    assert len(dates) == 1
    shown = datetime.strptime(dates[0], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert 7100 < (shown - datetime.now(UTC)).total_seconds() < 7300
