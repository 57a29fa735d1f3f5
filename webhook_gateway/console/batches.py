"""Batches: the list, one with what became of its lines, and steering it."""

from typing import get_args
from uuid import UUID

from flask import redirect, url_for
from werkzeug.wrappers import Response

from shared import batches as stored
from shared.problems import Problem
from webhook_gateway import batch_resources, batches, current, paging
from webhook_gateway.console.cancellations import asked
from webhook_gateway.console.door import blueprint, page


@blueprint.get("/batches")
def batch_list() -> Response:
    """Show a page of batches."""
    query = paging.read(batches.ListQuery, {name: [value] for name, value in asked().items()})
    with current.database().reading() as session:
        found = batches.listed(session, query)
    return page("batches.html", found=found, is_first=query.cursor is None)


@blueprint.get("/batches/<uuid:batch_id>")
def batch(batch_id: UUID) -> Response:
    """Show one, and how many of its cancellations stand where."""
    return _shown(batch_id)


@blueprint.post("/batches/<uuid:batch_id>/<action>")
def steer_batch(batch_id: UUID, action: str) -> Response:
    """Pause, resume or call off."""
    known = {name: name for name in get_args(stored.Action)}
    if action not in known:
        raise Problem("not-found", "There is no such press.")
    try:
        batches.steer(batch_id, known[action])
    except Problem as refusal:
        if refusal.slug == "not-found":
            raise
        return _shown(batch_id, refusal=refusal)
    return redirect(url_for("console.batch", batch_id=batch_id, said="batch"), code=303)


def _shown(batch_id: UUID, *, refusal: Problem | None = None) -> Response:
    with current.database().reading() as session:
        found = batches.visible(session, batch_id)
        resource = batch_resources.shown(found, stored.counts(session, batch_id))
    problem = None if refusal is None else refusal.document
    return page(
        "batch.html", status=200 if refusal is None else refusal.status, batch=resource, caller=found.caller,
        refusal=problem,
    )  # fmt: skip
