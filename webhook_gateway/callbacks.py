"""/v1/cancellations/{id}/callbacks: what its caller was told, how that was answered, and having it told again."""

from typing import Annotated, Any
from uuid import UUID

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from shared import callback_health, callbacks, presses, transitions
from shared.callback_models import Callback
from shared.cancellation_request import invalid
from shared.models import Cancellation
from shared.problems import Problem
from webhook_gateway import auth, current
from webhook_gateway.bodies import read_json_or_nothing
from webhook_gateway.cancellations import visible
from webhook_gateway.resources import Shown, Time, time, time_or_none

blueprint = Blueprint("callbacks", __name__, url_prefix="/v1/cancellations")


class CallbackShown(Shown):
    """One message to the caller's endpoint, and how far it has come."""

    id: Annotated[str, Field(description="Sent as webhook-id, the same at every try")]
    sequence: Annotated[
        int, Field(description="Its place among those of the cancellation: they are sent in this order")
    ]
    type: str
    payload: Annotated[dict[str, Any], Field(description="The body")]
    status: Annotated[
        str,
        Field(
            description="due: sent at next_attempt_at; waiting: for those before it; delivered; given_up: replay it",
            json_schema_extra={"enum": ["due", "waiting", "delivered", "given_up"]},
        ),
    ]
    created_at: Time
    tries: Annotated[int, Field(description="Since it was written, or last replayed")]
    next_attempt_at: Time | None
    delivered_at: Time | None
    given_up_at: Time | None
    last_status: Annotated[int | None, Field(description="What the endpoint answered last; null where nothing came")]
    last_error: str | None


class CallbackList(Shown):
    """Every message about one cancellation, in order, and how their endpoint fares."""

    url: Annotated[str | None, Field(description="Where they are sent; null: nobody is told")]
    failing_since: Annotated[Time | None, Field(description="Since when the endpoint has taken nothing")]
    disabled_at: Annotated[Time | None, Field(description="Since when nothing is sent there; a replay enables it")]
    items: list[CallbackShown]


class CallbackReplay(CallbackList):
    """The messages after a replay."""

    replayed: Annotated[int, Field(description="How many are due again")]


class CallbackReplayBody(BaseModel):
    """Which messages are sent again: one, or all that were not delivered."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    id: Annotated[UUID | None, Field(strict=False, description="One message, a delivered one too")] = None


@blueprint.get("/<uuid:cancellation_id>/callbacks")
def show(cancellation_id: UUID) -> Response:
    """Show what was sent, when, and how it was answered."""
    with current.database().reading() as session:
        shown = listed(session, visible(session, cancellation_id))
    return jsonify(shown.model_dump(mode="json"))


@blueprint.post("/<uuid:cancellation_id>/callbacks/replay")
def replay(cancellation_id: UUID) -> Response:
    """Make what was not delivered due again, or one message of the caller's choice."""
    replayed = replay_of(cancellation_id, parse_replay(read_json_or_nothing()))
    with current.database().reading() as session:
        shown = CallbackReplay(replayed=replayed, **_shown(session, visible(session, cancellation_id)))
    return jsonify(shown.model_dump(mode="json"))


def replay_of(cancellation_id: UUID, body: CallbackReplayBody) -> int:
    """Make what is meant due again, with its line in the timeline; return how many messages that are."""
    with current.database().transaction() as tx:
        row = visible(tx.session, cancellation_id)
        known = {message.id for message in callbacks.of_cancellation(tx.session, cancellation_id)}
        if body.id is not None and body.id not in known:
            raise Problem("not-found", f"Cancellation {cancellation_id} has no callback {body.id}.")
        replayed = callbacks.replay(tx, row, callback_id=body.id)
        if replayed and auth.is_operator():
            presses.replay_callbacks(tx, cancellation_id, actor=auth.actor(), count=replayed)
        if replayed:
            which = "all that were not delivered" if body.id is None else f"callback {body.id}"
            details = {"callbacks": replayed}
            transitions.note(
                tx,
                row,
                "callbacks_replayed",
                actor=auth.actor(),
                reason=f"asked to send {which} again",
                details=details,
            )
    return replayed


def parse_replay(body: Any) -> CallbackReplayBody:
    """Read which messages are meant; raise Problem naming every field that is wrong."""
    try:
        return CallbackReplayBody.model_validate({} if body is None else body)
    except ValidationError as error:
        raise invalid(error, "Nothing was replayed") from error


def listed(session: Session, row: Cancellation) -> CallbackList:
    """Return every message about one cancellation, and how their endpoint fares."""
    return CallbackList(**_shown(session, row))


def _shown(session: Session, row: Cancellation) -> dict[str, Any]:
    url = row.callback_url
    endpoint = None if url is None else callback_health.of(session, row.caller, url)
    return {
        "url": url,
        "failing_since": None if endpoint is None else time_or_none(endpoint.failing_since),
        "disabled_at": None if endpoint is None else time_or_none(endpoint.disabled_at),
        "items": [_item(message) for message in callbacks.of_cancellation(session, row.id)],
    }


def _item(message: Callback) -> CallbackShown:
    return CallbackShown(
        id=str(message.id),
        sequence=message.sequence,
        type=message.type,
        payload=message.payload,
        status=_status(message),
        created_at=time(message.created_at),
        tries=message.tries,
        next_attempt_at=time_or_none(message.next_attempt_at),
        delivered_at=time_or_none(message.delivered_at),
        given_up_at=time_or_none(message.given_up_at),
        last_status=message.last_status,
        last_error=message.last_error,
    )


def _status(message: Callback) -> str:
    if message.delivered_at is not None:
        return "delivered"
    if message.given_up_at is not None:
        return "given_up"
    return "due" if message.next_attempt_at is not None else "waiting"
