"""Clocks against the database's, which is the one that leases and due times are kept by."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.clock import utc_now
from shared.db import clock_lead, now_plus
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.doctor.patient import Patient
from shared.doctor.processes import ALIVE_FOR
from shared.operations_models import InsurerCheck, ProcessSeen

WORTH_A_LOOK, TOO_FAR = 5.0, 60.0
"""Seconds. The insurer's tolerance is not published; five minutes are common."""
WHOLE_SECONDS = 5.0
"""Seconds by which an answer's Date, which has no fractions and was written on the way, seems behind."""


def of_this_host(session: Session) -> list[Finding]:
    """Compare the clock of the host that asks."""
    return [_judged("clock-host", "this host's clock", clock_lead(session, utc_now()).total_seconds())]


def of_workers(session: Session) -> list[Finding]:
    """Compare the clocks of workers that are alive: they sign requests by them."""
    alive = (ProcessSeen.kind == "worker", ProcessSeen.seen_at >= now_plus(-ALIVE_FOR))
    found = [
        (name, details["clock_lead"])
        for name, details in session.execute(select(ProcessSeen.name, ProcessSeen.details).where(*alive))
        if isinstance(details.get("clock_lead"), int | float)
    ]
    if not found:
        return [ok("clock-workers", "no worker that is alive has told its time yet")]
    name, lead = max(found, key=lambda one: abs(one[1]))
    of_several = f" (the furthest of {len(found)})" if len(found) > 1 else ""
    return [_judged("clock-workers", f"the clock of {name}{of_several}", lead)]


def of_insurer(session: Session, patient: Patient) -> list[Finding]:
    """Compare the Date of the insurer's latest answers, as a worker noted it."""
    configured = set(patient.services)
    checks = session.scalars(select(InsurerCheck).where(InsurerCheck.clock_lead.is_not(None))).all()
    known = [check for check in checks if not configured or (check.partner, check.service) in configured]
    if not known:
        return [ok("clock-insurer", "no answer of the insurer's has told its time yet")]
    furthest = max(known, key=lambda check: abs(check.clock_lead or 0.0))
    lead = furthest.clock_lead or 0.0
    lead = min(lead + WHOLE_SECONDS, 0.0) if lead < 0 else lead
    return [_judged("clock-insurer", f"the clock of {furthest.service} ({furthest.partner})", lead)]


def _judged(check: str, whose: str, lead: float) -> Finding:
    if abs(lead) < WORTH_A_LOOK:
        return ok(check, f"{whose} and the database's agree")
    side = "ahead of" if lead > 0 else "behind"
    said = f"{whose} is {abs(lead):.0f} s {side} the database's"
    return wrong(check, said) if abs(lead) >= TOO_FAR else warning(check, said)
