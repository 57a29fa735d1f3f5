"""The insurer, as the workers have found it: does it let us in, does it answer, and can its answers be read."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.breaker_models import BreakerState
from shared.db import now_plus
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.doctor.patient import Patient
from shared.doctor.work import parked_by_problem
from shared.invariant_checks import floor_before
from shared.models import Cancellation, Transition
from shared.operations_models import InsurerCheck

ASKED_WITHIN = 2_400.0
"""Seconds: two and a half of beat's questions."""
LOOKED_BACK = 3_600.0
"""Seconds of timelines in which waits are counted."""
LINES_AT_MOST = 20_000
UNREADABLE = ("answer-unreadable", "figures-disagree")
_TOO_MANY = 429


def credentials(session: Session, patient: Patient) -> list[Finding]:
    """Say what each service answered a worker's harmless question."""
    checks = {(check.partner, check.service): check for check in session.scalars(select(InsurerCheck))}
    oldest = session.scalars(select(now_plus(-ASKED_WITHIN))).one()
    found = []
    for partner, service in patient.services or sorted(checks):
        check, whose = checks.get((partner, service)), f"{service} ({partner})"
        if check is None:
            found.append(warning("credentials", f"{whose} was never asked", cause="credentials-not-asked"))
        elif check.checked_at < oldest:
            said = f"{whose} was last asked at {check.checked_at:%Y-%m-%d %H:%M} UTC, and then was {check.verdict}"
            found.append(warning("credentials", said, cause="credentials-not-asked"))
        else:
            found.append(_judged(check, whose))
    return found


def parked(session: Session) -> list[Finding]:
    """Say how many wait for a person since the insurer did not let us in."""
    count = parked_by_problem(session).get("credentials-refused", 0)
    if not count:
        return [ok("parked-for-credentials", "none")]
    said = f"{count} cancellation(s) wait since credentials were refused: once they are right, retry them"
    return [warning("parked-for-credentials", said)]


def breakers(session: Session) -> list[Finding]:
    """Say which services answer nobody."""
    open_ones = session.scalars(select(BreakerState).where(BreakerState.opened_at.is_not(None))).all()
    return [
        wrong(
            "breakers",
            f"{state.service} ({state.partner}) answers nobody since {state.opened_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{state.last_error}",
        )
        for state in open_ones
    ] or [ok("breakers", "every service answers, as far as was asked")]


def rate_limit(session: Session) -> list[Finding]:
    """Say which partners were answered 429 lately."""
    turned_away = _postponed(session, _TOO_MANY, _TOO_MANY)
    return [
        warning("rate-limit", f"{partner} was turned away {count} time(s) with 429 in the last hour")
        for partner, count in turned_away
    ] or [ok("rate-limit", "nobody was turned away with 429 in the last hour")]


def answers(session: Session) -> list[Finding]:
    """Say whether answers could not be read: as successes that mean nothing to us, or as figures that disagree."""
    by_problem = parked_by_problem(session)
    stopped = {slug: by_problem[slug] for slug in UNREADABLE if slug in by_problem}
    found = []
    if stopped:
        counted = ", ".join(f"{count} {slug}" for slug, count in stopped.items())
        found.append(wrong("answers", f"cancellations wait for a person: {counted}"))
    for partner, count in _postponed(session, 200, 299):
        found.append(warning("answers", f"{count} successful answer(s) to {partner} in the last hour cannot be read"))
    return found or [ok("answers", "all that came could be read")]


def _judged(check: InsurerCheck, whose: str) -> Finding:
    if check.verdict == "ok":
        return ok("credentials", f"{whose} lets us in")
    if check.verdict == "refused":
        return wrong("credentials", f"{whose} does not let us in: {check.said}")
    return warning("credentials", f"{whose} did not say: {check.said}", cause="unanswered")


def _postponed(session: Session, lowest: int, highest: int) -> list[tuple[str, int]]:
    """Count by partner the waits of the last hour that followed such an HTTP status."""
    lines = (
        select(Transition.cancellation_id, Transition.event, Transition.details)
        .where(Transition.id > floor_before(LOOKED_BACK), Transition.at >= now_plus(-LOOKED_BACK))
        .order_by(Transition.id.desc())
        .limit(LINES_AT_MOST)
        .subquery()
    )
    status: Any = lines.c.details["http_status"].as_integer()
    counted = (
        select(Cancellation.partner, func.count())
        .join(lines, lines.c.cancellation_id == Cancellation.id)
        .where(lines.c.event == "postponed", status.between(lowest, highest))
        .group_by(Cancellation.partner)
        .order_by(Cancellation.partner)
    )
    return [(partner, count) for partner, count in session.execute(counted)]
