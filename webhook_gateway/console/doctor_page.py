"""The doctor's findings as a page: what is wrong, why it matters, what to do."""

from flask import redirect, url_for
from werkzeug.wrappers import Response

from shared.doctor.findings import State, worst
from webhook_gateway import doctor
from webhook_gateway.console.door import blueprint, page

_WORST_FIRST = tuple(reversed(State))


@blueprint.get("/doctor")
def findings() -> Response:
    """Show what every check finds, the worst first."""
    found = sorted(doctor.look(), key=lambda finding: _WORST_FIRST.index(finding.state))
    troubles = [finding for finding in found if finding.state is not State.OK]
    return page("doctor.html", troubles=troubles, fine=found[len(troubles) :], worst=worst(found))


@blueprint.post("/doctor")
def ask_insurers() -> Response:
    """Have a worker ask the insurers first; some seconds."""
    doctor.have_insurers_asked()
    return redirect(url_for("console.findings"), code=303)
