"""Finding cancellations for the list: which filters there are, and two queries a page."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.idempotency import LONGEST_KEY, is_key
from shared.models import STATUSES, Cancellation, Claim
from shared.setting_values import PARTNER_CODE
from webhook_gateway import paging
from webhook_gateway.resources import CancellationList, shown


def _status(value: str) -> str:
    if value not in STATUSES:
        raise ValueError(f"must be one of {', '.join(STATUSES)}")
    return value


def _key(value: str) -> str:
    if not is_key(value):
        raise ValueError(f"must be 1 to {LONGEST_KEY} visible characters")
    return value


class ListQuery(BaseModel):
    """The list's query parameters; none is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[str | None, AfterValidator(_status), Field(json_schema_extra={"enum": list(STATUSES)})] = None
    booking_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = None
    idempotency_key: Annotated[
        str | None, AfterValidator(_key), Field(json_schema_extra={"pattern": f"^[!-~]{{1,{LONGEST_KEY}}}$"})
    ] = None
    batch_id: Annotated[UUID | None, Field(description="Of this batch only")] = None
    partner: Annotated[str | None, Field(pattern=PARTNER_CODE, description="Of this partner only")] = None
    limit: paging.Limit = 50
    cursor: paging.Cursor = None


def parse(sent: Mapping[str, Sequence[str]]) -> ListQuery:
    """Read query parameters; raise Problem naming every one that is unknown, wrong or given twice."""
    return paging.read(ListQuery, sent)


def page(session: Session, query: ListQuery, *, caller: str | None) -> CancellationList:
    """Return one page, newest first; only one caller's cancellations unless `caller` is None."""
    wanted = select(Cancellation).order_by(Cancellation.id.desc()).limit(query.limit + 1)
    for column, value in (
        (Cancellation.caller, caller),
        (Cancellation.status, query.status),
        (Cancellation.booking_id, query.booking_id),
        (Cancellation.idempotency_key, query.idempotency_key),
        (Cancellation.batch_id, query.batch_id),
        (Cancellation.partner, query.partner),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if query.cursor is not None:
        wanted = wanted.where(Cancellation.id < paging.id_at(query.cursor))
    rows = session.scalars(wanted).all()
    kept = rows[: query.limit]
    claims = _newest_claims(session, [row.id for row in kept])
    items = [shown(row, claims.get(row.id)) for row in kept]
    return CancellationList(items=items, next_cursor=paging.cursor_at(kept[-1].id) if len(rows) > len(kept) else None)


def _newest_claims(session: Session, ids: Sequence[UUID]) -> dict[UUID, Claim]:
    if not ids:
        return {}
    oldest_first = select(Claim).where(Claim.cancellation_id.in_(ids)).order_by(Claim.id)
    return {claim.cancellation_id: claim for claim in session.scalars(oldest_first)}
