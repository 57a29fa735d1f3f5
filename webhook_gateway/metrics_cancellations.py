"""Figures of where cancellations stand now, by status, problem and line.

Each is read from an index, and stops counting at a bound, so that a million rows cost no more than some thousands.
"""

from prometheus_client import Metric
from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from shared import overview, pauses
from shared.callback_health import disabled
from shared.callback_models import Callback
from shared.db import now_plus
from shared.invariant_checks import counts
from shared.lifecycle import UNFINISHED, Status
from shared.models import Call, Cancellation
from shared.problems import slugs
from shared.turns import BULK, HELD, PROMISED, SINGLE
from webhook_gateway.metrics_families import gauge, gauges

COUNTED = 100_000
"""Of those that stand in line; more are told as this many."""
LOOKED_INTO = 5_000
"""Of rows that are read themselves, not only their index."""
SETTLED_WITHIN = 120.0
"""Seconds after which a request without an outcome is no longer merely under way: longer than any task may run."""

OPEN = (*sorted(UNFINISHED), Status.NEEDS_REVIEW)
PENDING = f"Cancellations of which a caller is yet to be told; {overview.CAP + 1} stands for more."
_LINES = {PROMISED: "promised", SINGLE: "single", BULK: "bulk", HELD: "held"}


def standing(session: Session) -> list[Metric]:
    """Tell how many have not ended, and when the oldest of them were accepted; by status."""
    now = session.scalars(select(now_plus(0))).one()
    found = {(status,): waiting for status, waiting in overview.by_status(session).items() if status in OPEN}
    number = {status: waiting.count for status, waiting in found.items()}
    oldest = {one: (now - waiting.oldest).total_seconds() if waiting.oldest else 0.0 for one, waiting in found.items()}
    about = f"Cancellations that have not ended, by status; {overview.CAP + 1} stands for more."
    about_oldest = "How long ago the oldest cancellation of each status was accepted; 0 when there is none."
    return [
        gauges("cfar_cancellations", about, ["status"], number),
        gauges("cfar_oldest_seconds", about_oldest, ["status"], oldest),
    ]


def reviews(session: Session) -> list[Metric]:
    """Tell what persons must decide, by problem."""
    newest = select(Cancellation.problem["type"].as_string().label("type"))
    newest = newest.where(Cancellation.status == Status.NEEDS_REVIEW).order_by(Cancellation.id.desc())
    some = newest.limit(LOOKED_INTO).subquery()
    found: dict[str, int] = dict.fromkeys(slugs(), 0)
    for problem, number in session.execute(select(some.c.type, func.count()).group_by(some.c.type)):
        name = str(problem).removeprefix("/problems/")
        found[name if name in found else "other"] = found.get(name if name in found else "other", 0) + number
    # Problems that nothing waits with say nothing, but for those that alerts ask for: theirs begin at 0.
    kept = {(name,): float(number) for name, number in found.items() if number or name in _ASKED_FOR}
    about = f"Cancellations that wait for a person, by problem, of the newest {LOOKED_INTO}."
    return [gauges("cfar_needs_review", about, ["problem"], kept)]


_ASKED_FOR = ("answer-unreadable", "credentials-refused", "internal-error", "outcome-unsettled", "worker-crashed")


def invariants(session: Session) -> list[Metric]:
    """Tell what breaks an invariant, and for how long the oldest row that is due has waited."""
    by_invariant, overdue = counts(session)
    about = "Cancellations that break an invariant now: blocked until a person has looked, or not moving."
    about_oldest = "For how long the oldest unfinished cancellation has been due without being worked on."
    return [
        gauges("cfar_invariant_broken", about, ["invariant"], {(name,): n for name, n in by_invariant.items()}),
        gauge("cfar_oldest_overdue_seconds", about_oldest, overdue.oldest_seconds),
    ]


