"""The list of cancellations, and one cancellation: everything that answers why it stands where it stands."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request
from sqlalchemy.orm import Session

from shared import audit, claims, waiting
from shared.models import Cancellation
from shared.problems import Problem, slugs
from shared.selection import Selection, newest
from webhook_gateway import callbacks, cancellations, current, listing, timeline, webhook_listing
from webhook_gateway.console import offers
from webhook_gateway.console.door import blueprint, page
from webhook_gateway.console.journey import picture
from webhook_gateway.resources import CancellationList, CancellationResource, TransitionShown, shown

FILTERS = tuple(name for name in listing.ListQuery.model_fields if name not in {"limit", "cursor"})
"""Whatever the interface's own list can be asked for."""
MOST_ALIKE = 100
ENTRIES = 50
"""Of the audit log, and webhooks, of one cancellation."""


@blueprint.get("/cancellations")
def find() -> Response:
    """Find cancellations, newest first."""
    sent = asked()
    try:
        query = listing.parse({name: [value] for name, value in sent.items()})
        with current.database().reading() as session:
            found = listing.page(session, query, caller=None)
        refusal: Mapping[str, Any] | None = None
    except Problem as problem:
        found, refusal = CancellationList(items=[], next_cursor=None), problem.document
    return page(
        "cancellations.html", status=200 if refusal is None else 400, found=found, sent=sent, refusal=refusal,
        filters=FILTERS, slugs=slugs(),
    )  # fmt: skip


@blueprint.get("/cancellations/<uuid:cancellation_id>")
def cancellation(cancellation_id: UUID) -> Response:
    """Show one with everything that is known of it."""
    return shown_page(cancellation_id)


def shown_page(cancellation_id: UUID, *, refusal: Problem | None = None) -> Response:
    """Show one; with why what was pressed was refused."""
    with current.database().reading() as session:
        row = cancellations.visible(session, cancellation_id)
        resource = shown(row, claims.of_cancellation(session, row.id))
        known = {"row": resource, "caller": row.caller, **_story(session, row, resource)}
    known["refusal"] = None if refusal is None else refusal.document
    return page("cancellation.html", status=200 if refusal is None else refusal.status, **known)


def asked() -> dict[str, str]:
    """Return the parameters of this request that are not empty: a form sends all of its fields."""
    return {name: value.strip() for name, value in request.args.items() if value.strip() and name != "said"}


def _story(session: Session, row: Cancellation, resource: CancellationResource) -> dict[str, Any]:
    story = timeline.of(session, row.id).items
    of_it = webhook_listing.ListQuery(cancellation_id=row.id, limit=ENTRIES)
    return {
        "why": waiting.why(session, row, settings=current.settings()),
        "story": story,
        "calls": [event for event in story if event.kind == "call"],
        "picture": picture(resource, [event for event in story if isinstance(event, TransitionShown)]),
        "webhooks": webhook_listing.listed(session, of_it, partners=current.settings().partner_codes).items,
        "callbacks": callbacks.listed(session, row),
        "entries": audit.entries(session, limit=ENTRIES, cancellation_id=row.id),
        "offers": offers.of(row),
        "alike": _alike(session, row),
    }


def _alike(session: Session, row: Cancellation) -> dict[str, Any] | None:
    """Return how many others stand there with the same problem, counted up to MOST_ALIKE; None without a problem."""
    slug = str((row.problem or {}).get("type", "")).removeprefix("/problems/")
    if slug not in slugs():
        return None
    found = newest(session, Selection(status=row.status, problem=slug), limit=MOST_ALIKE + 1).rows
    return {"problem": slug, "count": len([one for one in found if one.id != row.id]), "most": MOST_ALIKE}
