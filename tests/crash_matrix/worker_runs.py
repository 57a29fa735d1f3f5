"""Plays every case of one death in one deployment, many at once, so that their waits overlap.

A process that kills or stops itself at its boundary needs nobody. Where all processes of a worker get the signal at
once, a wave of tries first gathers, each at its own boundary. The insurer holds the requests of the two boundaries
that lie outside of the process, and acts or answers when the caller is gone.
"""

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from uuid import UUID

import psutil
from sqlalchemy import select

from shared.db import now_plus
from shared.lifecycle import UNFINISHED, TaskName
from shared.models import Cancellation
from shared.webhook_models import WebhookDelivery
from tests.crash_matrix import stories
from tests.crash_matrix.cases import Case, Death, cases
from tests.crash_matrix.deployment import Deployment
from tests.crash_matrix.evidence import Evidence, Subject, gather
from tests.crash_matrix.stories import Life

TICK = 0.3
PATIENCE = 500.0
"""Seconds for a whole run; it only bounds a hang: what has not ended by then is shown as it is."""
REPEAT_AFTER = 3.0
"""Seconds after which a producer that does not see what it asked for sends again."""
SWEEP_SOONER = 1.0
"""Seconds between sweeps in a run that makes leases run out early."""
CONCURRENCY = {Death.KILLED: 8, Death.ALL_KILLED: 24, Death.TERMINATED: 24, Death.STOPPED: 24}
WAVES = {Death.ALL_KILLED: 20, Death.TERMINATED: 20, Death.STOPPED: 20}
"""Tries that stand at their boundaries at once; the rest of the pool goes on with the other steps.

Each holds a connection, and three runs at a time share a PostgreSQL that may allow a hundred.
"""


