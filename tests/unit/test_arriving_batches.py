"""A request with many cancellations may be larger than others before it is no longer waited for."""

import pytest

from webhook_gateway.arriving import MAX_HEAD, Arrival
from webhook_gateway.bodies import MAX_BATCH_BYTES, MAX_BYTES

PART = b"x" * 0x8000


def head(path: str, announced: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{announced}\r\n\r\n".encode()


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/batches/01a2/cancellations"])
def test_a_batch_is_waited_for_up_to_its_limit(path: str) -> None:
    arrival = Arrival()
    assert not arrival.take(head(path, f"Content-Length: {MAX_BATCH_BYTES}"))

    *most, last = [PART] * (MAX_BATCH_BYTES // len(PART))
    assert not any(arrival.take(part) for part in most)
    assert arrival.take(last)


def test_a_batch_in_chunks_is_waited_for_up_to_its_limit() -> None:
    arrival = Arrival()
    assert not arrival.take(head("/v1/batches", "Transfer-Encoding: chunked"))

    chunk = b"8000\r\n" + PART + b"\r\n"
    assert not any(arrival.take(chunk) for _ in range(MAX_BATCH_BYTES // len(PART)))
    assert arrival.take(chunk * 3)


@pytest.mark.parametrize(
    ("path", "length"),
    [("/v1/batches", MAX_BATCH_BYTES + 1), ("/v1/cancellations", MAX_BYTES + 1), ("/webhooks/xclaim", MAX_BYTES + 1)],
)
def test_what_is_too_large_for_its_address_is_not_waited_for(path: str, length: int) -> None:
    assert Arrival().take(head(path, f"Content-Length: {length}"))


def test_no_other_address_may_send_as_much_in_chunks() -> None:
    arrival = Arrival()
    arrival.take(head("/v1/cancellations", "Transfer-Encoding: chunked"))
    chunk = b"8000\r\n" + PART + b"\r\n"

    parts = (MAX_BYTES + MAX_HEAD) // len(PART) + 1
    assert [arrival.take(chunk) for _ in range(parts)][-1]
