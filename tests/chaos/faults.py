"""Everything that is done to the service, by name; what each does is said in its docstring."""

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psutil
import redis

from shared.cancellations import LEASE_SECONDS
from tests.chaos.fleet import Fleet, send
from tests.chaos.plan import Plan
from tests.chaos.recovery import RecoveryWatch
from tests.chaos.rows import Rows
from tests.chaos.stack import WORKERS, Stack

HOUR = 3600.0
LAPSE = 25 * HOUR
"""Past every offer's `confirm_before`."""
FORGET = 49 * HOUR
"""Past every key's 48 hours."""


LEASE_TELLS = 2.2
"""Seconds within which a worker that lives renews its lease."""
HALF_DONE = "SELECT count(*) FROM cancellations WHERE lease_until > %(since)s"


class NothingToHit(Exception):
    """What a fault needs was not there in time: it did not happen."""


class Faults:
    """The faults' tools and their consequences so far. One thread calls them."""

    def __init__(self, stack: Stack, plan: Plan, fleet: Fleet, watch: RecoveryWatch) -> None:
        self._stack = stack
        self._plan = plan
        self._fleet = fleet
        self._watch = watch
        self._chance = random.Random(f"{plan.seed}:faults")
        self._stop = threading.Event()
        self._pauses: list[threading.Thread] = []
        self.jumps: list[tuple[float, float]] = []
        """When the insurer's clock jumped, by this machine's clock, and to which offset."""
        self.keys_forgotten = 0
        self.stop_seconds: list[float] = []
        """How long each deployment waited for the last process to end."""
        self.killed_at_deploy = 0
        self.left_leased = 0
        """Steps that a deployment's SIGTERM left without an end."""

    # A worker.

    def worker_main_killed(self) -> None:
        """SIGKILL Celery's main process; its pool processes see that and end, the supervisor starts a new one."""
        name = self._worker()
        self._kill("worker_main_killed", lambda: [found] if (found := self._fleet.worker_main(name)) else [])

    def worker_child_killed(self) -> None:
        """SIGKILL one process that runs steps."""
        name = self._worker()
        self._kill("worker_child_killed", lambda: self._some(self._fleet.pool(name)))

    def worker_group_killed(self) -> None:
        """SIGKILL the supervisor and everything below it, as when a machine is lost."""
        name = self._worker()
        self._kill("worker_group_killed", lambda: self._fleet.family(name))

    def supervisor_killed(self) -> None:
        """SIGKILL the supervisor alone."""
        name = self._worker()
        self._kill("supervisor_killed", lambda: self._fleet.family(name)[:1])

    def worker_paused(self) -> None:
        """SIGSTOP every process of a worker past its leases, then SIGCONT: it wakes up in the middle of its steps."""
        family = self._found(lambda: self._fleet.family(self._worker()))
        send(family, signal.SIGSTOP)

        def resume() -> None:
            self._stop.wait(self._plan.paused)
            send(family, signal.SIGCONT)

        thread = threading.Thread(target=resume, name="resume")
        thread.start()
        self._pauses.append(thread)

    # The gateway and beat.

    def web_killed(self) -> None:
        """SIGKILL gunicorn, all of it."""
        send(self._found(lambda: self._fleet.family("web")), signal.SIGKILL)

    def web_child_killed(self) -> None:
        """SIGKILL one process that answers requests."""
        send(self._found(lambda: self._some(self._fleet.pool("web"))), signal.SIGKILL)

    def beat_killed(self) -> None:
        """SIGKILL beat."""
        send(self._found(lambda: self._fleet.family("beat")), signal.SIGKILL)

    # Redis and PostgreSQL.

    def redis_flushed(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self._stack.redis.url, socket_timeout=60) as server:
            server.flushall()

    def redis_restarted(self) -> None:
        """Restart Redis, which comes back empty."""
        self._stack.redis.stop()
        self._stack.redis.start()

    def redis_away(self) -> None:
        """Stop Redis for a while; it comes back empty."""
        self._stack.redis.stop()
        self._stop.wait(self._plan.redis_away)
        self._stack.redis.start()

    def redis_hung(self) -> None:
        """SIGSTOP Redis for a while: connections stay and nothing answers."""
        process = psutil.Process(self._stack.redis.pid)
        process.suspend()
        try:
            self._stop.wait(self._plan.redis_hangs)
        finally:
            process.resume()

    def postgresql_restarted(self) -> None:
        """Restart PostgreSQL; every connection ends."""
        self._stack.postgresql.stop("fast")
        self._start_postgresql()

    def postgresql_crashed_in_recovery(self) -> None:
        """Crash PostgreSQL while a killed worker's steps are being taken up, and again while it recovers itself."""
        name = self._worker()
        self._kill("postgresql_crashed_in_recovery", lambda: self._fleet.family(name), is_waiting=False)
        self._stop.wait(self._chance.uniform(6, 11) if self._plan.recovery_wait else 1)
        self._stack.postgresql.stop("immediate")
        self._stack.postgresql.start(is_waiting=False)
        self._stop.wait(self._chance.uniform(0, 0.3))
        with suppress(subprocess.CalledProcessError):  # it may have got no further than its first line
            self._stack.postgresql.stop("immediate")
        self._start_postgresql()

    # The insurer.

    def keys_forgotten_early(self) -> None:
        """Let the insurer forget a third of the idempotency keys, as if their 48 hours were over."""
        self.keys_forgotten += self._stack.insurer.forget_keys(share=1 / 3, seed=self._plan.seed)

    def clock_past_offers(self) -> None:
        """Move the insurer's clock past the deadline of every offer that is open."""
        self._jump(LAPSE)

    def clock_past_keys(self) -> None:
        """Move the insurer's clock past the 48 hours of every key."""
        self._jump(FORGET)

    # Everything at once.

    def deployed(self) -> None:
        """SIGTERM every process at once, as Heroku does, then start all again."""
        self.wait_for_pauses()  # a stopped process takes no SIGTERM
        with self._fleet.held():
            self._stop.wait(LEASE_TELLS)
            begun, moment = time.monotonic(), datetime.now(UTC)
            killed = self._fleet.terminate_all()
            self.stop_seconds.append(time.monotonic() - begun)
            self.killed_at_deploy += len(killed)
            rows = Rows(self._stack.postgresql.url)
            # Alive at the SIGTERM is what was renewed in the two seconds before it: others were killed before.
            live = {"since": moment + timedelta(seconds=LEASE_SECONDS - LEASE_TELLS)}
            self.left_leased += rows.read(HALF_DONE, live)[0][0]
            rows.close()
            self._fleet.start_all()

    def wait_for_pauses(self) -> None:
        """Wait until nothing is stopped any more."""
        for thread in self._pauses:
            thread.join()
        self._pauses.clear()

    def close(self) -> None:
        """Undo what lasts, at once."""
        self._stop.set()
        self.wait_for_pauses()

    def _worker(self) -> str:
        return self._chance.choice(WORKERS)

    def _kill(self, fault: str, look: Callable[[], list[psutil.Process]], *, is_waiting: bool = True) -> None:
        if is_waiting:
            self._watch.wait_for_calm(self._plan.recovery_wait)
        found = self._found(look)
        self._watch.killing(fault)
        send(found, signal.SIGKILL)
        if is_waiting:
            self._watch.settle(self._plan.recovery_wait)

    def _found(self, look: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
        found = list(self._fleet.find(look))
        if not found:
            raise NothingToHit("what was to be hit was not running")
        return found

    def _some(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        return [self._chance.choice(processes)] if processes else []

    def _start_postgresql(self) -> None:
        for _ in range(5):  # its own patience is ten seconds
            try:
                self._stack.postgresql.start()
            except subprocess.SubprocessError:
                continue
            return
        raise RuntimeError("PostgreSQL did not come back")

    def _jump(self, seconds: float) -> None:
        self._stack.insurer.shift_clock(seconds)
        offset = (self.jumps[-1][1] if self.jumps else 0.0) + seconds
        self.jumps.append((time.time(), offset))
