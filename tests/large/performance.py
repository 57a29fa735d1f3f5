"""`make large`: how long each list, search, page and figure takes with a million cancellations and ten million
transitions, by the server's own clock; too slow or read from end to end, and it fails.

CANCELLATIONS and TRANSITIONS_EACH in the environment take other numbers.
"""

import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import psycopg
import structlog

from shared.db import Database
from tests.conftest import migrate
from tests.console import Browser, console, signed_in
from tests.gateway import web_settings
from tests.large.plans import noting_statements, tables_read_whole
from tests.large.questions import Known, known, questions
from tests.large.seeding import seed
from tests.recording import RecordingDatabase
from tests.servers import fresh_database, postgresql_server

CANCELLATIONS = int(os.environ.get("CANCELLATIONS", "1000000"))
TRANSITIONS_EACH = int(os.environ.get("TRANSITIONS_EACH", "10"))
ROUNDS = 11
LONGEST = 0.2
"""Seconds of server time that a page may take at the median."""

COUNTS_ALL = {"page /webhooks/keys": {"claims"}}
"""What counts every open claim, by the key that it needs, each time: its time is bounded all the same."""

Task = Callable[[], object]


def main() -> int:
    """Seed, measure, print; return the exit code."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with postgresql_server() as server, fresh_database(server) as url:
        sqlalchemy_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        migrate(sqlalchemy_url)
        begun = time.monotonic()
        with psycopg.connect(url) as connection:
            seed(connection, count=CANCELLATIONS, transitions_each=TRANSITIONS_EACH)
        _say(
            f"{CANCELLATIONS:,} cancellations with {CANCELLATIONS * TRANSITIONS_EACH:,} transitions made in "
            f"{time.monotonic() - begun:.0f} s. Medians of {ROUNDS}, in milliseconds:"
        )
        database = RecordingDatabase(sqlalchemy_url)
        try:
            return _measure(database)
        finally:
            database.close()


def _measure(database: RecordingDatabase) -> int:
    gateway = console(database)
    with database.reading() as session:
        about = known(session)
        asked = questions(about, web_settings())
    tasks: dict[str, Task] = {name: _asking(database, ask) for name, ask in asked.items()}
    tasks |= _pages(signed_in(gateway), about)
    wrong = [name for name, task in tasks.items() if not _is_well(database, name, task)]
    for name in wrong:
        _say(f"too slow, or read from end to end: {name}")
    return 1 if wrong else 0


def _asking(database: Database, ask: Callable[..., object]) -> Task:
    def run() -> None:
        with database.reading() as session:
            ask(session)

    return run


def _pages(browser: Browser, about: Known) -> dict[str, Task]:
    filters: Mapping[str, str] = {
        "": "", "of a status": "?status=completed", "that need review": "?status=needs_review",
        "of a partner": "?partner=TINY", "with a problem": "?problem=outcome-unsettled",
        "of a caller and status": "?caller=other&status=closed", "found": f"?search={about.claim.reference}",
    }  # fmt: skip
    paths = {f"/cancellations {name}".strip(): f"/cancellations{query}" for name, query in filters.items()}
    paths |= {f"/cancellations/… {status}": f"/cancellations/{row.id}" for status, row in about.rows.items()}
    paths |= {f"/batches/… {about.batch_id}": f"/batches/{about.batch_id}"}
    others = ("/", "/batches", "/pauses", "/audit", "/bulk", "/webhooks", "/webhooks?outcome=waiting", "/webhooks/keys")
    paths |= {path: path for path in others}
    return {f"page {name}": _opening(browser, path) for name, path in paths.items()}


def _opening(browser: Browser, path: str) -> Task:
    def run() -> None:
        answer = browser.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}")

    return run


def _is_well(database: Database, name: str, task: Task) -> bool:
    with noting_statements(database) as statements:
        task()
    scanned = tables_read_whole(database, statements) - COUNTS_ALL.get(name, set())
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        task()
        times.append(time.perf_counter() - begun)
    median = statistics.median(times)
    note = f"  reads {', '.join(sorted(scanned))} from end to end" if scanned else ""
    _say(f"{median * 1000:8.1f}  {name}{note}")
    return median <= LONGEST and not scanned


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
