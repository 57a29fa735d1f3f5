"""The real worker, which dies where it is told to: `celery --app tests.crash_matrix.doomed_worker worker`.

Nothing of it is replaced: Celery's signals, the database's transactions and the session's commits are only watched.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from celery.signals import task_postrun, task_prerun, worker_init
from sqlalchemy import event, text
from sqlalchemy.orm import Session, configure_mappers

from shared import breakers
from shared.db import Database, Transaction
from shared.insurer import sockets, transport
from shared.lifecycle import TaskName
from tests.crash_matrix.boundaries import Boundary
from tests.crash_matrix.dooms import FOLDER, Doom, Folder
from workers.app import app

__all__ = ["app"]

GATHERING = 600.0
"""Seconds that a try may stand at its boundary, or the insurer hold its request, until the others are at theirs."""
app.conf.update(task_soft_time_limit=GATHERING, task_time_limit=GATHERING + 10)
transport.Timeouts = partial(transport.Timeouts, read=GATHERING, deadline=GATHERING)  # type: ignore[misc,assignment]

breakers.OPENS_AFTER = 1_000_000  # type: ignore[misc]  # hundreds of victims share one insurer: none may stop others

folder = Folder(Path(os.environ[FOLDER]))


class Try:
    """A try that is doomed, and how far it is."""

    def __init__(self, doom: Doom) -> None:
        self.doom = doom
        self.begun = 0
        self.rings = False
        self.has_met = False
        """It died once: what a stopped process commits after it woke up, beside its step, is no boundary."""
        self._thread = threading.get_ident()

    @property
    def is_here(self) -> bool:
        """The keeper of the lease, a thread beside us, has transactions of its own."""
        return threading.get_ident() == self._thread

    def reach(self, boundary: Boundary, tx: Transaction | None = None) -> None:
        """Die if this is the place."""
        if self.doom.boundary != boundary or self.has_met:
            return
        if self.doom.only_with_messages and not (self.rings and folder.take(self.doom)):
            return
        self.has_met = True
        if tx is None:
            folder.meet(self.doom)
        else:
            folder.meet(self.doom, stay=lambda: tx.session.execute(text("SELECT 1")))


class _Process:
    """What this process is about to die of; a pool process runs one task at a time."""

    current: Try | None = None


_transaction = Database.transaction


@contextmanager
def _watched(self: Database) -> Iterator[Transaction]:
    doomed = _Process.current if _Process.current is not None and _Process.current.is_here else None
    if doomed is not None:
        doomed.begun += 1
        if doomed.begun == doomed.doom.last > 1:
            doomed.reach(Boundary.ANSWERED)
    with _transaction(self) as tx:
        yield tx
        if doomed is not None:
            doomed.rings = bool(tx.messages)
            if doomed.begun == doomed.doom.last:
                tx.session.flush()
                doomed.reach(Boundary.COMMITTING, tx)


def _committed(_session: Session) -> None:
    doomed = _Process.current
    if doomed is None or not doomed.is_here:
        return
    if doomed.begun == doomed.doom.last:
        doomed.reach(Boundary.COMMITTED)
    elif doomed.begun == 1:
        doomed.reach(Boundary.INTENT_COMMITTED)


@task_prerun.connect(weak=False)
def _begin(task: Any, args: Any, kwargs: Any, **_signal: Any) -> None:
    if task.name == TaskName.SWEEP:
        doom = folder.find_any("sweep-", task.name)
        is_ours = doom is not None and (doom.only_with_messages or folder.take(doom))
    else:
        doom = folder.find(str(args[0] if args else kwargs.get("idempotency_key")), task.name)
        is_ours = doom is not None and folder.take(doom)
    _Process.current = Try(doom) if doom is not None and is_ours else None
    if _Process.current is not None:
        _Process.current.reach(Boundary.BEFORE_LEASE)


@task_postrun.connect(weak=False)
def _end(**_signal: Any) -> None:
    if _Process.current is not None:
        _Process.current.reach(Boundary.PUBLISHED)
        if folder.has(_Process.current.doom.victim, "pid"):
            folder.note(_Process.current.doom.victim, "end")
        _Process.current = None


@worker_init.connect(weak=False)
def _warm_up(**_signal: Any) -> None:
    """Do once before the fork what each of hundreds of processes that are about to die would do again."""
    sockets._tls()
    configure_mappers()


Database.transaction = _watched  # type: ignore[method-assign]
event.listen(Session, "after_commit", _committed)
