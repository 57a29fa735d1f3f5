"""How many webhooks came, hour by hour: all that is kept of those that nobody we know has signed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from shared.db import Transaction, now_plus
from shared.webhook_models import WebhookTally


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Webhooks of one kind, since such were last written down."""

    source: str
    """`xclaim` or `xcover`."""
    verdict: str
    """What became of them, in a word: `stored`, `repeat`, `not_verified`, …"""
    key_id: str
    """The configured key that verified them; empty where none did."""
    count: int
    sample: Mapping[str, Any] | None = None
    """One of them, without secrets and without its body."""


def add(tx: Transaction, counted: Sequence[Counted]) -> None:
    """Add to the present hour's figures, by the database's clock; the newest sample stays."""
    now = tx.session.scalars(select(now_plus(0))).one()
    insert = sqlite.insert if tx.session.get_bind().dialect.name == "sqlite" else postgresql.insert
    # In one order, so that two gateways that write the same rows never wait for each other in a circle.
    for one in sorted(counted, key=lambda one: (one.source, one.verdict, one.key_id)):
        row = insert(WebhookTally).values(
            hour=now.replace(minute=0, second=0, microsecond=0),
            source=one.source,
            verdict=one.verdict,
            key_id=one.key_id,
            count=one.count,
            last_at=now,
            sample=None if one.sample is None else dict(one.sample),
        )
        tx.session.execute(
            row.on_conflict_do_update(
                index_elements=["hour", "source", "verdict", "key_id"],
                set_={
                    "count": WebhookTally.count + row.excluded.count,
                    "last_at": row.excluded.last_at,
                    "sample": func.coalesce(row.excluded.sample, WebhookTally.sample),
                },
            )
        )
