"""The first page: what stands where, what is late, who answers, who is alive."""

from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from shared import overview as figures
from shared import pauses
from webhook_gateway import current
from webhook_gateway.console import charts, surroundings
from webhook_gateway.console.door import blueprint, page


@blueprint.get("")
def overview_without_slash() -> Response:
    """Show the same as below: people type it so."""
    return overview()


@blueprint.get("/")
def overview() -> Response:
    """Show the whole service at a glance; a page without `still` asks for its figures again by itself."""
    with current.database().reading() as session:
        known = _known(session)
    is_part = "HX-Request" in request.headers
    return page("figures.html" if is_part else "overview.html", is_still="still" in request.args, **known)


def _known(session: Session) -> dict[str, Any]:
    hours = figures.hourly(session)
    return {
        "by_status": figures.by_status(session),
        "overdue": figures.overdue(session),
        "webhooks": figures.webhooks(session),
        "callbacks": figures.callbacks(session),
        "hours": hours,
        "ended_in": charts.ended_in,
        "chart": charts.throughput(hours),
        "endpoints": surroundings.endpoints(session),
        "lines": surroundings.lines(session, current.settings().partner_codes),
        "processes": surroundings.processes(session),
        "queues": surroundings.queues(),
        "pauses": pauses.in_force(session),
        "cap": figures.CAP,
    }