class Run:
    """The lives of one deployment."""

    def __init__(self, world: Deployment, death: Death) -> None:
        self._world = world
        self._death = death
        self._lives: list[Life] = []
        self._statuses: dict[UUID, str] = {}
        self._unhandled: set[UUID] = set()
        self._repeated_at = time.monotonic()
        self._swept_at = 0.0
        self._until_at = time.monotonic() + PATIENCE

    def play(self) -> dict[str, Evidence]:
        """Let every case live to its end, and return what is left of each."""
        todo = cases(self._death)
        self._world.processes.start("beat")
        self._world.processes.start("worker")
        if self._death is Death.KILLED:
            self._begin(todo)
            self._until(lambda: self._have_ended(self._lives))
            return self._gather(self._lives)
        todo.sort(key=lambda case: case.boundary.value == "committing")  # they keep rows locked: one wave waits for it
        size = WAVES[self._death]
        before: dict[str, Evidence] = {}
        for start in range(0, len(todo), size):
            wave = self._begin(todo[start : start + size])
            self._until(lambda wave=wave: all(life.has_arrived for life in wave))
            before |= self._strike(wave)
        self._until(lambda: self._have_ended(self._lives))
        return self._gather(self._lives, before=before)

    def _begin(self, todo: Sequence[Case]) -> list[Life]:
        wave = []
        for case in todo:
            if case.place.task is TaskName.SWEEP:  # one sweep would take the rows of all
                sweeps = [life for life in wave if life.case.place.task is TaskName.SWEEP]
                self._until(lambda sweeps=sweeps: all(life.has_arrived for life in sweeps))
            life = stories.begin(self._world, case)
            wave.append(life)
            self._lives.append(life)
        return wave

    def _strike(self, wave: list[Life]) -> dict[str, Evidence]:
        world = self._world
        if self._death is Death.ALL_KILLED:
            world.processes.kill("worker")
            self._let_the_insurer_go_on(wave)
            for life in wave:
                life.is_struck = True
            world.processes.start("worker")
        elif self._death is Death.TERMINATED:
            main = psutil.Process(world.processes.pid("worker"))
            for process in [*main.children(recursive=True), main]:
                with suppress(psutil.NoSuchProcess):  # a pool process may end just now
                    process.terminate()
            for life in wave:
                world.dooms.let_go(life.victim)
            self._let_the_insurer_go_on(wave)
            self._until(lambda: world.processes.has_ended("worker"))
            found = self._gather(wave)
            world.processes.stop("worker")
            world.processes.start("worker")
            return found
        else:
            self._until(lambda: self._have_ended(wave))
            found = self._gather(wave)
            stopped = [life.victim for life in wave if life.is_struck]
            for victim in stopped:
                os.kill(world.dooms.pid(victim), signal.SIGCONT)
            self._until(lambda: all(world.dooms.has(victim, "end") for victim in stopped))
            return found
        return {}

    def _gather(self, lives: list[Life], before: dict[str, Evidence] | None = None) -> dict[str, Evidence]:
        subjects = [
            Subject(
                name=life.case.name,
                row_id=life.row_id,
                booking=life.booking,
                has_died=life.has_arrived,
                has_ended=bool(life.victim) and self._world.dooms.has(life.victim, "end"),
            )
            for life in lives
        ]
        return gather(self._world, subjects, before=before)

    def _let_the_insurer_go_on(self, wave: list[Life]) -> None:
        held = self._world.simulator.state.holds.held()
        for life in wave:
            if life.booking.id in held:
                self._world.simulator.state.holds.release(life.booking.id)

    def _have_ended(self, lives: Sequence[Life]) -> bool:
        return all(
            life.has_arrived
            and life.row_id is not None
            and self._statuses.get(life.row_id) not in {None, *UNFINISHED}
            and life.delivery_id not in self._unhandled
            for life in lives
        )

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and time.monotonic() < self._until_at:
            self._tick()
            time.sleep(TICK)

    def _tick(self) -> None:
        self._look()
        held = self._world.simulator.state.holds.held()
        for life in self._lives:
            if not life.has_arrived and self._is_there(life, held):
                life.has_arrived = True
                life.is_struck = self._death in {Death.KILLED, Death.STOPPED}
            if life.row_id is not None:
                stories.go_on(self._world, life, self._statuses.get(life.row_id, ""))
        self._repeat()
        self._let_time_pass()

    def _look(self) -> None:
        with self._world.database.reading() as session:
            columns = (Cancellation.id, Cancellation.idempotency_key, Cancellation.status)
            rows = session.execute(select(*columns)).all()
            unhandled = select(WebhookDelivery.id).where(WebhookDelivery.handled_at.is_(None))
            self._unhandled = set(session.scalars(unhandled))
        self._statuses = {row.id: row.status for row in rows}
        ids = {row.idempotency_key: row.id for row in rows}
        for life in self._lives:
            life.row_id = life.row_id or ids.get(life.key)

    def _is_there(self, life: Life, held: Collection[str]) -> bool:
        """Tell whether the boundary is reached; at those that the insurer sees, strike a single process here."""
        if not life.case.is_held_by_the_insurer:
            return bool(life.victim) and self._world.dooms.has(life.victim, "at")
        if life.booking.id not in held:
            return False
        pid = self._world.dooms.pid(life.victim)
        if self._death is Death.KILLED:
            os.kill(pid, signal.SIGKILL)
            while _is_alive(pid):
                time.sleep(0.001)
        elif self._death is Death.STOPPED:
            os.kill(pid, signal.SIGSTOP)
        else:
            return True
        self._world.simulator.state.holds.release(life.booking.id)
        return True

    def _repeat(self) -> None:
        if time.monotonic() < self._repeated_at + REPEAT_AFTER:
            return
        self._repeated_at = time.monotonic()
        for life in self._lives:
            status = self._statuses.get(life.row_id) if life.row_id else None
            task = life.case.place.task
            is_unheard = status is None if task is TaskName.REQUEST else status == "awaiting_refund"
            if task in {TaskName.REQUEST, TaskName.REPORT_REFUND, TaskName.ABORT} and life.has_arrived and is_unheard:
                stories.repeat(self._world, life)

    def _let_time_pass(self) -> None:
        """Let leases run out early that would do so later: a dead handler's always, a stopped process's here too.

        By the database's own clock, which alone decides about leases, and once for each; what is locked waits.
        """
        struck = [life for life in self._lives if life.is_struck and not life.is_aged]
        by_row = {life.row_id: life for life in struck if self._death is Death.STOPPED}
        by_delivery = {life.delivery_id: life for life in struck if life.case.place.task is TaskName.HANDLE_WEBHOOK}
        with self._world.database.transaction() as tx:
            for table, lives in ((WebhookDelivery, by_delivery), (Cancellation, by_row)):
                for row in tx.session.scalars(
                    select(table).where(table.id.in_(lives)).with_for_update(skip_locked=True)
                ):
                    life = lives[row.id]
                    life.is_aged = True
                    row.ring_after = None
                    if row.lease_until is not None and getattr(row, "next_step", None) == life.case.place.step:
                        row.lease_until = now_plus(-1)
        if self._death is Death.STOPPED and time.monotonic() > self._swept_at + SWEEP_SOONER:
            self._swept_at = time.monotonic()
            stories.ring_the_sweeper(self._world)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # its parent was quick to reap it
        return False
