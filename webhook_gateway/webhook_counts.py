"""How many webhooks came, hour by hour: the only trace of those that were not verified."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db import now_plus
from shared.webhook_models import WebhookTally
from shared.webhook_selection import Instant
from webhook_gateway.resources import time
from webhook_gateway.webhook_resources import TallyShown, WebhookTallies

MOST = 1000
_DAY = 24 * 3600


class TalliesQuery(BaseModel):
    """From when on they are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Annotated[Instant | None, Field(description="From the hour in which this falls; unset: a day ago")] = None


def since(session: Session, first: datetime | None) -> WebhookTallies:
    """Return the counts of every hour from `first` on, newest first; of a day when it is None."""
    first = first or session.scalars(select(now_plus(-_DAY))).one()
    newest = (
        select(WebhookTally)
        .where(WebhookTally.hour >= first.replace(minute=0, second=0, microsecond=0))
        .order_by(WebhookTally.hour.desc(), WebhookTally.source, WebhookTally.verdict, WebhookTally.key_id)
        .limit(MOST + 1)
    )
    rows = session.scalars(newest).all()
    return WebhookTallies(items=[_shown(row) for row in rows[:MOST]], is_complete=len(rows) <= MOST)


def _shown(row: WebhookTally) -> TallyShown:
    return TallyShown(
        hour=time(row.hour),
        source=row.source,
        verdict=row.verdict,
        key_id=row.key_id or None,
        count=row.count,
        last_at=time(row.last_at),
        sample=row.sample,
    )
