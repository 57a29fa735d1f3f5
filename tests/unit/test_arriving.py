"""A request is whole with its last byte, however its bytes are cut; what is no request need not be waited for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_gateway.arriving import MAX_CHUNK_LINE, MAX_HEAD, Arrival
from webhook_gateway.bodies import MAX_BYTES

POST = b"POST /webhooks/xclaim HTTP/1.1\r\nHost: x\r\n"


def with_length(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_chunks(parts: list[bytes], *, trailer: bytes = b"", extension: bytes = b"") -> bytes:
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return POST + b"transfer-encoding: Chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"


requests = st.one_of(
    st.binary(max_size=300).map(with_length),
    st.builds(
        in_chunks,
        st.lists(st.binary(min_size=1, max_size=50) | st.just(b"0\r\n\r\n"), max_size=6),
        trailer=st.sampled_from([b"", b"Digest: x\r\n"]),
        extension=st.sampled_from([b"", b";a=b"]),
    ),
    st.just(POST + b"\r\n"),
)


@given(requests, st.lists(st.integers(0, 1_000)))
def test_a_request_is_whole_with_its_last_byte_and_not_before(request: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(request) - 1, *(cut % len(request) for cut in cuts)})
    arrival = Arrival()

    assert not any(arrival.take(request[begin:end]) for begin, end in pairwise(places))
    assert arrival.take(request[-1:])
    assert bytes(arrival.received) == request


@given(st.binary(max_size=2_000), st.integers(1, 100))
def test_any_bytes_may_come(raw: bytes, size: int) -> None:
    arrival = Arrival()
    for start in range(0, len(raw), size):
        arrival.take(raw[start : start + size])
    assert bytes(arrival.received) == raw


@pytest.mark.parametrize(
    "request_so_far",
    [
        b"x" * (MAX_HEAD + 1),
        POST + b"Content-Length: 99999999\r\n\r\n" + b"x" * (MAX_BYTES + 1),
        POST + b"Content-Length: many\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * MAX_CHUNK_LINE,
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n%s\r\n" % (b"x" * 0x8000) * 11,
    ],
    ids=["head", "length", "no number", "coding", "no size", "negative", "chunk", "line", "chunks"],
)
def test_what_will_be_refused_is_not_waited_for(request_so_far: bytes) -> None:
    assert Arrival().take(request_so_far)
