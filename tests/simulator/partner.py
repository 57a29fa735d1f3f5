"""The partner's side of refund mode `call`: a receiver of refund requests that never pays twice.

What makes it correct is the order, and that the last step is one transaction:

  signed by us, just now?           no    401  over the raw bytes, before anything is read
  a body and a key we understand?   no    400, 415, 422
  the key is known, with this body  yes   the stored answer again: same status, same reference
  the key is known, with another    yes   409
  is it a booking of ours?          no    404  not stored: errors never are, only what was paid or promised
  pay, and store the answer               200 or 201 paid, 202 promised: told later through the API
"""

import json
import uuid
from decimal import Decimal
from typing import Any, Literal

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from standardwebhooks import Webhook, WebhookVerificationError

from tests.simulator.answers import Answer, RefusedError, send
from tests.simulator.pipeline import serve
from tests.simulator.records import AnsweredRefund, Booking
from tests.simulator.state import State

PREFIX = "/partner"
PATH = "/refunds"
KEY_HEADER = "Idempotency-Key"
STATUSES = {"paid": 200, "created": 201, "accepted": 202}


class RefundRequest(BaseModel):
    """What we are asked to pay. Fields that are not known here are left alone: there may be more one day."""

    model_config = ConfigDict(frozen=True)

    type: Literal["refund.requested"]
    id: uuid.UUID
    booking_id: str = Field(min_length=1)
    amount: str = Field(pattern=r"^[0-9]+(\.[0-9]+)?$")  # text: a float would not be the same amount
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    idempotency_key: str = Field(min_length=1)  # the key the cancellation was asked for with, not this call's
    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("amount")
    @classmethod
    def _is_something(cls, amount: str) -> str:
        if Decimal(amount) == 0:
            raise ValueError("nothing to refund")
        return amount


def blueprint(state: State) -> Blueprint:
    routes = Blueprint("partner", __name__, url_prefix=PREFIX)

    @routes.before_request
    def let_in() -> Response | None:
        g.entry["key"] = request.headers.get(KEY_HEADER)
        why = _distrusted(state.credentials.refund_secret)
        g.entry["signature"] = why or "ok"
        return send(Answer(401, {"error": why})) if why else None

    @routes.post(PATH)
    def refund() -> Response:
        return serve(state, "refund", lambda: _refund(state), booking_id=_named_booking())

    return routes


def _distrusted(secret: str) -> str | None:
    """Say why the request is not to be believed; None when the holder of the secret signed it just now."""
    try:
        Webhook(secret).verify(request.get_data(), dict(request.headers), json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    except ValueError:  # the library lets these out for headers and bodies that it cannot take apart
        return "Malformed signature or body"
    return None


def _refund(state: State) -> Answer:
    wanted, key = _read(), _key()
    fingerprint = json.dumps(_json(), sort_keys=True)  # what it says: spaces and order may differ in a repeat
    with state.lock:  # the transaction; in a database the key would be a unique column of the payment
        answered = state.refunds.get(key)
        if answered is None:
            booking = state.bookings.get(wanted.booking_id)
            if booking is None:
                raise _no(404, "no such booking")
            answered = state.refunds[key] = _pay(state, booking, wanted, key, fingerprint)
        if answered.fingerprint != fingerprint:
            raise _no(409, "this key came with another body before")
    return Answer(answered.status, {"reference": answered.reference})


def _pay(state: State, booking: Booking, wanted: RefundRequest, key: str, fingerprint: str) -> AnsweredRefund:
    status = STATUSES[booking.refund_answer or state.settings.refund_answer]
    reference = f"re_{uuid.uuid4().hex}"
    state.record(
        "refund_promised" if status == STATUSES["accepted"] else "refund",
        booking,
        amount=wanted.amount,
        currency=wanted.currency,
        key=key,
        reference=reference,
        cancellation=str(wanted.id),
    )
    return AnsweredRefund(fingerprint=fingerprint, status=status, reference=reference)


def _read() -> RefundRequest:
    if request.mimetype != "application/json":
        raise _no(415, "the body must be application/json")
    try:
        return RefundRequest.model_validate(_json())
    except ValidationError as error:
        fields = {".".join(map(str, one["loc"])) or "body": one["msg"] for one in error.errors()}
        raise RefusedError(Answer(422, {"error": "the body is not a refund request", "fields": fields})) from error


def _key() -> str:
    key = request.headers.get(KEY_HEADER)
    if not key:
        raise _no(400, f"the {KEY_HEADER} header is required")
    return key


def _json() -> Any:
    try:
        return json.loads(request.get_data())
    except ValueError as error:
        raise _no(400, "the body is not JSON") from error


def _named_booking() -> str:
    """The booking it is for, so that its faults are found even when the request is refused."""
    try:
        body = json.loads(request.get_data())
    except ValueError:
        return ""
    return str(body.get("booking_id", "")) if isinstance(body, dict) else ""


def _no(status: int, why: str) -> RefusedError:
    return RefusedError(Answer(status, {"error": why}))
