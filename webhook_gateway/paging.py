"""What every list has in common: its limit, its opaque cursor, and how query parameters are read."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from shared.problems import Problem

MOST = 200
_CURSOR = r"^[A-Za-z0-9_-]{21}[AQgw]$"
"""Sixteen bytes in base64 without padding: the last letter holds two bits."""

_Query = TypeVar("_Query", bound=BaseModel)


def read(query: type[_Query], sent: Mapping[str, Sequence[str]]) -> _Query:
    """Read query parameters; raise Problem naming every one that is unknown, wrong or given twice."""
    errors = [
        {"parameter": name, "problem": "is given more than once"} for name, values in sent.items() if len(values) > 1
    ]
    found: _Query | None = None
    try:
        found = query.model_validate({name: values[0] for name, values in sent.items()})
    except ValidationError as error:
        errors += [_complaint(dict(item)) for item in error.errors(include_url=False, include_input=False)]
    if found is None or errors:
        names = ", ".join(sorted({item["parameter"] for item in errors}))
        raise Problem("invalid-parameter", f"Wrong or unknown: {names}.", errors=errors)
    return found


def cursor_at(row_id: UUID) -> str:
    """Return the cursor of a page that ends with this row."""
    return urlsafe_b64encode(row_id.bytes).rstrip(b"=").decode()


def id_at(cursor: str) -> UUID | None:
    """Return the row with which the page before ended, or None when this is no cursor."""
    if not re.fullmatch(_CURSOR, cursor):
        return None
    return UUID(bytes=urlsafe_b64decode(cursor + "=="))


def _limit(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,3}", value):
        raise ValueError(f"must be a whole number from 1 to {MOST}")
    return int(value) if isinstance(value, str) else value


def _cursor(value: str | None) -> str | None:
    if value is not None and id_at(value) is None:
        raise ValueError("must be a next_cursor of this list, unchanged")
    return value


def _complaint(item: dict[str, Any]) -> dict[str, str]:
    is_unknown = item["type"] == "extra_forbidden"
    message = "is not a parameter of this list" if is_unknown else str(item["msg"]).removeprefix("Value error, ")
    return {"parameter": ".".join(str(part) for part in item["loc"]), "problem": message}


Limit = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(_limit)]
Cursor = Annotated[
    str | None,
    AfterValidator(_cursor),
    Field(description="`next_cursor` of the page before", json_schema_extra={"pattern": _CURSOR}),
]
