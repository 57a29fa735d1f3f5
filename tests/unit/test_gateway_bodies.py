"""Reading bodies: whole, bounded, strict JSON."""

import io
import json
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from shared.cancellation_request import fingerprint
from shared.problems import Problem
from webhook_gateway.bodies import MAX_BYTES, MAX_DEPTH, read_json, read_raw

app = Flask(__name__)


def read(raw: bytes) -> Any:
    with app.test_request_context(method="POST", data=raw, content_type="application/json; charset=utf-8"):
        return read_json()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b"nonsense", b"{}{}", b"\xff", b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"),
        b"NaN", b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": 1, "a": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b"1" * 5000, b"[" * 200_000, b'{"a":' * 40_000, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a": "\x01"}',
    ],
)  # fmt: skip
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        read(raw)

    assert (refusal.value.slug, refusal.value.status) == ("not-json", 400)
    assert len(str(refusal.value)) < 200


def test_nesting_up_to_the_limit_is_read() -> None:
    assert json.dumps(read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)) == "[" * MAX_DEPTH + "]" * MAX_DEPTH


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("9007199254740993.0", "9007199254740992.0"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("1e-400", "0.0"),
        ("1e-99999999999999999999", "0.0"),
        ("0.0", "-0.0"),
        ("1", "1.0"),
        ("1.0", "true"),
        ("1.0", '"1.0"'),
    ],
)
def test_two_numbers_that_one_float_stands_for_are_two_bodies(first: str, second: str) -> None:
    bodies = [read(f'{{"a": [{value}]}}'.encode()) for value in (first, second)]

    assert fingerprint(bodies[0]) != fingerprint(bodies[1])


@pytest.mark.parametrize("literal", ["2.5", "1e22", "1.50", "9007199254740993.0", "5e-324", "4.9e-324"])
def test_a_number_is_the_float_that_any_reader_of_json_would_make(literal: str) -> None:
    value = read(literal.encode())

    assert isinstance(value, float)
    assert json.dumps(value) == json.dumps(float(literal))


@pytest.mark.parametrize("literal", ["2.5", "1e22", "1.50", "123456789.12345678"])
def test_a_number_written_otherwise_is_the_same_over_both_doors(literal: str) -> None:
    assert fingerprint({"a": read(literal.encode())}) == fingerprint({"a": float(literal)})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_json_is_read(value: Any) -> None:
    assert read(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with suppress(Problem):
        read(raw)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_another_content_type_is_415(content_type: str | None) -> None:
    with (
        app.test_request_context(method="POST", data=b"{}", content_type=content_type),
        pytest.raises(Problem, match="Content-Type"),
    ):
        read_json()


class Chunked(io.BytesIO):
    """What a server hands over for a body without an announced length."""


def environment(stream: io.BytesIO, length: int | None = None) -> dict[str, Any]:
    announced = {"HTTP_TRANSFER_ENCODING": "chunked"} if length is None else {"CONTENT_LENGTH": str(length)}
    return {"wsgi.input": stream, "wsgi.input_terminated": True, **announced}


@pytest.mark.parametrize("size", [0, 1, MAX_BYTES])
def test_a_chunked_body_up_to_the_limit_is_read_whole(size: int) -> None:
    with app.test_request_context(method="POST", environ_overrides=environment(Chunked(b"x" * size))):
        assert len(read_raw()) == size


@pytest.mark.parametrize("length", [None, MAX_BYTES + 1])
def test_a_body_over_the_limit_is_413(length: int | None) -> None:
    stream = Chunked(b"x" * (MAX_BYTES + 1))

    with (
        app.test_request_context(method="POST", environ_overrides=environment(stream, length)),
        pytest.raises(RequestEntityTooLarge),
    ):
        read_raw()


def test_a_body_that_ends_early_is_400() -> None:
    with (
        app.test_request_context(method="POST", environ_overrides=environment(Chunked(b"{}"), 3)),
        pytest.raises(BadRequest),
    ):
        read_raw()


def test_a_server_that_cannot_read_the_body_is_the_senders_fault() -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise RuntimeError("invalid chunk size")

    with (
        app.test_request_context(method="POST", environ_overrides=environment(Broken())),
        pytest.raises(BadRequest),
    ):
        read_raw()
