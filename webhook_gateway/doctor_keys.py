"""The doctor's look at webhook keys: are those there that open claims need, and does what comes in verify."""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.config import WebSettings
from shared.db import now_plus
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.doctor.patient import Patient
from shared.webhook_models import WebhookTally
from webhook_gateway import webhook_keys

LOOKED_BACK = timedelta(hours=2)
NOT_BY_CHANCE = 3
"""Refused webhooks in a row: a stranger at the door tries once or twice."""
_CHECK = "webhook-keys"


def webhook_keys_in_use(session: Session, patient: Patient) -> list[Finding]:
    """Name keys that are needed and missing, and sources whose webhooks do not verify any more."""
    if not isinstance(patient.settings, WebSettings):
        return [ok(_CHECK, "not seen from here: the gateway's settings are not complete in this environment")]
    keys = webhook_keys.of(session, patient.settings.partners()).items
    found = [
        wrong(_CHECK, f"key {key.key_id}: {key.said}")
        for key in keys
        if key.key_id is not None and key.position is None and key.open_claims
    ]
    found += [finding for source in ("xclaim", "xcover") for finding in _of_source(session, source)]
    if found:
        return found
    configured = sum(key.position is not None for key in keys)
    return [ok(_CHECK, f"{configured} configured; what came in lately verified, and no open claim needs another")]


def _of_source(session: Session, source: str) -> list[Finding]:
    refused_at, refused = _lately(session, source, WebhookTally.verdict == "not_verified")
    verified_at, _ = _lately(session, source, WebhookTally.key_id != "")
    if refused_at is None or (verified_at is not None and verified_at >= refused_at):
        return []
    said = f"{refused} webhook(s) to {source}'s address were refused lately, and none has verified since"
    return [wrong(_CHECK, said) if refused >= NOT_BY_CHANCE else warning(_CHECK, said)]


def _lately(session: Session, source: str, *which: object) -> tuple[datetime | None, int]:
    """Return when the last of these came, and how many did."""
    since = session.scalars(select(now_plus(-LOOKED_BACK.total_seconds()))).one()
    counted = select(func.max(WebhookTally.last_at), func.coalesce(func.sum(WebhookTally.count), 0)).where(
        WebhookTally.source == source,
        WebhookTally.last_at >= since,
        *which,  # type: ignore[arg-type]  # conditions
    )
    last_at, count = session.execute(counted).one()
    return last_at, int(count)
