"""Finding cancellations for the list: which filters there are, what a cursor means, and two queries a page."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.idempotency import LONGEST_KEY, is_key
from shared.models import STATUSES, Cancellation, Claim
from shared.problems import Problem
from webhook_gateway.resources import CancellationList, shown

MOST = 200
_ID_BYTES = 16


def _status(value: str) -> str:
    if value not in STATUSES:
        raise ValueError(f"must be one of {', '.join(STATUSES)}")
    return value


def _key(value: str) -> str:
    if not is_key(value):
        raise ValueError(f"must be 1 to {LONGEST_KEY} visible characters")
    return value


def _limit(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,3}", value):
        raise ValueError(f"must be a whole number from 1 to {MOST}")
    return int(value) if isinstance(value, str) else value


def _cursor(value: str) -> str:
    if _id_of(value) is None:
        raise ValueError("must be a next_cursor of this list, unchanged")
    return value


class ListQuery(BaseModel):
    """The list's query parameters; none is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[str | None, AfterValidator(_status), Field(json_schema_extra={"enum": list(STATUSES)})] = None
    booking_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = None
    idempotency_key: Annotated[str | None, AfterValidator(_key), Field(max_length=LONGEST_KEY)] = None
    limit: Annotated[int, BeforeValidator(_limit), Field(ge=1, le=MOST)] = 50
    cursor: Annotated[str | None, AfterValidator(_cursor), Field(description="`next_cursor` of the page before")] = None


def parse(sent: Mapping[str, Sequence[str]]) -> ListQuery:
    """Read query parameters; raise Problem naming every one that is unknown, wrong or given twice."""
    errors = [
        {"parameter": name, "problem": "is given more than once"} for name, values in sent.items() if len(values) > 1
    ]
    try:
        query = ListQuery.model_validate({name: values[0] for name, values in sent.items()})
    except ValidationError as error:
        errors += [_complaint(dict(item)) for item in error.errors(include_url=False, include_input=False)]
        query = ListQuery()
    if errors:
        names = ", ".join(sorted({item["parameter"] for item in errors}))
        raise Problem("invalid-parameter", f"Wrong or unknown: {names}.", errors=errors)
    return query


def page(session: Session, query: ListQuery, *, caller: str | None) -> CancellationList:
    """Return one page, newest first; only one caller's cancellations unless `caller` is None."""
    wanted = select(Cancellation).order_by(Cancellation.id.desc()).limit(query.limit + 1)
    for column, value in (
        (Cancellation.caller, caller),
        (Cancellation.status, query.status),
        (Cancellation.booking_id, query.booking_id),
        (Cancellation.idempotency_key, query.idempotency_key),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if query.cursor is not None:
        wanted = wanted.where(Cancellation.id < _id_of(query.cursor))
    rows = session.scalars(wanted).all()
    kept = rows[: query.limit]
    claims = _newest_claims(session, [row.id for row in kept])
    items = [shown(row, claims.get(row.id)) for row in kept]
    return CancellationList(items=items, next_cursor=_cursor_at(kept[-1].id) if len(rows) > len(kept) else None)


def _newest_claims(session: Session, ids: Sequence[UUID]) -> dict[UUID, Claim]:
    if not ids:
        return {}
    oldest_first = select(Claim).where(Claim.cancellation_id.in_(ids)).order_by(Claim.id)
    return {claim.cancellation_id: claim for claim in session.scalars(oldest_first)}


def _cursor_at(row_id: UUID) -> str:
    return urlsafe_b64encode(row_id.bytes).rstrip(b"=").decode()


def _id_of(cursor: str) -> UUID | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{22}", cursor):
        return None
    try:
        found = urlsafe_b64decode(cursor + "==")
    except binascii.Error:
        return None
    return UUID(bytes=found) if len(found) == _ID_BYTES else None


def _complaint(item: dict[str, Any]) -> dict[str, str]:
    is_unknown = item["type"] == "extra_forbidden"
    message = "is not a parameter of this list" if is_unknown else str(item["msg"]).removeprefix("Value error, ")
    return {"parameter": ".".join(str(part) for part in item["loc"]), "problem": message}
