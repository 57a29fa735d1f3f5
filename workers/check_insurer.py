"""Asking each partner's insurer one harmless question, so that refused credentials and clocks that differ are known.

The question is about a booking and a claim that cannot exist: to be told so means to have been let in. It keeps to the
rate limit and the breakers as any step does, belongs to no cancellation, and is nobody's try.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import structlog
from sqlalchemy import select, update

from shared.db import Transaction, clock_lead, insert_or_ignore, now_plus
from shared.insurer.answers import Answer
from shared.insurer.errors import InsurerError, NotFound, Refused
from shared.lifecycle import TaskName
from shared.operations_models import InsurerCheck
from workers.app import app
from workers.partners import Partner
from workers.runtime import runtime

NO_BOOKING, NO_CLAIM = "00000-00000-INS", "00000-00000-CLA"
"""Written as the insurer writes its own, so that nothing but their existence is judged."""
TIME_BOX = 30.0
"""Seconds after which no further question begins: with one call's 20 s it stays below a task's soft limit."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came of one question; `insurer_time` is the answer's Date."""

    verdict: str
    said: str
    insurer_time: datetime | None


@app.task(name=TaskName.CHECK_INSURER)
def check() -> None:
    """Ask XCover and XClaim for every partner; those that were asked longest ago first, until the time is up."""
    ends = monotonic() + TIME_BOX
    for code in _longest_ago_first():
        partner = runtime().partner(code)
        for service, ask in _questions(partner).items():
            if monotonic() >= ends:
                log.info("insurers_not_all_asked", next="the next check begins with those left")
                return
            _note(code, service, heard(ask))


def heard(ask: Callable[[], Answer[Any]]) -> Heard:
    """Ask, and tell what the answer says about our credentials and address."""
    try:
        answer = ask()
    except InsurerError as error:
        return Heard(verdict=_verdict(error), said=_said(error), insurer_time=error.insurer_time)
    return Heard(verdict="ok", said=f"answered {answer.status}", insurer_time=answer.insurer_time)


def _verdict(error: InsurerError) -> str:
    if isinstance(error, NotFound):
        return "refused" if _is_a_page(error) else "ok"
    if isinstance(error, Refused):
        return "refused"
    # A success that cannot be read is no refusal: whoever is not let in is told so.
    return "ok" if error.status is not None and 200 <= error.status < 300 else "unanswered"


def _said(error: InsurerError) -> str:
    if isinstance(error, NotFound) and not _is_a_page(error):
        return "answered 404, as it does to those it lets in"
    if _is_a_page(error):
        return f"{error}; the answer is no JSON, as where the address is wrong"
    return str(error)


def _is_a_page(error: InsurerError) -> bool:
    """Tell whether a 404 came from something else than the interface: it says what is missing in JSON."""
    return isinstance(error, NotFound) and "excerpt" in error.evidence


def _questions(partner: Partner) -> dict[str, Callable[[], Answer[Any]]]:
    questions: dict[str, Callable[[], Answer[Any]]] = {"xcover": lambda: partner.xcover.get_booking(NO_BOOKING)}
    xclaim = partner.xclaim_or_none
    if xclaim is not None:
        questions["xclaim"] = lambda: xclaim.get_claim(reference=NO_CLAIM, claim_id=None)
    return questions


def _longest_ago_first() -> list[str]:
    with runtime().database.reading() as session:
        asked = select(InsurerCheck.partner, InsurerCheck.checked_at).where(InsurerCheck.service == "xcover")
        at = {partner: time.timestamp() for partner, time in session.execute(asked)}
    return sorted(runtime().settings.partner_codes, key=lambda code: at.get(code, 0.0))


def _note(partner: str, service: str, found: Heard) -> None:
    with runtime().database.transaction() as tx:
        _write(tx, partner, service, found)
    if found.verdict != "ok":
        log.warning("insurer_check_failed", partner=partner, service=service, verdict=found.verdict, said=found.said)


def _write(tx: Transaction, partner: str, service: str, found: Heard) -> None:
    lead = None
    if found.insurer_time is not None:
        lead = clock_lead(tx.session, found.insurer_time).total_seconds()
    values = {
        "checked_at": now_plus(0), "verdict": found.verdict, "said": found.said, "clock_lead": lead
    }  # fmt: skip
    key = {"partner": partner, "service": service}
    if not insert_or_ignore(tx.session, InsurerCheck, {**key, **values}, conflict=("partner", "service")):
        is_this = InsurerCheck.partner == partner, InsurerCheck.service == service
        tx.session.execute(update(InsurerCheck).where(*is_this).values(**values))
