"""Reads single fields out of JSON that someone else wrote. Knows no field's name and no HTTP.

Every reader raises `UnusableAnswer` that names the field and what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from shared.insurer.errors import UnusableAnswer
from shared.money import NotAnAmount, parse_decimal
from shared.redaction import clean_text

MAX_EXPONENT = 30  # a literal such as 1e999999 is a number to JSON, and a way to fill memory when written out
MAX_ID = 64  # characters of an id or reference that we store; the longest seen has 36
FIRST_YEAR, LAST_YEAR = 1970, 2200  # a time outside is a mistake, and near year 9999 arithmetic on it overflows
Object = Mapping[str, object]

T = TypeVar("T")


def object_at(value: object, what: str) -> Object:
    """Return the JSON object, or refuse whatever else is there."""
    if not isinstance(value, dict):
        raise UnusableAnswer(f"{what} is not a JSON object")
    return value


def optional_text(entry: Object, *names: str) -> str | None:
    """Return the first of these fields that is a non-empty string; absent, null and other types are None."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, str) and value:
            return clean_text(value)
    return None


def text(entry: Object, *names: str) -> str:
    """Return the first of these fields that is a non-empty string; one must be there."""
    found = optional_text(entry, *names)
    if found is None:
        raise UnusableAnswer(f"{names[0]} is missing or not a string")
    return found


def optional_identifier(entry: Object, *names: str) -> str | None:
    """Return the first of these fields that is a non-empty string, if we can store it: it is never shortened."""
    found = optional_text(entry, *names)
    if found is not None and len(found) > MAX_ID:
        raise UnusableAnswer(f"{names[0]} is longer than {MAX_ID} characters")
    return found


def identifier(entry: Object, *names: str) -> str:
    """Return the first of these fields that is an id or reference; one must be there."""
    text(entry, *names)
    return optional_identifier(entry, *names) or ""


def lenient(read: Callable[..., T | None], entry: Object, *names: str) -> T | None:
    """Return what `read` reads, or None where that is unusable: for fields that nothing depends on."""
    try:
        return read(entry, *names)
    except UnusableAnswer:
        return None


def optional_flag(entry: Object, *names: str) -> bool | None:
    """Return the first of these fields that is true or false, else None."""
    return next((value for value in map(entry.get, names) if isinstance(value, bool)), None)


def optional_amount(entry: Object, name: str) -> Decimal | None:
    """Return a number, given as a JSON number or as plain digits in a string, exactly as written."""
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return parse_decimal(value)
        except NotAnAmount as error:
            raise UnusableAnswer(f"{name} is not an amount: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise UnusableAnswer(f"{name} is not a number")
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > MAX_EXPONENT or len(str(number)) > 2 * MAX_EXPONENT:
        raise UnusableAnswer(f"{name} is not a plausible amount")
    return number


def optional_instant(entry: Object, *names: str) -> datetime | None:
    """Return an ISO 8601 time with its zone (`Z` and `+00:00` are in use) as aware UTC, or None for null."""
    read = _instant(entry, *names)
    if read is not None and not FIRST_YEAR <= read.year <= LAST_YEAR:
        raise UnusableAnswer(f"{names[0]} is not a plausible time: the year is {read.year}")
    return read


def optional_end(entry: Object, *names: str) -> datetime | None:
    """Return an instant until which something lasts; what lasts for ever is written with the year 9999."""
    read = _instant(entry, *names)
    if read is not None and read.year > LAST_YEAR:
        return datetime(LAST_YEAR, 12, 31, tzinfo=UTC)
    return optional_instant(entry, *names)


def _instant(entry: Object, *names: str) -> datetime | None:
    name = next((name for name in names if entry.get(name) is not None), None)
    if name is None:
        return None
    value = entry[name]
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
        if read is not None and read.tzinfo is not None:
            return read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnusableAnswer(f"{name} is not a possible time: {clean_text(str(value), limit=40)}") from error
    raise UnusableAnswer(f"{name} is not a time with a zone")


def entries(value: object, what: str) -> list[Object]:
    """Return the objects of a list, or of an object numbered "0", "1"; null entries are passed over.

    Both containers are in use for the same field, and a null stands where one policy failed.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        raise UnusableAnswer(f"{what} is neither a list nor a numbered object")
    return [object_at(entry, f"an entry of {what}") for entry in value if entry is not None]
