"""The inbox of webhooks: what came in, what became of it, and having it handled again."""

from typing import Any, get_args
from uuid import UUID

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from shared.problems import Problem
from shared.webhook_selection import Outcome, Selection, Source
from webhook_gateway import auth, current, paging, webhook_keys, webhook_listing, webhook_replaying
from webhook_gateway.console.cancellations import asked
from webhook_gateway.console.door import blueprint, page
from webhook_gateway.webhook_resources import Replay, WebhookList

FILTERS = tuple(Selection.model_fields)
MOST = 1_000
"""Webhooks that one press has handled again; the next press goes on with older ones."""


@blueprint.get("/webhooks")
def inbox() -> Response:
    """Show a page of the inbox."""
    return _inbox(asked())


@blueprint.post("/webhooks/replay")
def replay_those() -> Response:
    """Tell what handling those again that the filters mean would change; with `confirm`, do it."""
    sent = {name: request.form[name].strip() for name in FILTERS if request.form.get(name, "").strip()}
    body = {**sent, "limit": MOST, "dry_run": "confirm" not in request.form}
    try:
        asked_for = webhook_replaying.parse(body, webhook_replaying.ReplayBody)
    except Problem as refusal:
        return _inbox(sent, refusal=refusal)
    return _inbox(sent, replay=webhook_replaying.replay_those(asked_for, by=auth.caller()))


@blueprint.get("/webhooks/<uuid:webhook_id>")
def webhook(webhook_id: UUID) -> Response:
    """Show one with its body."""
    return _one(webhook_id)


@blueprint.post("/webhooks/<uuid:webhook_id>/replay")
def replay_one(webhook_id: UUID) -> Response:
    """Tell what handling it again would change; with `confirm`, do it."""
    is_dry = "confirm" not in request.form
    done = webhook_replaying.replay_one(webhook_id, is_dry=is_dry, by=auth.caller())
    if not done.items:
        raise _not_found(webhook_id)
    if is_dry:
        return _one(webhook_id, replay=done)
    said = "replayed" if done.replayed else "nothing"
    return redirect(url_for("console.webhook", webhook_id=webhook_id, said=said), code=303)


@blueprint.get("/webhooks/keys")
def keys() -> Response:
    """Show which keys are in use."""
    with current.database().reading() as session:
        return page("webhook_keys.html", keys=webhook_keys.of(session, current.settings().partners()).items)


def _inbox(sent: dict[str, str], *, refusal: Problem | None = None, replay: Replay | None = None) -> Response:
    found = WebhookList(items=[], next_cursor=None)
    if refusal is None:
        try:
            query = paging.read(webhook_listing.ListQuery, {name: [value] for name, value in sent.items()})
            with current.database().reading() as session:
                found = webhook_listing.listed(session, query, partners=current.settings().partner_codes)
        except Problem as problem:
            refusal = problem
    return page(
        "webhooks.html", status=200 if refusal is None else refusal.status, found=found, sent=sent,
        refusal=None if refusal is None else refusal.document, replay=replay, sources=get_args(Source),
        outcomes=get_args(Outcome),
    )  # fmt: skip


def _one(webhook_id: UUID, **more: Any) -> Response:
    with current.database().reading() as session:
        found = webhook_listing.one(session, webhook_id)
    if found is None:
        raise _not_found(webhook_id)
    return page("webhook.html", webhook=found, **more)


def _not_found(webhook_id: UUID) -> Problem:
    return Problem("not-found", f"There is no webhook {webhook_id}.")
