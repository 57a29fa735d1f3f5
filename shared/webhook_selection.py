"""Which stored webhooks are meant: filters, and pages that stay where they are while others arrive.

A page is found without counting and without skipping over earlier ones, and in a time that does not grow with the
number of webhooks:

    claim, cancellation_id, booking_id with source xclaim
        by the index over deliveries by claim, whatever else is asked; what no one has handled yet is in sight only
    since, until
        by ids, which are ordered by time
    every other filter
        among what is in sight: the newest LOOKED_THROUGH deliveries below the cursor and inside since and until. Such
        a page may hold few or none; the next one goes on from there
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, or_, select, union_all
from sqlalchemy.orm import Session

from shared.cancellation_request import VendorId
from shared.models import Claim
from shared.webhook_models import WebhookDelivery

LOOKED_THROUGH = 50_000
"""Deliveries per page where no index answers: a tenth of a second."""
CLOCKS_APART = timedelta(hours=1)
"""Ids are dated by the host that made them, arrivals by the database: far more than two clocks ever differ."""
FIRST_YEAR, LAST_YEAR = 1972, 9996
"""Leap years, before and after everything. Between them, moving a time by hours or zones leaves it a time."""
WAITING = "waiting"
"""The outcome of what is not handled yet."""

Condition = ColumnElement[bool]

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _instant(value: object) -> object:
    if isinstance(value, datetime) or value is None:
        return value
    try:
        read = datetime.fromisoformat(value.upper()) if isinstance(value, str) and _TIME.fullmatch(value) else None
    except ValueError:
        read = None
    if read is None:
        raise ValueError("must be a time by RFC 3339 with its zone, such as 2026-01-31T00:00:00Z")
    return read.replace(year=min(max(read.year, FIRST_YEAR), LAST_YEAR)).astimezone(UTC)


Instant = Annotated[
    datetime, BeforeValidator(_instant, json_schema_input_type=str), Field(json_schema_extra={"format": "date-time"})
]
Source = Literal["xclaim", "xcover"]
Outcome = Literal["applied", "unchanged", "ignored", "kept", "waiting"]


class Selection(BaseModel):
    """Filters; a webhook is meant when every one that is given fits."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    source: Source | None = None
    outcome: Annotated[Outcome | None, Field(description="`waiting`: not handled yet")] = None
    booking_id: Annotated[VendorId | None, Field(description="With `source` xclaim the quickest")] = None
    claim: Annotated[
        str | None, Field(pattern=r"^[!-~]{1,64}$", description="A claim's reference or id, at XClaim or in our table")
    ] = None
    cancellation_id: Annotated[UUID | None, Field(strict=False)] = None
    key_id: Annotated[
        str | None, Field(pattern=r"^[!-~]{1,16}$", description="The configured key that verified it")
    ] = None
    since: Annotated[Instant | None, Field(description="Received then or later")] = None
    until: Annotated[Instant | None, Field(description="Received before")] = None

    def is_everything(self) -> bool:
        """Tell whether no filter is given."""
        return all(getattr(self, name) is None for name in Selection.model_fields)

    def names_claims(self) -> bool:
        """Tell whether only webhooks of certain claims are meant; a booking has XCover's hints too."""
        is_about_its_claims = self.booking_id is not None and self.source == "xclaim"
        return self.claim is not None or self.cancellation_id is not None or is_about_its_claims


@dataclass(frozen=True, kw_only=True)
class Page:
    """Deliveries, newest first, and where the next page begins; None on the last one."""

    ids: tuple[UUID, ...]
    before: UUID | None


def page(
    session: Session, wanted: Selection, *, partners: Sequence[str], limit: int, before: UUID | None = None
) -> Page:
    """Return the newest deliveries that are meant, at most `limit`, all older than `before`."""
    between = _between(wanted, before)
    lowest = None if wanted.is_everything() else _end_of_sight(session, between)
    meant = [*between, *_conditions(wanted)]
    in_sight = meant if lowest is None else [*meant, WebhookDelivery.id >= lowest]
    if wanted.names_claims():
        found, rest = _of_claims(session, wanted, meant, in_sight, partners=partners), None
    elif wanted.booking_id is not None:
        found, rest = _of_claims(session, wanted, in_sight, in_sight, partners=partners), lowest
    else:
        found, rest = select(WebhookDelivery.id).where(*in_sight), lowest
    ids = session.scalars(found.order_by(found.selected_columns.id.desc()).limit(limit + 1)).all()
    return Page(ids=tuple(ids[:limit]), before=ids[limit - 1] if len(ids) > limit else rest)


