"""/v1/pauses: operators stop everything, a partner or a step, and see what is stopped."""

from flask import Blueprint, Response, jsonify

from shared import pauses
from shared.problems import Problem
from webhook_gateway import auth, current
from webhook_gateway.bodies import read_as, read_json
from webhook_gateway.steering_resources import PauseBody, Pauses, pause_shown

blueprint = Blueprint("pauses", __name__, url_prefix="/v1/pauses")
blueprint.before_request(auth.require_sight_of_everything)


@blueprint.get("")
def list_them() -> Response:
    """Show every pause in force."""
    return _in_force()


@blueprint.post("")
def pause() -> Response:
    """Begin nothing more of what is named; what is in hand ends first."""
    auth.require_operator()
    asked = read_as(read_json(), PauseBody, outcome="Nothing was done")
    codes = current.settings().partner_codes
    if asked.partner is not None and asked.partner not in codes:
        errors = [{"field": "partner", "problem": f"must be one of {', '.join(codes)}"}]
        raise Problem("invalid-request", "Nothing was done; there is no such partner here.", errors=errors)
    with current.database().transaction() as tx:
        pauses.pause(tx, partner=asked.partner or pauses.ALL, step=asked.step, by=auth.actor(), note=asked.note)
    return _in_force()


@blueprint.post("/resume")
def resume() -> Response:
    """Take back exactly the pause that is named."""
    auth.require_operator()
    asked = read_as(read_json(), PauseBody, outcome="Nothing was done")
    with current.database().transaction() as tx:
        pauses.resume(tx, partner=asked.partner or pauses.ALL, step=asked.step, by=auth.actor(), note=asked.note)
    return _in_force()


def _in_force() -> Response:
    with current.database().reading() as session:
        shown = Pauses(items=[pause_shown(one) for one in pauses.in_force(session)])
    return jsonify(shown.model_dump(mode="json"))
