"""Which keys verify webhooks, and whether one may go: what they signed, and the open claims that still need them.

A key is told by its id and its place in the setting, never by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.config import WebSettings
from shared.db import now_plus
from shared.models import Claim
from shared.webhook_models import WebhookTally
from shared.xclaim.signature import key_id
from shared.xcover.webhooks import key_id as xcover_key_id
from webhook_gateway.resources import time_or_none
from webhook_gateway.webhook_resources import WebhookKey, WebhookKeys

RESTS_AFTER = timedelta(days=7)
"""A key that signed something since may be in use where no claim of ours tells: on an address set up by hand."""


@dataclass(frozen=True, kw_only=True)
class _Use:
    first_at: datetime | None = None
    last_at: datetime | None = None
    events: int = 0


_UNUSED = _Use()


def of(session: Session, partners: Sequence[WebSettings]) -> WebhookKeys:
    """Return every configured key, then those that open claims need although they are configured no more."""
    now = session.scalars(select(now_plus(0))).one()
    uses, open_claims = _uses(session), _open_claims(session)
    unknown = open_claims.pop(None, 0)
    items = []
    for partner in partners:
        names = [key_id(key.get_secret_value()) for key in partner.xclaim_webhook_keys]
        for place, name in enumerate(names, start=1):
            use, needed = uses.get(("xclaim", name), _UNUSED), open_claims.pop(name, 0)
            said = _xclaim_key(place, use, needed, unknown, now=now)
            items.append(_shown("xclaim", name, place, partner=partner, use=use, open_claims=needed, said=said))
    for name, needed in sorted(open_claims.items()):
        use = uses.get(("xclaim", name), _UNUSED)
        items.append(_shown("xclaim", name, None, use=use, open_claims=needed, said=_missing(needed)))
    if unknown:
        items.append(_shown("xclaim", None, None, use=_UNUSED, open_claims=unknown, said=_unknown(unknown)))
    for partner in partners:
        for place, key in enumerate(partner.xcover_webhook_keys, start=1):
            use = uses.get(("xcover", xcover_key_id(key)), _UNUSED)
            said = _xcover_key(use, is_only=len(partner.xcover_webhook_keys) == 1, now=now)
            name = xcover_key_id(key)
            items.append(_shown("xcover", name, place, partner=partner, use=use, open_claims=0, said=said))
    return WebhookKeys(items=items)


def _uses(session: Session) -> dict[tuple[str, str], _Use]:
    counted = (
        select(
            WebhookTally.source,
            WebhookTally.key_id,
            func.min(WebhookTally.hour),
            func.max(WebhookTally.last_at),
            func.sum(WebhookTally.count),
        )
        .where(WebhookTally.key_id != "")  # verified: by whatever came of it, its sender has the key
        .group_by(WebhookTally.source, WebhookTally.key_id)
    )
    return {
        (source, name): _Use(first_at=first_at, last_at=last_at, events=int(events))
        for source, name, first_at, last_at, events in session.execute(counted)
    }


def _open_claims(session: Session) -> dict[Any, int]:
    """Return how many claims that are not closed use each key; None stands for an unknown one."""
    counted = select(Claim.webhook_key_id, func.count()).where(Claim.closed_at.is_(None))
    return {row[0]: row[1] for row in session.execute(counted.group_by(Claim.webhook_key_id))}


def _shown(
    source: str,
    name: str | None,
    place: int | None,
    *,
    use: _Use,
    open_claims: int,
    said: str,
    partner: WebSettings | None = None,
) -> WebhookKey:
    return WebhookKey(
        source=source,
        partner=None if partner is None else partner.xcover_partner_code,
        key_id=name,
        position=place,
        first_used_at=time_or_none(use.first_at),
        last_used_at=time_or_none(use.last_at),
        events=use.events,
        open_claims=open_claims,
        said=said,
    )


def _xclaim_key(place: int, use: _Use, open_claims: int, unknown: int, *, now: datetime) -> str:
    since = _since(use, now)
    if place == 1:
        return f"in use for new claims; {since}"
    if open_claims:
        return f"{since}; {_still_used(open_claims)}: keep it"
    if unknown:
        return f"{since}; {_counted(unknown)} may use it, whose key is not known: keep it until they are closed"
    if not _rests(use, now):
        return f"{since}; no open claim uses it, but a receiver set up by hand may: keep it for now"
    return f"may be removed: {since}, and no open claim uses it"


def _xcover_key(use: _Use, *, is_only: bool, now: datetime) -> str:
    since = _since(use, now)
    if is_only:
        return f"the only one; {since}"
    return (
        f"may be removed, unless XCover has yet to begin with it: {since}" if _rests(use, now) else f"in use; {since}"
    )


def _missing(open_claims: int) -> str:
    return (
        f"not configured, but {_still_used(open_claims)}: their webhooks are refused; put it back, anywhere but in the "
        "first place"
    )


def _unknown(open_claims: int) -> str:
    whose = "its key" if open_claims == 1 else "their keys"
    return f"{_counted(open_claims)}, {whose} not known: opened before it was recorded, or not sent yet"


def _rests(use: _Use, now: datetime) -> bool:
    return use.last_at is None or now - use.last_at >= RESTS_AFTER


def _since(use: _Use, now: datetime) -> str:
    return "nothing signed with it yet" if use.last_at is None else f"unused for {_length(now - use.last_at)}"


def _length(of_time: timedelta) -> str:
    seconds = max(int(of_time.total_seconds()), 0)
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds // size} {unit}{'' if seconds // size == 1 else 's'}"
    return "less than a minute"


def _still_used(count: int) -> str:
    return f"{_counted(count)} still {'uses' if count == 1 else 'use'} it"


def _counted(open_claims: int) -> str:
    return "1 open claim" if open_claims == 1 else f"{open_claims} open claims"
