"""/v1/batches: handing many cancellations over together, and steering them together."""

from uuid import UUID

import structlog
from flask import Blueprint, Response, jsonify, request, url_for
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import batches, bulk_intake, presses
from shared.batch_models import Batch
from shared.bulk_intake import Taken
from shared.cancellation_request import settings_of
from shared.db import Transaction
from shared.problems import Problem
from webhook_gateway import auth, batch_lines, batch_resources, current, idempotency_key, paging
from webhook_gateway.batch_lines import BatchBody, LinesBody, Read
from webhook_gateway.batch_resources import BatchList, LineRefused, LinesTaken
from webhook_gateway.bodies import MAX_BATCH_BYTES, read_json

blueprint = Blueprint("batches", __name__, url_prefix="/v1/batches")

log = structlog.get_logger()


class ListQuery(BaseModel):
    """The list's query parameters; none is required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: paging.Limit = 50
    cursor: paging.Cursor = None


@blueprint.post("")
def open_one() -> Response:
    """Open a batch with its first lines, or show the one this key stands for."""
    key, sent = idempotency_key.from_request(), read_json(limit=MAX_BATCH_BYTES)
    body, settings = batch_lines.parse(sent, BatchBody), current.settings()
    with current.database().reading() as session:
        before = batches.find_by_key(session, caller=auth.caller(), key=key)
    # What was opened once is shown again, even where today's settings would refuse its partner.
    partner = (
        before.partner if before else settings_of(body.partner, settings, caller=auth.caller()).xcover_partner_code
    )
    read = batch_lines.read(body.cancellations, settings=settings, caller=auth.caller(), partner=partner)
    with current.database().transaction() as tx:
        batch, created = batches.open_batch(
            tx, sent=sent, name=body.name, expected=body.expected, caller=auth.caller(),
            partner=partner, key=key,
        )  # fmt: skip
        taken = _take(tx, batch, body, read)
        resource = batch_resources.opened(batch, batches.counts(tx.session, batch.id), taken)
    log.info("batch_opened" if created else "batch_repeated", batch_id=resource.id, caller=batch.caller)
    location = url_for("batches.show", batch_id=batch.id)
    return _answer(resource, status=201 if created else 200, headers={"Location": location})


@blueprint.get("")
def list_them() -> Response:
    """List batches, newest first: a caller's own, an operator everyone's."""
    query = paging.read(ListQuery, request.args.to_dict(flat=False))
    with current.database().reading() as session:
        return _answer(listed(session, query))


def listed(session: Session, query: ListQuery) -> BatchList:
    """Return one page, newest first, of what this request may see."""
    wanted = select(Batch).order_by(Batch.id.desc()).limit(query.limit + 1)
    if not auth.sees_everything():
        wanted = wanted.where(Batch.caller == auth.caller())
    if query.cursor is not None:
        wanted = wanted.where(Batch.id < paging.id_at(query.cursor))
    rows = session.scalars(wanted).all()
    kept = rows[: query.limit]
    cursor = paging.cursor_at(kept[-1].id) if len(rows) > len(kept) else None
    return BatchList(items=[batch_resources.summary(row) for row in kept], next_cursor=cursor)


@blueprint.get("/<uuid:batch_id>")
def show(batch_id: UUID) -> Response:
    """Show one, and how many of its cancellations stand where."""
    return _shown_now(batch_id)


@blueprint.post("/<uuid:batch_id>/cancellations")
def add(batch_id: UUID) -> Response:
    """Add lines."""
    body = batch_lines.parse(read_json(limit=MAX_BATCH_BYTES), LinesBody)
    with current.database().reading() as session:
        found = visible(session, batch_id)
    read = batch_lines.read(body.cancellations, settings=current.settings(), caller=found.caller, partner=found.partner)
    with current.database().transaction() as tx:
        taken = _take(tx, visible(tx.session, batch_id), body, read)
    log.info("batch_lines_taken", batch_id=str(batch_id), accepted=taken.accepted, repeated=taken.repeated)
    return _answer(taken)


@blueprint.post("/<uuid:batch_id>/pause")
def pause(batch_id: UUID) -> Response:
    """Hold what has not begun."""
    return _steered(batch_id, "pause")


@blueprint.post("/<uuid:batch_id>/resume")
def resume(batch_id: UUID) -> Response:
    """Go on with what was held."""
    return _steered(batch_id, "resume")


@blueprint.post("/<uuid:batch_id>/call_off")
def call_off(batch_id: UUID) -> Response:
    """Abort what has not begun, and take no more."""
    return _steered(batch_id, "call_off")


def _take(tx: Transaction, batch: Batch, body: BatchBody | LinesBody, read: Read) -> LinesTaken:
    """Store the lines; raise Problem if some are invalid and are not to be skipped."""
    sent = {
        place: (key, body.cancellations[place]) for place, key in read.keys.items() if place in read.invalid and key
    }
    # What was accepted once is repeated, even where today's settings would refuse it.
    before = bulk_intake.recognise(
        tx.session, {place: (key, batch_lines.body_of(line)) for place, (key, line) in sent.items()},
        caller=batch.caller, partner=batch.partner,
    )  # fmt: skip
    wrong = {place: why for place, why in read.invalid.items() if place not in before.ids}
    if wrong and not body.skip_invalid:
        raise batch_lines.refusal(wrong)
    new = Taken()
    if read.lines:
        new = batches.add(tx, batch.id, read.lines, actor=auth.actor())
    ids, refused = {**before.ids, **new.ids}, {**wrong, **before.refused, **new.refused}
    return LinesTaken(
        accepted=new.accepted,
        repeated=len(before.repeated) + len(new.repeated),
        refused=[
            LineRefused(line=place + 1, idempotency_key=read.keys[place], problem=batch_lines.shortened(refused[place]))
            for place in sorted(refused)
        ],
        ids=[str(ids[place]) if place in ids else None for place in range(len(body.cancellations))],
    )


def _steered(batch_id: UUID, action: batches.Action) -> Response:
    steer(batch_id, action)
    return _shown_now(batch_id)


def steer(batch_id: UUID, action: batches.Action) -> None:
    """Steer a batch that this request may see; an operator's press is in the audit log."""
    with current.database().reading() as session:
        visible(session, batch_id)
    if auth.is_operator():
        presses.steer_batch(current.database(), batch_id, action, actor=auth.actor())
    else:
        batches.steer(current.database(), batch_id, action, actor=auth.actor())


def visible(session: Session, batch_id: UUID) -> Batch:
    """Return a batch that this request may see, or raise Problem `not-found`."""
    batch = batches.find(session, batch_id)
    if batch is None or not auth.may_see(batch.caller):
        raise Problem("not-found", f"There is no batch {batch_id}.")
    return batch


def _shown_now(batch_id: UUID) -> Response:
    with current.database().reading() as session:
        resource = batch_resources.shown(visible(session, batch_id), batches.counts(session, batch_id))
    return _answer(resource)


def _answer(resource: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    response = jsonify(resource.model_dump(mode="json"))
    response.status_code = status
    response.headers.update(headers or {})
    return response
