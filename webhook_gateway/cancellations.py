"""/v1/cancellations: accepting, showing and steering cancellations. Each action is one call into `shared`."""

from typing import Any
from uuid import UUID

import structlog
from flask import Blueprint, Response, jsonify, request, url_for
from sqlalchemy.orm import Session

from shared import caller_actions, cancellation_request, claims, intake, presses, refund_report, waiting
from shared.cancellations import find
from shared.models import Cancellation
from shared.problems import Problem
from webhook_gateway import auth, current, idempotency_key, listing, resolving, timeline
from webhook_gateway.bodies import read_json, read_json_or_nothing
from webhook_gateway.resources import CancellationResource, Explanation, shown

blueprint = Blueprint("cancellations", __name__, url_prefix="/v1/cancellations")

log = structlog.get_logger()


@blueprint.post("")
def accept() -> Response:
    """Accept a cancellation, or show the one this key stands for."""
    key = idempotency_key.from_request()
    resource, created = _accepted(read_json(), key)
    log.info(
        "cancellation_accepted" if created else "cancellation_repeated",
        cancellation_id=resource.id,
        caller=auth.caller(),
    )
    location = url_for("cancellations.show", cancellation_id=resource.id)
    return _answer(resource, status=202 if created else 200, headers={"Location": location})


@blueprint.get("")
def list_them() -> Response:
    """List cancellations, newest first: a caller's own, an operator everyone's."""
    query = listing.parse(request.args.to_dict(flat=False))
    with current.database().reading() as session:
        page = listing.page(session, query, caller=None if auth.sees_everything() else auth.caller())
    return jsonify(page.model_dump(mode="json"))


@blueprint.get("/<uuid:cancellation_id>")
def show(cancellation_id: UUID) -> Response:
    """Show one."""
    return _shown_now(cancellation_id)


@blueprint.post("/<uuid:cancellation_id>/refund")
def report_refund(cancellation_id: UUID) -> Response:
    """Take the partner's report; a refused one stays in the timeline."""
    report = refund_report.parse(read_json(), actor=auth.actor())
    with current.database().transaction() as tx:
        visible(tx.session, cancellation_id)
        verdict = caller_actions.report_refund(tx, cancellation_id, report)
    if verdict.problem is not None:
        raise verdict.problem
    return _shown_now(cancellation_id, status=verdict.status)


@blueprint.post("/<uuid:cancellation_id>/abort")
def abort(cancellation_id: UUID) -> Response:
    """Take it back, before the point of no return."""
    with current.database().transaction() as tx:
        visible(tx.session, cancellation_id)
        if auth.is_operator():
            presses.abort(tx, cancellation_id, actor=auth.actor())
        else:
            caller_actions.abort(tx, cancellation_id, actor=auth.actor())
    return _shown_now(cancellation_id)


@blueprint.post("/<uuid:cancellation_id>/retry")
def retry(cancellation_id: UUID) -> Response:
    """Let it go on at its step, now."""
    auth.require_operator()
    note = resolving.parse_note(read_json_or_nothing())
    with current.database().transaction() as tx:
        presses.retry(tx, cancellation_id, actor=auth.actor(), note=note)
    return _shown_now(cancellation_id)


@blueprint.post("/<uuid:cancellation_id>/resolve")
def resolve(cancellation_id: UUID) -> Response:
    """Carry out an operator's decision about one that waits for a person."""
    auth.require_operator()
    ruling = resolving.parse(read_json(), actor=auth.actor())
    with current.database().transaction() as tx:
        presses.resolve(tx, cancellation_id, ruling)
    return _shown_now(cancellation_id)


@blueprint.get("/<uuid:cancellation_id>/why")
def why(cancellation_id: UUID) -> Response:
    """Tell in words why it stands where it stands."""
    with current.database().reading() as session:
        row = visible(session, cancellation_id)
        told = Explanation(
            id=str(row.id), status=row.status, why=waiting.why(session, row, settings=current.settings())
        )
    return jsonify(told.model_dump(mode="json"))


@blueprint.get("/<uuid:cancellation_id>/events")
def events(cancellation_id: UUID) -> Response:
    """Tell its story."""
    with current.database().reading() as session:
        visible(session, cancellation_id)
        story = timeline.of(session, cancellation_id)
    return jsonify(story.model_dump(mode="json"))


def _accepted(sent: Any, key: str) -> tuple[CancellationResource, bool]:
    settings, caller = current.settings(), auth.caller()
    try:
        wanted = cancellation_request.parse(sent, settings=settings, caller=caller)
    except Problem as refusal:
        return _accepted_before(sent, key, refusal), False
    with current.database().transaction() as tx:
        cancellation_id, created = intake.accept(tx, wanted, sent=sent, caller=caller, key=key)
        return _resource(tx.session, cancellation_id), created


def _accepted_before(sent: Any, key: str, refusal: Problem) -> CancellationResource:
    """Replay what was accepted once, even where today's settings would refuse it; else raise the refusal."""
    with current.database().reading() as session:
        if not isinstance(sent, dict) or intake.find_by_key(session, caller=auth.caller(), key=key) is None:
            raise refusal
        return _resource(session, intake.replay(session, sent=sent, caller=auth.caller(), key=key))


def visible(session: Session, cancellation_id: UUID) -> Cancellation:
    """Return a cancellation that this request may see, or raise Problem `not-found`."""
    row = find(session, cancellation_id)
    if row is None or not auth.may_see(row.caller):
        raise Problem("not-found", f"There is no cancellation {cancellation_id}.")
    return row


def _resource(session: Session, cancellation_id: UUID) -> CancellationResource:
    return shown(visible(session, cancellation_id), claims.of_cancellation(session, cancellation_id))


def _shown_now(cancellation_id: UUID, *, status: int = 200) -> Response:
    with current.database().reading() as session:
        resource = _resource(session, cancellation_id)
    return _answer(resource, status=status)


def _answer(resource: CancellationResource, *, status: int, headers: dict[str, str] | None = None) -> Response:
    response = jsonify(resource.model_dump(mode="json"))
    response.status_code = status
    response.headers.update(headers or {})
    return response
