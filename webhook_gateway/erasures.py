"""/v1/erasures: operators remove a customer's personal data, and keep the trail of the money."""

from typing import Annotated

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from shared import erasing
from shared.cancellation_request import VendorId, settings_of
from webhook_gateway import auth, current
from webhook_gateway.bodies import read_as, read_json
from webhook_gateway.resolving import Note
from webhook_gateway.resources import Shown

blueprint = Blueprint("erasures", __name__, url_prefix="/v1/erasures")


class ErasureBody(BaseModel):
    """Whose data is to go."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    booking_id: VendorId
    partner: Annotated[str | None, Field(description="Without it the deployment's own")] = None
    note: Note | None = None
    dry_run: Annotated[bool, Field(description="false: do it; else it is only told what would be done")] = True


class ErasureShown(Shown):
    """What was erased, or would be."""

    dry_run: bool
    erased: Annotated[int, Field(description="Cancellations that had ended")]
    when_ended: Annotated[int, Field(description="Under way: erased within an hour of their end")]
    before: Annotated[int, Field(description="Erased before")]


@blueprint.post("")
def erase() -> Response:
    """Erase a booking's cancellations, or tell what that would do."""
    auth.require_operator()
    asked = read_as(read_json(), ErasureBody, outcome="Nothing was erased")
    partner = settings_of(asked.partner, current.settings(), caller=auth.caller()).xcover_partner_code
    with current.database().transaction() as tx:
        done = erasing.erase_booking(
            tx, asked.booking_id, partner=partner, actor=auth.actor(), note=asked.note, is_dry=asked.dry_run
        )
    shown = ErasureShown(dry_run=asked.dry_run, erased=done.erased, when_ended=done.when_ended, before=done.before)
    return jsonify(shown.model_dump(mode="json"))
