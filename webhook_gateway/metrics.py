"""/metrics for Prometheus: counted in the database when it is asked for, since processes share no memory.

Every process of the gateway answers the same; whoever adds a counter of one process's own must say so in its name.
"""

from collections.abc import Callable, Iterator
from threading import Lock, Thread
from time import monotonic

import structlog
from celery import Celery
from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db import Database
from webhook_gateway import metrics_cancellations, metrics_recent, metrics_surroundings
from webhook_gateway.metrics_families import gauge, gauges

FRESH_SECONDS = 5.0
"""However many ask, the database is asked once in this time by each process."""
SCRAPE_SECONDS = 3.0
"""Prometheus gives up after ten seconds by default; the database's own limits are longer than that."""
ASKING_SECONDS = 2.0
"""No further group of figures is begun after that, so that those found are told in time."""
STATEMENT_MS = 1_000
"""Of one statement: a figure that takes longer is left out, and does not keep the database from its work."""

log = structlog.get_logger()

Figures = Callable[[Session], list[Metric]]
FIGURES: dict[str, Figures] = {
    "invariants": metrics_cancellations.invariants,
    "processes": metrics_surroundings.processes,
    "unknown_outcomes": metrics_cancellations.unknown_outcomes,
    "insurers": metrics_surroundings.insurers,
    "webhooks": metrics_surroundings.webhooks,
    "callbacks": metrics_cancellations.callbacks,
    "pauses": metrics_cancellations.paused,
    "reviews": metrics_cancellations.reviews,
    "standing": metrics_cancellations.standing,
    "leases": metrics_cancellations.leases,
    "lines": metrics_cancellations.lines,
    "changes": metrics_recent.changes,
    "calls": metrics_recent.calls,
    "audit": metrics_recent.audited,
    "durations": metrics_recent.durations,
    "storage": metrics_surroundings.storage,
}
"""By group, in the order in which they are asked for: what wakes somebody up comes first."""


def register(app: Flask, database: Database, celery: Celery) -> None:
    """Add the route; it needs no token and tells numbers only."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfDatabase(database, celery))

    @app.get("/metrics")
    def metrics() -> Response:
        """Answer always, at once, and within SCRAPE_SECONDS; `cfar_database_up` says whether the rest is there."""
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _OfDatabase(Collector):
    """Asks in a thread that can be left behind when no answer comes; at most one question is open at a time."""

    def __init__(self, database: Database, celery: Celery) -> None:
        self._database = database
        self._celery = celery
        self._lock = Lock()
        self._thread: Thread | None = None
        self._known: list[Metric] | None = None
        self._known_at = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yield what is known now."""
        with self._lock:
            if monotonic() - self._known_at > FRESH_SECONDS:
                self._known = None
            if self._known is None and (self._thread is None or not self._thread.is_alive()):
                self._thread = Thread(target=self._ask, name="metrics", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(SCRAPE_SECONDS)
        known = self._known
        yield gauge("cfar_database_up", "Whether the database could be asked.", 0.0 if known is None else 1.0)
        yield from known or []

    def _ask(self) -> None:
        try:
            with self._database.reading() as session:
                session.scalar(select(1))
        except SQLAlchemyError as error:
            log.warning("database_unavailable", error=type(error).__name__, route="/metrics")
            return
        found, left_out, ends = [], {}, monotonic() + ASKING_SECONDS
        for name, figures in FIGURES.items():
            told = self._told(name, figures) if monotonic() < ends else None
            found += told or []
            left_out[(name,)] = float(told is None)
        about = "Figures that took the database too long, by group: they are missing from this answer."
        found = [gauges("cfar_figures_left_out", about, ["group"], left_out), *found]
        # After the others, since Redis may take its time: whoever waits no longer is told that it is away.
        self._known, self._known_at = [*found, metrics_surroundings.redis_up(0.0)], monotonic()
        self._known = [*found, *metrics_surroundings.redis(self._celery)]

    def _told(self, name: str, figures: Figures) -> list[Metric] | None:
        try:
            with self._database.reading() as session:
                if self._database.is_postgresql:
                    session.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_MS}"))
                return figures(session)
        except SQLAlchemyError as error:
            log.warning("figures_left_out", group=name, error=type(error).__name__)
            return None
