"""Tells the database that this worker lives and consumes, and that beat does, as tasks come by.

An idle worker is sent a probe by its supervisor every ten seconds, so that no worker stays silent for long.
"""

import time
from typing import Any

import structlog
from celery.signals import task_postrun
from sqlalchemy import update

from shared.clock import utc_now
from shared.db import AWAY, clock_lead, insert_or_ignore, now_plus
from shared.lifecycle import TaskName
from shared.operations_models import ProcessSeen
from workers.runtime import runtime

TELL_EVERY = 10.0
"""Seconds between two notes about the same process."""
BEAT = "beat"

log = structlog.get_logger()

_told: dict[str, float] = {}


def connect() -> None:
    """Have Celery call `note_task` after each task; once per process, where the worker's app is made."""
    task_postrun.connect(note_task, weak=False, dispatch_uid="presence.postrun")


def note_task(task: Any = None, **_signal: object) -> None:
    """Note that this worker ran something; a sweep was sent by beat, so that one lives too."""
    note(str(task.request.hostname or "unnamed"), kind="worker")
    if task.name == TaskName.SWEEP:
        note(BEAT, kind=BEAT)


def note(name: str, *, kind: str) -> None:
    """Write down that a process is alive, at most every ten seconds; a database that is away is no reason to stop."""
    now = time.monotonic()
    if now - _told.get(name, float("-inf")) < TELL_EVERY:
        return
    _told[name] = now
    try:
        with runtime().database.aside() as tx:
            lead = clock_lead(tx.session, utc_now()).total_seconds()  # requests are signed by this host's clock
            details = {"clock_lead": round(lead, 3)}
            seen = update(ProcessSeen).where(ProcessSeen.name == name).values(seen_at=now_plus(0), details=details)
            if tx.session.scalar(seen.returning(ProcessSeen.name)) is None:
                values = {
                    "name": name, "kind": kind, "first_seen_at": now_plus(0), "seen_at": now_plus(0), "details": details
                }  # fmt: skip
                insert_or_ignore(tx.session, ProcessSeen, values, conflict=("name",))
    except AWAY as error:
        log.warning("presence_not_noted", error=type(error).__name__, next="noted with a later task")
