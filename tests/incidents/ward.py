"""The service with its doctor: steps and sweeps as a worker runs them, examined as a gateway does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.broker import create_celery
from shared.doctor.findings import RUNBOOK, Finding, State
from shared.doctor.patient import Patient
from shared.lifecycle import TaskName
from tests.gateway import web_settings
from tests.recording import RecordingDatabase
from tests.simulator import PARTNER_CODE, SimulatorServer
from tests.world import WEBHOOK_KEY, World
from webhook_gateway import doctor
from workers import presence
from workers.app import app

OF_THIS_MACHINE = {"database-connections", "database-space"}
"""Checks that say more about who else uses the tests' servers than about what a test did."""


class Ward(World):
    """A world whose worker and beat are seen, and which a doctor looks at."""

    def __init__(
        self, database: RecordingDatabase, simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch, redis_url: str
    ) -> None:
        super().__init__(database, simulator)
        self._monkeypatch = monkeypatch
        self.redis_url = redis_url
        self.web: dict[str, Any] = {"xclaim_webhook_keys": WEBHOOK_KEY}
        self.environment = {"PUBLIC_URL": "https://cfar.example.org"}

    def work(self, *tasks: TaskName) -> None:
        """Let a worker run what beat sends, signals included, so that both are seen to live."""
        for task in tasks or (TaskName.SWEEP, TaskName.CHECK_INVARIANTS, TaskName.CHECK_INSURER):
            self._monkeypatch.setattr(presence, "_told", {})
            app.tasks[task.value].apply().get()

    def examine(self) -> list[Finding]:
        """Return what the doctor finds."""
        settings = web_settings(xcover_partner_code=PARTNER_CODE, redis_url=self.redis_url, **self.web)
        celery = create_celery(settings)
        try:
            return doctor.examined(
                Patient(settings=settings, database=self.database, celery=celery, environment=self.environment)
            )
        finally:
            celery.close()

    def troubles(self) -> dict[str, str]:
        """Return the sections of the runbook that the doctor names now, each with what is said of it."""
        named: dict[str, str] = {}
        for finding in self.examine():
            if finding.state is not State.OK and finding.check not in OF_THIS_MACHINE:
                section = finding.runbook.removeprefix(RUNBOOK)
                named[section] = f"{named.get(section, '')}{finding.check}: {finding.said}\n"
        return named

    def wrong(self) -> set[str]:
        """Return the sections named for what is wrong, and not merely worth a look."""
        return {finding.runbook.removeprefix(RUNBOOK) for finding in self.examine() if finding.state is State.WRONG}


@contextmanager
def opened(
    database: RecordingDatabase, simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> Iterator[Ward]:
    """Open a ward in which all is well."""
    made = Ward(database, simulator, monkeypatch, redis_url)
    made.work()
    assert made.troubles() == {}
    yield made
    made.close()
