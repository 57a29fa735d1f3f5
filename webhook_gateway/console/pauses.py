"""Pausing everything, one partner or one step, and taking it back."""

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from shared import pauses
from shared.lifecycle import Step
from shared.problems import Problem
from webhook_gateway import auth, current, resolving
from webhook_gateway.console.door import blueprint, page


@blueprint.get("/pauses")
def pauses_in_force() -> Response:
    """Show what is paused, and what can be."""
    with current.database().reading() as session:
        found = pauses.in_force(session)
    return page("pauses.html", pauses=found, partners=current.settings().partner_codes)


@blueprint.post("/pauses")
def pause() -> Response:
    """Begin nothing more of what the form names."""
    partner, step, note = _what()
    with current.database().transaction() as tx:
        is_new = pauses.pause(tx, partner=partner, step=step, by=auth.actor(), note=note)
    return redirect(url_for("console.pauses_in_force", said="paused" if is_new else "nothing"), code=303)


@blueprint.post("/pauses/resume")
def resume() -> Response:
    """Take back one pause."""
    partner, step, note = _what()
    with current.database().transaction() as tx:
        was_paused = pauses.resume(tx, partner=partner, step=step, by=auth.actor(), note=note)
    return redirect(url_for("console.pauses_in_force", said="resumed" if was_paused else "nothing"), code=303)


def _what() -> tuple[str, Step | None, str | None]:
    partner, step = request.form.get("partner", ""), request.form.get("step", "")
    if len(partner) > 64 or (step and step not in set(Step)):
        raise Problem("invalid-parameter", "There is no such partner or step. Nothing was changed.")
    note = request.form.get("note", "").strip()
    return partner, Step(step) if step else None, resolving.parse_note({"note": note} if note else None)
