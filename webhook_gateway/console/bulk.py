"""One press for many cancellations: what would happen to how many is shown first, and only then it can be pressed."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from shared import steering
from shared.problems import Problem, slugs
from shared.selection import Selection
from shared.steering import Action
from webhook_gateway import auth, current, listing, resolving
from webhook_gateway.console.cancellations import FILTERS, asked
from webhook_gateway.console.door import blueprint, page

WORDS: Mapping[Action, str] = {
    Action.RETRY: "Take up again what needs review",
    Action.SKIP_WAIT: "Skip the wait of what waits for its next try",
    Action.ABORT: "Abort what is before its point of no return",
}


@blueprint.get("/bulk")
def bulk() -> Response:
    """Show the form; with an action, what it would do to how many. Nothing is done here."""
    sent = asked()
    if "action" not in sent:
        return _form(sent)
    try:
        wanted, action = _meant(sent)
        with current.database().reading() as session:
            return _form(sent, forecast=steering.forecast(session, wanted, action))
    except Problem as refusal:
        return _form(sent, refusal=refusal)


@blueprint.post("/bulk")
def bulk_press() -> Response:
    """Do what was shown; refused where it would by now touch more than that."""
    sent = {name: value.strip() for name, value in request.form.items() if value.strip()}
    at_most, note = sent.pop("at_most", ""), sent.pop("note", None)
    sent.pop("csrf", None)
    try:
        wanted, action = _meant(sent)
        shown = _number(at_most)
        note = resolving.parse_note({"note": note} if note else None)
        done = steering.carry_out(
            current.database(), wanted, action, actor=auth.actor(), note=note, at_most=shown
        )  # fmt: skip
    except Problem as refusal:
        return _form(sent, refusal=refusal)
    return _form(sent, done=done)


def _meant(sent: Mapping[str, str]) -> tuple[Selection, Action]:
    filters = {name: [value] for name, value in sent.items() if name != "action"}
    if sent.get("action") not in set(Action):
        raise Problem("invalid-parameter", "Choose what to do.")
    return listing.parse(filters).selection(caller=None), Action(sent["action"])


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem("invalid-parameter", "Look at what it would do first: then the number is known.")
    return int(text)


def _form(sent: Mapping[str, str], *, refusal: Problem | None = None, **more: Any) -> Response:
    return page(
        "bulk.html", status=200 if refusal is None else refusal.status, sent=dict(sent), words=WORDS, filters=FILTERS,
        slugs=slugs(), refusal=None if refusal is None else refusal.document, **more,
    )  # fmt: skip
