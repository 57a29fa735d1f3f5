"""POST /v1/cancellations/bulk: an operator's one press for many cancellations, told before it is done."""

from flask import Blueprint, Response, jsonify

from shared import steering
from webhook_gateway import auth, current, steering_resources
from webhook_gateway.bodies import read_as, read_json

blueprint = Blueprint("steering", __name__, url_prefix="/v1/cancellations")


@blueprint.post("/bulk")
def press() -> Response:
    """Tell what would happen to how many, or do it to no more than were told."""
    auth.require_operator()
    asked = read_as(read_json(), steering_resources.BulkBody, outcome="Nothing was done")
    if asked.dry_run:
        with current.database().reading() as session:
            shown = steering_resources.told(steering.forecast(session, asked.selection(), asked.action))
    else:
        done = steering.carry_out(
            current.database(), asked.selection(), asked.action,
            actor=auth.actor(), note=asked.note, at_most=asked.at_most,
        )  # fmt: skip
        shown = steering_resources.done(done)
    return jsonify(shown.model_dump(mode="json"))
