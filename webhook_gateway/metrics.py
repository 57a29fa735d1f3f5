"""/metrics for Prometheus: counted in the database when it is asked for, since processes share no memory.

Every process of the gateway answers the same; whoever adds a counter of one process's own must say so in its name.
"""

from collections.abc import Iterator
from threading import Lock, Thread
from time import monotonic

import structlog
from celery import Celery
from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from shared import callback_health, forgettable
from shared.db import Database
from shared.invariant_checks import counts

FRESH_SECONDS = 5.0
"""However many ask, the database is asked once in this time by each process."""
SCRAPE_SECONDS = 3.0
"""Prometheus gives up after ten seconds by default; the database's own limits are longer than that."""

log = structlog.get_logger()


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
        up = GaugeMetricFamily("cfar_database_up", "Whether the database could be asked.")
        up.add_metric([], 0.0 if known is None else 1.0)
        yield up
        yield from known or []

    def _ask(self) -> None:
        try:
            with self._database.reading() as session:
                by_invariant, overdue = counts(session)
                disabled = callback_health.disabled(session)
        except SQLAlchemyError as error:
            log.warning("database_unavailable", error=type(error).__name__, route="/metrics")
            return
        about = "For how long the oldest unfinished cancellation has been due without being worked on."
        oldest = _gauge("cfar_oldest_overdue_seconds", about, overdue.oldest_seconds)
        about = "Endpoints of callers that nothing is sent to any more: gone, or failing for days."
        unheard = _gauge("cfar_callback_endpoints_disabled", about, float(disabled))
        self._known, self._known_at = [_broken(by_invariant), oldest, unheard], monotonic()
        ended = forgettable.recall(self._celery, forgettable.CHECK_ENDED).get(forgettable.CHECK_ENDED, "")
        if ended.isdigit():  # after the others: Redis may take its time
            about = "When the invariants were last checked to the end."
            self._known.append(_gauge("cfar_invariants_checked_timestamp_seconds", about, float(ended)))


def _broken(by_invariant: dict[str, int]) -> Metric:
    about = "Cancellations that break an invariant now: blocked until a person has looked, or not moving."
    family = GaugeMetricFamily("cfar_invariant_broken", about, labels=["invariant"])
    for name, count in by_invariant.items():
        family.add_metric([name], count)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)
