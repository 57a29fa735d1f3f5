"""/livez and /readyz: is the process alive, can it store anything. Redis is not asked: accepting works without it."""

from threading import Lock, Thread

import structlog
from flask import Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared import schema_version
from shared.db import Database
from webhook_gateway import problems

PROBE_SECONDS = 2.0
"""A platform gives a probe a few seconds; the database's own limits are longer than that."""

log = structlog.get_logger()


def register(app: Flask, database: Database) -> None:
    """Add both routes; they need no token."""
    probe = Probe(database)

    @app.get("/livez")
    def livez() -> Response:
        """Answer while the process serves anything at all."""
        return jsonify({"status": "ok"})

    @app.get("/readyz")
    def readyz() -> Response:
        """Answer 503 while nothing could be stored."""
        complaint = probe.complaint()
        return jsonify({"status": "ok"}) if complaint is None else problems.unavailable(complaint)


class _Question:
    """One look at the database, in a thread that can be left behind when no answer comes."""

    def __init__(self, probe: "Probe") -> None:
        self.complaint: str | None = f"The database did not answer within {PROBE_SECONDS:g} s."
        self._probe = probe
        self.thread = Thread(target=self._ask, name="readiness", daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        self.complaint = self._probe.ask()


class Probe:
    """Finds out whether the database can be used; at most one question is open at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._open: _Question | None = None
        self._has_seen_schema = False

    def complaint(self) -> str | None:
        """Return what keeps us from storing anything, or None; after PROBE_SECONDS at the latest."""
        with self._lock:
            if self._open is None or not self._open.thread.is_alive():
                self._open = _Question(self)
            question = self._open
        question.thread.join(PROBE_SECONDS)
        return question.complaint

    def ask(self) -> str | None:
        """Ask the database. The schema is compared until it was right once: it never goes back."""
        try:
            with self._database.reading() as session:
                if self._has_seen_schema:
                    session.execute(text("SELECT 1"))
                    return None
                complaint = schema_version.complaint(session)
        except SQLAlchemyError as error:
            log.warning("database_unavailable", error=type(error).__name__, route="/readyz")
            return "The database cannot be reached."
        self._has_seen_schema = complaint is None
        return complaint
