"""Having a worker ask the insurer now, and waiting a moment for what it hears: this process may not call out itself."""

from datetime import datetime
from threading import Thread
from time import monotonic, sleep

from sqlalchemy import func, select

from shared import broker
from shared.db import AWAY, now_plus
from shared.doctor.patient import Patient
from shared.doctor.processes import ALIVE_FOR
from shared.lifecycle import TaskName
from shared.operations_models import InsurerCheck, ProcessSeen

PATIENCE = 6.0
"""Seconds; an insurer that takes longer is found out by the next look."""
LOOK_EVERY = 0.2


def ask_insurers(patient: Patient, *, patience: float = PATIENCE) -> bool:
    """Have every service asked, and return whether all were heard of in time; not asked where no worker lives."""
    try:
        since = _now_if_a_worker_lives(patient)
        if since is None:
            return False
        Thread(
            target=broker.ring, args=(patient.celery, TaskName.CHECK_INSURER), name="doctor-asks", daemon=True
        ).start()
        until = monotonic() + patience
        while monotonic() < until:
            if _all_heard_of(patient, since):
                return True
            sleep(LOOK_EVERY)
    except AWAY:
        return False  # the examination tells of it
    return False


def _now_if_a_worker_lives(patient: Patient) -> datetime | None:
    alive = ProcessSeen.kind == "worker", ProcessSeen.seen_at >= now_plus(-ALIVE_FOR)
    with patient.database.reading() as session:
        is_alive = session.scalar(select(func.count()).select_from(ProcessSeen).where(*alive))
        return session.scalars(select(now_plus(0))).one() if is_alive else None


def _all_heard_of(patient: Patient, since: datetime) -> bool:
    with patient.database.reading() as session:
        checked = select(InsurerCheck.partner, InsurerCheck.service).where(InsurerCheck.checked_at >= since)
        heard_of = {(partner, service) for partner, service in session.execute(checked)}
    return set(patient.services) <= heard_of
