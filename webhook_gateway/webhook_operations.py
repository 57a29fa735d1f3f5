"""/v1/webhooks: operators see what came in, have it handled again, and learn which keys are still needed."""

from uuid import UUID

from flask import Blueprint, Response, jsonify, request

from shared.problems import Problem
from webhook_gateway import auth, current, paging, webhook_counts, webhook_keys, webhook_listing, webhook_replaying
from webhook_gateway.bodies import read_json, read_json_or_nothing
from webhook_gateway.resources import Shown

blueprint = Blueprint("webhook_operations", __name__, url_prefix="/v1/webhooks")
blueprint.before_request(auth.require_sight_of_everything)  # for all: one that comes later is not forgotten


@blueprint.get("")
def list_them() -> Response:
    """List webhooks, newest first."""
    query = paging.read(webhook_listing.ListQuery, request.args.to_dict(flat=False))
    with current.database().reading() as session:
        return _answer(webhook_listing.listed(session, query, partners=current.settings().partner_codes))


@blueprint.get("/<uuid:webhook_id>")
def show(webhook_id: UUID) -> Response:
    """Show one with its body."""
    with current.database().reading() as session:
        found = webhook_listing.one(session, webhook_id)
    if found is None:
        raise _not_found(webhook_id)
    return _answer(found)


@blueprint.post("/<uuid:webhook_id>/replay")
def replay_one(webhook_id: UUID) -> Response:
    """Have one handled again."""
    body = read_json_or_nothing()
    asked = webhook_replaying.parse({} if body is None else body, webhook_replaying.ReplayOneBody)
    done = webhook_replaying.replay_one(webhook_id, is_dry=asked.dry_run, by=auth.caller())
    if not done.items:
        raise _not_found(webhook_id)
    return _answer(done)


@blueprint.post("/replay")
def replay_those() -> Response:
    """Have all handled again that some filters mean, or tell what that would change."""
    asked = webhook_replaying.parse(read_json(), webhook_replaying.ReplayBody)
    return _answer(webhook_replaying.replay_those(asked, by=auth.caller()))


@blueprint.get("/keys")
def keys() -> Response:
    """Tell which keys are in use."""
    settings = current.settings()
    with current.database().reading() as session:
        return _answer(webhook_keys.of(session, settings.partners()))


@blueprint.get("/tallies")
def tallies() -> Response:
    """Tell how many came, hour by hour."""
    query = paging.read(webhook_counts.TalliesQuery, request.args.to_dict(flat=False))
    with current.database().reading() as session:
        return _answer(webhook_counts.since(session, query.since))


def _answer(shown: Shown) -> Response:
    return jsonify(shown.model_dump(mode="json"))


def _not_found(webhook_id: UUID) -> Problem:
    return Problem("not-found", f"There is no webhook {webhook_id}.")
