"""Finding cancellations for the list: which filters there are, and a page of what they mean."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.idempotency import LONGEST_KEY, is_key
from shared.models import STATUSES, STEPS, Claim
from shared.problems import slugs
from shared.selection import Selection, newest
from shared.setting_values import MAX_CALLER_NAME, PARTNER_CODE
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


def _step(value: str) -> str:
    if value not in STEPS:
        raise ValueError(f"must be one of {', '.join(STEPS)}")
    return value


def _slug(value: str) -> str:
    if value not in slugs():
        raise ValueError("must be the last part of a problem's type, as in docs/journeys.md")
    return value


def _name(value: str) -> str:
    if not 1 <= len(value) <= MAX_CALLER_NAME or not value.isprintable():
        raise ValueError(f"must be a caller's name, of at most {MAX_CALLER_NAME} characters")
    return value


StatusName = Annotated[str, AfterValidator(_status), Field(json_schema_extra={"enum": list(STATUSES)})]
StepName = Annotated[str, AfterValidator(_step), Field(json_schema_extra={"enum": list(STEPS)})]
ProblemSlug = Annotated[str, AfterValidator(_slug), Field(json_schema_extra={"enum": list(slugs())})]
CallerName = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^[!-~]{{1,{MAX_CALLER_NAME}}}$"})
]
KeyText = Annotated[str, AfterValidator(_key), Field(json_schema_extra={"pattern": f"^[!-~]{{1,{LONGEST_KEY}}}$"})]
FOUND_BY = (
    "The id of a cancellation, a booking's in any case, an idempotency key, the id of a policy that is or was in hand, "
    "or a claim's reference or id"
)


class ListQuery(BaseModel):
    """The list's query parameters; none is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: StatusName | None = None
    booking_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = None
    idempotency_key: KeyText | None = None
    batch_id: Annotated[UUID | None, Field(description="Of this batch only")] = None
    partner: Annotated[str | None, Field(pattern=PARTNER_CODE, description="Of this partner only")] = None
    next_step: StepName | None = None
    problem: Annotated[ProblemSlug | None, Field(description="With this problem: the last part of its `type`")] = None
    caller: Annotated[CallerName | None, Field(description="Asked for by this caller")] = None
    search: Annotated[KeyText | None, Field(description=FOUND_BY)] = None
    limit: paging.Limit = 50
    cursor: paging.Cursor = None

    def selection(self, *, caller: str | None) -> Selection:
        """Return what is meant; only one caller's unless `caller` is None."""
        meant = self.model_dump(exclude={"limit", "cursor", "caller"})
        return Selection(**meant, caller=caller or self.caller)


def parse(sent: Mapping[str, Sequence[str]]) -> ListQuery:
    """Read query parameters; raise Problem naming every one that is unknown, wrong or given twice."""
    return paging.read(ListQuery, sent)


def page(session: Session, query: ListQuery, *, caller: str | None) -> CancellationList:
    """Return one page, newest first; only one caller's cancellations unless `caller` is None.

    It may be short, even empty, although `next_cursor` leads on: so many rows are looked at for one page at most.
    """
    if caller is not None and query.caller not in {None, caller}:
        return CancellationList(items=[], next_cursor=None)
    found = newest(
        session, query.selection(caller=caller), limit=query.limit,
        before=None if query.cursor is None else paging.id_at(query.cursor),
    )  # fmt: skip
    claims = _newest_claims(session, [row.id for row in found.rows])
    items = [shown(row, claims.get(row.id)) for row in found.rows]
    return CancellationList(items=items, next_cursor=None if found.next is None else paging.cursor_at(found.next))


def _newest_claims(session: Session, ids: Sequence[UUID]) -> dict[UUID, Claim]:
    if not ids:
        return {}
    oldest_first = select(Claim).where(Claim.cancellation_id.in_(ids)).order_by(Claim.id)
    return {claim.cancellation_id: claim for claim in session.scalars(oldest_first)}
