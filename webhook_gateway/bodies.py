"""Reading what a request carries: bounded, whole, and strictly JSON where JSON is asked for."""

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from shared.cancellation_request import RoundedNumber, invalid
from shared.nesting import MAX_DEPTH, is_nested_deeper
from shared.problems import Problem

MAX_BYTES = 256 * 1024
MAX_BATCH_BYTES = 2 * 1024 * 1024
"""Of a body that holds many cancellations."""
_CHUNK = 64 * 1024

AnyBody = TypeVar("AnyBody", bound=BaseModel)


def read_raw(*, limit: int = MAX_BYTES) -> bytes:
    """Return the body's bytes, or raise 413 when there are more than the limit and 400 when they do not all come."""
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    try:
        raw = _read_at_most(limit + 1)
    except HTTPException:
        raise
    except Exception as error:  # each server has its own errors for a broken body; all of them are the sender's
        raise BadRequest("The body could not be read to its end.") from error
    if len(raw) > limit:
        raise _too_large(limit)
    if announced is not None and len(raw) < announced:
        raise BadRequest("The body ended before its announced length.")
    return raw


def read_json(*, limit: int = MAX_BYTES) -> Any:
    """Return the body as JSON, or raise Problem: 415, 413 or 400."""
    _must_be_json_content()
    return parsed(read_raw(limit=limit))


def read_json_or_nothing() -> Any:
    """Return the body as JSON, None when there is none, whatever type it was announced with; else as `read_json`."""
    raw = read_raw()
    if not raw:
        return None
    _must_be_json_content()
    return parsed(raw)


def parsed(raw: bytes) -> Any:
    """Return what these bytes say in strict JSON, or raise Problem."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise Problem("not-json", f"The body is not JSON: {_reason(error)}.") from error
    if is_nested_deeper(value):
        raise _too_deep()
    return value


def _must_be_json_content() -> None:
    if request.mimetype != "application/json":
        raise Problem("not-json-content", "Send the body with Content-Type: application/json.")


def _too_large(limit: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The body may have at most {limit // 1024} KiB.")


def _read_at_most(limit: int) -> bytes:
    # The stream gets no limit: werkzeug's cuts a chunked body that is too long instead of refusing it.
    stream, raw = get_input_stream(request.environ), bytearray()
    while chunk := stream.read(min(_CHUNK, limit - len(raw))):
        raw += chunk
    return bytes(raw)


def _no_name_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object names a field twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number if _is_exact(number, digits) else RoundedNumber(digits)


def _is_exact(number: float, digits: str) -> bool:
    """Tell whether the float's own shortest text is the number that was sent."""
    try:
        return Decimal(repr(number)) == Decimal(digits)
    except ArithmeticError:  # an exponent beyond measure: nearly zero, and not zero
        return False


def _too_deep() -> Problem:
    return Problem("not-json", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _reason(error: ValueError) -> str:
    """Say what is wrong without quoting the body."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error) if len(str(error)) < 100 else "a number is too long"


def read_as(body: Any, model: type[AnyBody], *, outcome: str) -> AnyBody:
    """Read a JSON body by its model; raise Problem naming every field that is wrong, and what became of it."""
    if not isinstance(body, dict):
        raise Problem("invalid-request", "The body must be a JSON object.", errors=[])
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(error, outcome) from error
