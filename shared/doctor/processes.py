"""Who is alive, by what each process noted in the database."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.broker import SWEEP_EVERY, TASK_HARD_LIMIT
from shared.db import now_plus
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.operations_models import ProcessSeen

ALIVE_FOR = TASK_HARD_LIMIT + 30.0
"""Seconds: a worker notes itself after each task, and every slot may be busy with the longest one."""
BEAT_ALIVE_FOR = SWEEP_EVERY * 12
"""Seconds since the last sweep: workers note it every ten, and a busy one is late."""


def workers(session: Session) -> list[Finding]:
    """Say how many workers consume."""
    is_worker = ProcessSeen.kind == "worker"
    alive = session.scalar(
        select(func.count()).select_from(ProcessSeen).where(is_worker, ProcessSeen.seen_at >= now_plus(-ALIVE_FOR))
    )
    if alive:
        return [ok("workers", f"{alive} consuming")]
    silent = _silent_for(session, "worker")
    return [wrong("workers", "none was ever seen" if silent is None else f"none consumes, since {_length(silent)}")]


def beat(session: Session) -> list[Finding]:
    """Say when the sweeper last ran: beat sends it, a worker runs it."""
    silent = _silent_for(session, "beat")
    if silent is not None and silent < BEAT_ALIVE_FOR:
        return [ok("beat", f"the sweeper last ran {silent:.0f} s ago")]
    said = "the sweeper was never seen to run" if silent is None else f"the sweeper has not run since {_length(silent)}"
    consuming = _silent_for(session, "worker")
    if consuming is None or consuming >= ALIVE_FOR:
        return [warning("beat", f"{said}, as no worker consumes; beat itself may be well", cause="workers")]
    return [wrong("beat", said)]


def _silent_for(session: Session, kind: str) -> float | None:
    """Return the seconds since a process of this kind was last seen; None when none was."""
    seen_at = session.scalar(select(func.max(ProcessSeen.seen_at)).where(ProcessSeen.kind == kind))
    now = session.scalars(select(now_plus(0))).one()
    return None if seen_at is None else (now - seen_at).total_seconds()


def _length(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:.0f} s"
