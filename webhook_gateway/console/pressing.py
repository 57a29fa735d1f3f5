"""What is pressed on one cancellation's page: each press is one call that POST /v1 makes too, and one audit entry."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from shared import presses
from shared.problems import Problem
from webhook_gateway import auth, bodies, callbacks, current, resolving
from webhook_gateway.console.cancellations import shown_page
from webhook_gateway.console.door import blueprint

EVIDENCE = ("text", "amount", "currency", "reference", "claim_id", "claim_reference")


@blueprint.post("/cancellations/<uuid:cancellation_id>/retry")
def retry(cancellation_id: UUID) -> Response:
    """Let it go on at its step, now."""

    def press() -> str:
        note = resolving.parse_note(_given("note"))
        with current.database().transaction() as tx:
            presses.retry(tx, cancellation_id, actor=auth.actor(), note=note)
        return "retried"

    return _pressed(cancellation_id, press)


@blueprint.post("/cancellations/<uuid:cancellation_id>/abort")
def abort(cancellation_id: UUID) -> Response:
    """Take it back."""

    def press() -> str:
        note = resolving.parse_note(_given("note"))
        with current.database().transaction() as tx:
            presses.abort(tx, cancellation_id, actor=auth.actor(), note=note)
        return "aborted"

    return _pressed(cancellation_id, press)


@blueprint.post("/cancellations/<uuid:cancellation_id>/resolve")
def resolve(cancellation_id: UUID) -> Response:
    """Carry out a decision."""

    def press() -> str:
        ruling = resolving.parse(_decision(), actor=auth.actor())
        with current.database().transaction() as tx:
            presses.resolve(tx, cancellation_id, ruling)
        return ruling.resolution.value

    return _pressed(cancellation_id, press)


@blueprint.post("/cancellations/<uuid:cancellation_id>/callbacks")
def send_callbacks(cancellation_id: UUID) -> Response:
    """Have its caller told again: one message, or all that were not delivered."""

    def press() -> str:
        body = callbacks.parse_replay(_given("id"))
        return "callbacks" if callbacks.replay_of(cancellation_id, body) else "nothing"

    return _pressed(cancellation_id, press)


def _pressed(cancellation_id: UUID, press: Callable[[], str]) -> Response:
    try:
        said = press()
    except Problem as refusal:
        if refusal.slug == "not-found":
            raise
        return shown_page(cancellation_id, refusal=refusal)
    return redirect(url_for("console.cancellation", cancellation_id=cancellation_id, said=said), code=303)


def _given(*names: str) -> dict[str, Any]:
    """Return the fields of the form that were filled in."""
    return {name: request.form[name].strip() for name in names if request.form.get(name, "").strip()}


def _decision() -> dict[str, Any]:
    """Return the form as the body that POST /v1/cancellations/{id}/resolve takes."""
    decision = _given("resolution", "note")
    evidence, amendment = _given(*EVIDENCE), _given("language", "claim_type_id")
    fields = request.form.get("section_fields", "").strip()
    if fields:
        amendment["section_fields"] = bodies.parsed(fields.encode())
    if evidence:
        decision["evidence"] = evidence
    if amendment:
        decision["claim"] = amendment
    if request.form.get("free_policies"):
        decision["free_policies"] = True
    return decision
