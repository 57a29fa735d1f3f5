"""Puts the simulated insurer and the partner together as one Flask app; notes every request on the way."""

import logging
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from tests.simulator import control, partner, xclaim, xcover
from tests.simulator.answers import Answer, send
from tests.simulator.pipeline import KEY_HEADER
from tests.simulator.state import State
from tests.simulator.webhooks import Sender

logger = logging.getLogger(__name__)


def create_app(state: State, sender: Sender, *, prefix: str = "/x") -> Flask:
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it

    @app.before_request
    def note() -> Response | None:
        g.entry = _entry()
        if request.path.startswith(control.PREFIX):
            return None
        state.requests.append(g.entry)
        outage = None if request.path.startswith(f"{partner.PREFIX}/") else state.settings.outage
        return send(Answer(outage)) if outage else None

    @app.after_request
    def complete(response: Response) -> Response:
        if not g.entry["answer_lost"]:
            g.entry["status"] = response.status_code
        logger.info("%s %s %s", request.method, request.path, g.entry["status"])
        return response

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Response:
        """Whatever no endpoint answers: wrong paths and methods."""
        return send(Answer(error.code or 500, {"detail": error.name}))

    app.register_blueprint(xcover.blueprint(state, sender, prefix))
    app.register_blueprint(xclaim.blueprint(state, sender))
    app.register_blueprint(partner.blueprint(state))
    app.register_blueprint(control.blueprint(state, sender))
    return app


def _entry() -> dict[str, Any]:
    """What the request log says of a request; the rest of its way fills in what is not known yet."""
    return {
        "at": datetime.now(UTC).isoformat(),
        "method": request.method,
        "path": request.path,
        "operation": None,
        "booking": (request.view_args or {}).get("booking_id"),
        "key": request.headers.get(KEY_HEADER),
        "fault": None,
        "signature": None,
        "status": None,
        "answer_lost": False,
        "body": request.get_data().decode(errors="replace"),
    }
