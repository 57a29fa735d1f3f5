"""Every query that a list, a search, a page or a figure makes, by name: what is explained small and timed large."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import audit, batches, overview, selection, steering
from shared.config import AcceptingSettings
from shared.models import Cancellation, Claim
from shared.selection import Selection
from shared.steering import Action
from shared.waiting import why
from webhook_gateway import metrics, timeline, webhook_listing

Question = Callable[[Session], object]


@dataclass(frozen=True, kw_only=True)
class Known:
    """Some rows of a seeded database to ask about."""

    rows: Mapping[str, Cancellation]
    """One of each status, from the middle of the past."""
    claim: Claim
    batch_id: UUID
    cursor: UUID
    """An id in the middle of the past."""


def known(session: Session) -> Known:
    """Choose them."""
    middle = session.scalars(select(Cancellation).order_by(Cancellation.id).offset(_count(session) // 2).limit(1)).one()
    statuses = session.scalars(select(Cancellation.status).distinct()).all()
    rows = {status: _one_of(session, status, middle.id) for status in statuses}
    claim = session.scalars(select(Claim).order_by(Claim.id.desc()).limit(1)).one()
    batch = session.scalars(select(Cancellation.batch_id).where(Cancellation.batch_id.is_not(None)).limit(1)).one()
    if batch is None:
        raise LookupError("the seeded database has no batch")
    return Known(rows=rows, claim=claim, batch_id=batch, cursor=middle.id)


def questions(about: Known, settings: AcceptingSettings) -> dict[str, Question]:
    """Return every question by its name."""
    return {**_lists(about), **_searches(about), **_pages(about, settings), **_figures(), **_steering(about)}


def _lists(about: Known) -> dict[str, Question]:
    wanted: dict[str, dict[str, Any]] = {
        "all": {},
        **{f"status {status}": {"status": status} for status in about.rows},
        "partner": {"partner": "SECOND"},
        "tiny partner": {"partner": "TINY"},
        "partner that nobody has": {"partner": "NOBODY"},
        "caller": {"caller": "shop"},
        "caller and status": {"caller": "shop", "status": "completed"},
        "caller and rare status": {"caller": "other", "status": "closed"},
        "caller that nobody is": {"caller": "nobody"},
        "partner and status": {"partner": "TINY", "status": "completed"},
        "partner and rare status": {"partner": "TINY", "status": "awaiting_premium_refund"},
        "step": {"next_step": "confirm"},
        "step and status": {"next_step": "confirm", "status": "needs_review"},
        "step that nobody is at": {"next_step": "cancel"},
        "problem": {"problem": "outcome-unsettled"},
        "problem of rejections": {"problem": "policy-already-cancelled"},
        "problem that nobody has": {"problem": "worker-crashed"},
        "problem, status and partner": {"problem": "outcome-unsettled", "status": "needs_review", "partner": "SECOND"},
        "batch": {"batch_id": about.batch_id},
        "batch and status": {"batch_id": about.batch_id, "status": "needs_review"},
        "booking": {"booking_id": about.claim.booking_id},
        "booking and status": {"booking_id": about.claim.booking_id, "status": "completed"},
        "key": {"idempotency_key": about.rows["completed"].idempotency_key},
        "key of a caller": {"idempotency_key": about.rows["completed"].idempotency_key, "caller": "shop"},
        "key that nobody has": {"idempotency_key": "none-such"},
    }
    first = {f"list: {name}": _list(Selection(**given)) for name, given in wanted.items()}
    middle = {
        f"list from the middle: {name}": _list(Selection(**given), about.cursor) for name, given in wanted.items()
    }
    return first | middle


def _list(wanted: Selection, before: UUID | None = None) -> Question:
    return lambda session: selection.newest(session, wanted, limit=50, before=before)


def _searches(about: Known) -> dict[str, Question]:
    row = about.rows["completed"]
    texts = {
        "id": str(row.id), "booking": row.booking_id, "booking in small letters": row.booking_id.lower(),
        "key": row.idempotency_key, "policy": row.quotes[0]["id"], "claim's reference": str(about.claim.reference),
        "claim's id": str(about.claim.claim_id), "nothing": "none-such",
    }  # fmt: skip
    found = {f"search: {name}": _list(Selection(search=text)) for name, text in texts.items()}
    return found | {"search: and status": _list(Selection(search=row.booking_id, status="completed"))}


def _pages(about: Known, settings: AcceptingSettings) -> dict[str, Question]:
    told = {f"why: {status}": _why(row, settings) for status, row in about.rows.items()}
    stories: dict[str, Question] = {
        f"timeline: {status}": _timeline(row.id) for status, row in list(about.rows.items())[:2]
    }
    return told | stories


def _why(row: Cancellation, settings: AcceptingSettings) -> Question:
    return lambda session: why(session, row, settings=settings)


def _timeline(row_id: UUID) -> Question:
    return lambda session: timeline.of(session, row_id)


def _figures() -> dict[str, Question]:
    return {
        "figures: by status": overview.by_status,
        "figures: overdue": overview.overdue,
        "figures: webhooks": overview.webhooks,
        "figures: callbacks": overview.callbacks,
        "figures: hourly": overview.hourly,
        **{f"metrics: {name}": ask for name, ask in metrics.FIGURES.items()},
    }


def _steering(about: Known) -> dict[str, Question]:
    return {
        "bulk: retry of a problem": _forecast(Action.RETRY, problem="outcome-unsettled"),
        "bulk: retry of a tiny partner": _forecast(Action.RETRY, partner="TINY"),
        "bulk: skip waits": _forecast(Action.SKIP_WAIT, partner="ABCDE"),
        "bulk: abort of a batch": _forecast(Action.ABORT, batch_id=about.batch_id),
        "bulk: abort of a caller": _forecast(Action.ABORT, caller="other"),
        "audit log": lambda session: audit.entries(session, limit=51),
        "audit log of one": lambda session: audit.entries(
            session, limit=51, cancellation_id=about.rows["needs_review"].id
        ),
        "batch": lambda session: batches.counts(session, about.batch_id),
        "webhooks": _webhooks(),
        "webhooks that wait": _webhooks(outcome="waiting"),
        "webhooks that were kept": _webhooks(outcome="kept"),
        "webhooks of a claim": _webhooks(claim=about.claim.reference),
        "webhooks of a cancellation": _webhooks(cancellation_id=str(about.claim.cancellation_id)),
    }


def _forecast(action: Action, **wanted: Any) -> Question:
    return lambda session: steering.forecast(session, Selection(**wanted), action)


def _webhooks(**given: Any) -> Question:
    query = webhook_listing.ListQuery(**given)
    return lambda session: webhook_listing.listed(session, query, partners=["ABCDE", "SECOND", "TINY"])


def _count(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(Cancellation)).one()


def _one_of(session: Session, status: str, before: UUID) -> Cancellation:
    of_status = select(Cancellation).where(Cancellation.status == status).order_by(Cancellation.id.desc()).limit(1)
    return session.scalars(of_status.where(Cancellation.id < before)).first() or session.scalars(of_status).one()
