"""The cancellations themselves: which fail again and again, are late, blocked, paused, or wait for a person."""

from collections import Counter

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from shared import callback_health, invariant_checks, pauses
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.invariants import MOVING
from shared.lifecycle import Status
from shared.models import Cancellation

MANY_TRIES = 6
"""Failed tries of one step: two minutes of waits, and no outage, whose tries are not counted."""
SOME_CRASHES = 2
"""Workers that died over one step."""
NAMED_AT_MOST = 3
PARKED_AT_MOST = 5_000
"""Cancellations that wait for a person and are counted by their problem."""
LATE_AFTER = 900.0
"""Seconds."""
POISON = ("worker-crashed", "internal-error")


def parked_by_problem(session: Session) -> Counter[str]:
    """Count those that wait for a person by problem; the newest, where there are very many."""
    newest = (
        select(Cancellation.problem)
        .where(Cancellation.status == Status.NEEDS_REVIEW)
        .order_by(Cancellation.id.desc())
        .limit(PARKED_AT_MOST)
    )
    return Counter(
        str((document or {}).get("type", "")).removeprefix("/problems/") for document in session.scalars(newest)
    )


def poison_rows(session: Session) -> list[Finding]:
    """Name those that fail again and again, alone among others that do not."""
    fails = or_(Cancellation.tries >= MANY_TRIES, Cancellation.abandoned >= SOME_CRASHES)
    failing = (
        select(Cancellation.id, Cancellation.next_step, Cancellation.tries, Cancellation.abandoned)
        .where(Cancellation.next_attempt_at.is_not(None), fails)
        .limit(NAMED_AT_MOST)
    )
    found = [
        warning("poison-rows", f"{row.id} fails at {row.next_step}: {row.tries} tries, {row.abandoned} dead workers")
        for row in session.execute(failing)
    ]
    by_problem = parked_by_problem(session)
    given_up = {slug: by_problem[slug] for slug in POISON if slug in by_problem}
    if given_up:
        counted = ", ".join(f"{count} {slug}" for slug, count in given_up.items())
        found.append(wrong("poison-rows", f"given up and waiting for a person: {counted}"))
    return found or [ok("poison-rows", "none fails again and again")]


def overdue(session: Session) -> list[Finding]:
    """Say whether what is due is worked on."""
    waiting = invariant_checks.overdue(session)
    paused = ", while a pause is in force" if pauses.in_force(session) else ""
    oldest = f"the oldest that is due has waited for {waiting.oldest_seconds:.0f} s{paused}"
    if waiting.stuck:
        return [wrong("overdue", f"{waiting.stuck} were rung for again and again, and nobody came; {oldest}")]
    return [warning("overdue", oldest) if waiting.oldest_seconds > LATE_AFTER else ok("overdue", "nothing is late")]


def invariants(session: Session) -> list[Finding]:
    """Name the invariants that do not hold."""
    counted = {name: count for name, count in invariant_checks.blocked(session).items() if count and name != MOVING}
    if not counted:
        return [ok("invariants", "all hold, as far as was checked")]
    said = ", ".join(f"{name} ({count})" for name, count in counted.items())
    return [wrong("invariants", f"broken and blocked: {said}")]


def needs_review(session: Session) -> list[Finding]:
    """Tell what else waits for a person: everyday work, and no fault of the service."""
    by_problem = parked_by_problem(session)
    said = ", ".join(f"{count} {slug}" for slug, count in by_problem.most_common())
    return [ok("needs-review", said or "nothing waits for a person")]


def pauses_in_force(session: Session) -> list[Finding]:
    """Tell what somebody has stopped."""
    return [
        warning(
            "pauses",
            f"{pause.partner or 'all partners'}, {pause.step or 'all steps'}: paused by {pause.paused_by} "
            f"at {pause.paused_at:%Y-%m-%d %H:%M} UTC",
        )
        for pause in pauses.in_force(session)
    ] or [ok("pauses", "nothing is paused")]


def callback_endpoints(session: Session) -> list[Finding]:
    """Count the endpoints of callers that nothing is sent to any more."""
    count = callback_health.disabled(session)
    if not count:
        return [ok("callback-endpoints", "none is disabled")]
    return [warning("callback-endpoints", f"{count} disabled: gone, or failing for days")]