def leases(session: Session) -> list[Metric]:
    """Tell of workers that died with a step in hand."""
    due = select(Cancellation.lease_until, Cancellation.abandoned, Cancellation.next_attempt_at)
    due = due.where(Cancellation.next_attempt_at <= now_plus(0)).order_by(Cancellation.next_attempt_at)
    some = due.limit(LOOKED_INTO).subquery()
    expired, abandoned = session.execute(
        select(
            func.count().filter(some.c.lease_until < now_plus(0)),
            func.coalesce(func.sum(some.c.abandoned), 0),
        )
    ).one()
    return [
        gauge("cfar_leases_expired", "Steps whose worker fell silent and that no other has taken up yet.", expired),
        gauge(
            "cfar_leases_abandoned",
            "How often workers fell silent in the present step of those that are due the longest.",
            abandoned,
        ),
    ]


def unknown_outcomes(session: Session) -> list[Metric]:
    """Tell of requests that may have been done without our knowing, and since when the oldest is in doubt."""
    in_doubt = (
        text("calls.outcome IN ('sent', 'unknown')"),  # in the words of the index, which parameters would hide
        Call.last_sent_at <= now_plus(-SETTLED_WITHIN),
    )
    of_open = select(Call.step, Call.first_sent_at).join(Cancellation, Cancellation.id == Call.cancellation_id)
    of_open = of_open.where(*in_doubt, Cancellation.status.in_(OPEN)).order_by(Call.last_sent_at).limit(LOOKED_INTO)
    some = of_open.subquery()
    number: dict[tuple[str, ...], float] = {}
    oldest, now = None, session.scalars(select(now_plus(0))).one()
    for step, count, first in session.execute(
        select(some.c.step, func.count(), func.min(some.c.first_sent_at)).group_by(some.c.step)
    ):
        number[(step,)] = count
        oldest = first if oldest is None or first < oldest else oldest
    about = f"Requests of unfinished cancellations whose outcome nobody knows after {SETTLED_WITHIN:g} s, by step."
    about_oldest = "Since when the oldest such request is in doubt; 0 when there is none."
    waited = (now - oldest).total_seconds() if oldest else 0.0
    return [
        gauges("cfar_unknown_outcomes", about, ["step"], number),
        gauge("cfar_oldest_unknown_outcome_seconds", about_oldest, waited),
    ]


def lines(session: Session) -> list[Metric]:
    """Tell how many wait for their turn at each partner's rate limit."""
    waiting = select(Cancellation.partner, Cancellation.turn_class).where(Cancellation.turn_class.is_not(None))
    some = waiting.limit(COUNTED).subquery()
    rows = session.execute(
        select(some.c.partner, some.c.turn_class, func.count()).group_by(some.c.partner, some.c.turn_class)
    )
    values = {(partner, _LINES.get(number, "other")): float(length) for partner, number, length in rows}
    about = f"Cancellations that wait for their turn at the insurer, by class of service; {COUNTED} in all at most."
    return [gauges("cfar_line_length", about, ["partner", "class"], values)]


def paused(session: Session) -> list[Metric]:
    """Tell what persons have stopped, and for how long it has been so."""
    now = session.scalars(select(now_plus(0))).one()
    since = {(one.partner, one.step): (now - one.paused_at).total_seconds() for one in pauses.in_force(session)}
    about = "For how long a partner, a step or, with both empty, everything has been paused."
    return [
        gauge("cfar_pauses", "Pauses in force.", len(since)),
        gauges("cfar_pause_seconds", about, ["partner", "step"], since),
    ]


def callbacks(session: Session) -> list[Metric]:
    """Tell what upstream systems have not been told yet, and which endpoints are told nothing any more."""
    due = select(func.min(Callback.next_attempt_at), now_plus(0)).where(
        Callback.next_attempt_at <= now_plus(0),
        or_(Callback.lease_until.is_(None), Callback.lease_until < now_plus(0)),
    )
    oldest, now = session.execute(due).one()
    about = "Endpoints of callers that nothing is sent to any more: gone, or failing for days."
    return [
        gauge("cfar_callbacks_pending", PENDING, overview.callbacks(session).count),
        gauge(
            "cfar_callbacks_overdue_seconds",
            "For how long the oldest callback has been due without being tried.",
            (now - oldest).total_seconds() if oldest else 0.0,
        ),
        gauge("cfar_callback_endpoints_disabled", about, disabled(session)),
    ]
