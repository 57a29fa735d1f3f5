"""FLUSHALL in a quiet system: due jobs whose messages are wiped, and how long until each moves again."""

import signal
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

import redis

from tests.chaos.fleet import Fleet, send
from tests.chaos.messages import QUEUES
from tests.chaos.plan import Plan
from tests.chaos.report import spread
from tests.chaos.rows import AWAY, Rows
from tests.chaos.stack import WORKERS, Stack
from tests.chaos.traffic import Traffic

ARRIVAL = 5.0
"""Seconds for the messages to arrive while nobody reads them."""
MOVED = (
    "SELECT min(at) FROM transitions WHERE cancellation_id = ANY(%(ids)s) AND event <> 'accepted'"
    " GROUP BY cancellation_id"
)


def measure(stack: Stack, plan: Plan, fleet: Fleet, traffic: Traffic) -> dict[str, Any]:
    """Accept jobs while the workers are stopped, wipe their messages, let the workers go on, and watch."""
    workers = [process for name in WORKERS for process in fleet.family(name)]
    send(workers, signal.SIGSTOP)
    try:
        ids = [UUID(job.id) for job in traffic.send_more(plan.quiet_jobs) if job.id]
        wiped = _wipe(stack.redis.url, len(ids))
        flushed_at = time.time()
    finally:
        send(workers, signal.SIGCONT)
    return {"jobs": len(ids), "wiped": wiped, **spread(_moved(stack.postgresql.url, ids, flushed_at, plan.settle))}


def _wipe(url: str, expected: int) -> int:
    with redis.Redis.from_url(url, socket_timeout=60) as server:
        until = time.monotonic() + ARRIVAL
        while (waiting := server.llen(QUEUES[0])) < expected and time.monotonic() < until:
            time.sleep(0.05)
        server.flushall()
    return int(waiting)


def _moved(url: str, ids: list[UUID], flushed_at: float, patience: float) -> list[float]:
    """Return after how long each first moved; for one that does not, how long was waited."""
    rows, until = Rows(url), time.monotonic() + patience
    moved: list[tuple[Any, ...]] = []
    while len(moved) < len(ids) and time.monotonic() < until:
        with suppress(*AWAY):
            moved = rows.read(MOVED, {"ids": ids})
        time.sleep(0.2)
    rows.close()
    times = [at.timestamp() - flushed_at for (at,) in moved]
    return times + [patience] * (len(ids) - len(times))