def source_of(delivery: WebhookDelivery) -> Source:
    """Return who sent it. Its body does not tell: the same bytes from both are stored as one body."""
    return "xclaim" if delivery.booking_id is None else "xcover"


def _end_of_sight(session: Session, between: Sequence[Condition]) -> UUID | None:
    """Return the last delivery that this page looks at; None when it reaches the end."""
    newest = select(WebhookDelivery.id).where(*between).order_by(WebhookDelivery.id.desc())
    return session.scalar(newest.offset(LOOKED_THROUGH - 1).limit(1))  # of the index alone, and never farther


def _between(wanted: Selection, before: UUID | None) -> list[Condition]:
    bounds: list[Condition] = []
    if before is not None:
        bounds.append(WebhookDelivery.id < before)
    if wanted.since is not None:
        bounds.append(WebhookDelivery.id >= _first_id(wanted.since - CLOCKS_APART))
    if wanted.until is not None:
        bounds.append(WebhookDelivery.id < _first_id(wanted.until + CLOCKS_APART))
    return bounds


def _first_id(at: datetime) -> UUID:
    """Return the lowest UUIDv7 of a moment: its first 48 bits are milliseconds since 1970 (RFC 9562, 5.7)."""
    return UUID(int=max(int(at.timestamp() * 1000), 0) << 80)


def _conditions(wanted: Selection) -> list[Condition]:
    """Return what every delivery that is meant has, whatever it is about."""
    table = WebhookDelivery
    found: list[Condition] = []
    if wanted.source is not None:
        found.append(table.booking_id.is_(None) if wanted.source == "xclaim" else table.booking_id.is_not(None))
    if wanted.outcome == WAITING:
        found.append(table.next_attempt_at.is_not(None))
    elif wanted.outcome is not None:  # what has changed something may have to be tried once more
        found += [table.next_attempt_at.is_(None), table.outcome == wanted.outcome]
    if wanted.key_id is not None:
        found.append(table.key_id == wanted.key_id)
    if wanted.since is not None:
        found.append(table.received_at >= wanted.since)
    if wanted.until is not None:
        found.append(table.received_at < wanted.until)
    return found


def _of_claims(
    session: Session,
    wanted: Selection,
    meant: Sequence[Condition],
    in_sight: Sequence[Condition],
    *,
    partners: Sequence[str],
) -> Select[UUID]:
    """Return what finds the deliveries of the claims that are meant, and a booking's hints."""
    claims = session.execute(_claims(wanted, partners=partners)).all()
    table = WebhookDelivery
    found = [
        select(table.id).where(table.claim_id.in_([claim.id for claim in claims]), *meant),
        # What waits on a claim's own address is that claim's before anyone has handled it.
        select(table.id).where(
            table.token.in_([claim.webhook_token for claim in claims]),
            table.claim_id.is_(None),
            table.next_attempt_at.is_not(None),
            *in_sight,
        ),
    ]
    if not wanted.names_claims():
        found.append(select(table.id).where(table.booking_id == wanted.booking_id, *in_sight))
    # Found first and put in order then: a database may else read all there is in order until it has found enough.
    together = union_all(*found).cte("of_claims").prefix_with("MATERIALIZED")
    return select(together.c.id)


def _claims(wanted: Selection, *, partners: Sequence[str]) -> Select[UUID, str]:
    """Return what finds the claims that are meant; a booking has few."""
    found = select(Claim.id, Claim.webhook_token)
    if wanted.claim is not None:
        found = found.where(_is_named(wanted.claim, partners))
    if wanted.cancellation_id is not None:
        found = found.where(Claim.cancellation_id == wanted.cancellation_id)
    if wanted.booking_id is not None:
        found = found.where(Claim.partner.in_(partners), Claim.booking_id == wanted.booking_id)
    return found


def _is_named(name: str, partners: Sequence[str]) -> Condition:
    at_xclaim = or_(Claim.reference == name, and_(Claim.partner.in_(partners), Claim.claim_id == name))
    try:
        return or_(at_xclaim, Claim.id == UUID(name))
    except ValueError:
        return at_xclaim
