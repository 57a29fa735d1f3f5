"""Databases, the simulated insurer, and a world in which both meet the steps."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql

from shared.columns import Base
from shared.config import FlowerSettings, WebSettings, WorkerSettings
from tests import tellings
from tests.servers import fresh_database, postgresql_server, redis_server

# What tests write is gone with them: it need not go to a disk where there is memory enough.
MEMORY, ENOUGH = Path("/dev/shm"), 4 * 2**30
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None

# A developer's own settings must not decide what the tests find; the servers were asked for above.
for kind in (WebSettings, WorkerSettings, FlowerSettings):
    for setting in kind.model_fields:
        os.environ.pop(setting.upper(), None)
os.environ.pop("API_TOKENS", None)

from tests.recording import RecordingDatabase  # noqa: E402 - from here on modules read the environment
from tests.simulator import SimulatorServer  # noqa: E402
from tests.world import World  # noqa: E402
from workers.app import app  # noqa: E402

ROOT = Path(__file__).parent.parent
_EMPTY_AUDIT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM audit_entries) THEN TRUNCATE audit_entries; END IF;
END $$
"""  # nobody may delete from it
EMPTY = ";".join(
    _EMPTY_AUDIT if table.name == "audit_entries" else f'DELETE FROM "{table.name}"'
    for table in reversed(Base.metadata.sorted_tables)
)
"""Every table in one round trip; TRUNCATE takes longer for so few rows."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run does not tell, and spread the tests that wait for processes over the first half.

    Others compute while they wait.
    """
    untold = tellings.left_out(items)
    config.hook.pytest_deselected(items=list(untold))
    items[:] = [item for item in items if item not in untold]
    waiting = [item for item in items if item.get_closest_marker("processes")]
    others = [item for item in items if not item.get_closest_marker("processes")]
    apart = max(len(others) // 2 // max(len(waiting), 1), 1)
    items[:] = []
    for item in waiting:
        items += [item, *others[:apart]]
        del others[:apart]
    items += others


def pytest_collection_finish() -> None:
    """Leave the modules and the collected tests, which stay to the end, out of each collection of garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def migrate(url: str) -> None:
    """Bring a database to the newest schema by the shipped migrations."""
    config = Config(toml_file=ROOT / "pyproject.toml")
    config.attributes["url"] = url
    command.upgrade(config, "head")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together what would otherwise be played once in each process."""
    from tests.scheduling import RunsTogether

    return RunsTogether(config, log)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A migrated PostgreSQL database; each test finds it empty."""
    with postgresql_server() as server, fresh_database(server) as url:
        _leave_syncing_to_the_host(url)
        sqlalchemy_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        migrate(sqlalchemy_url)
        yield sqlalchemy_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_database(postgresql_url: str) -> Iterator[RecordingDatabase]:
    """One opened PostgreSQL database: statements are compiled once per engine, which takes longer than running them."""
    opened = RecordingDatabase(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared_sqlite_database(sqlite_template: Path) -> Iterator[RecordingDatabase]:
    """One engine for SQLite, for the same reason; each test that uses it finds a new file under its address."""
    opened = RecordingDatabase(f"sqlite:///{sqlite_template.with_name('cfar.db')}")
    yield opened
    opened.close()


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty, migrated database of either kind."""
    if request.param == "sqlite":
        opened = request.getfixturevalue("shared_sqlite_database")
        _copy_anew(request.getfixturevalue("sqlite_template"), opened)
        yield str(opened.engine.url)
        return
    opened = request.getfixturevalue("postgresql_database")
    yield request.getfixturevalue("postgresql_url")
    _empty(opened)


@pytest.fixture
def database(database_url: str, request: pytest.FixtureRequest) -> Iterator[RecordingDatabase]:
    """A database that remembers what it published instead of sending it."""
    kind = "shared_sqlite" if database_url.startswith("sqlite") else "postgresql"
    opened = request.getfixturevalue(f"{kind}_database")
    opened.published.clear()
    yield opened
    opened.published.clear()


@pytest.fixture(scope="session")
def simulator_server() -> Iterator[SimulatorServer]:
    """The insurer, for the whole session."""
    with SimulatorServer() as server:
        yield server


@pytest.fixture
def simulator(simulator_server: SimulatorServer) -> Iterator[SimulatorServer]:
    """The insurer, with nothing remembered from other tests."""
    simulator_server.control.reset()
    yield simulator_server
    simulator_server.control.reset()


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """A Redis database of the tests' own, for what asks how many messages wait."""
    with redis_server() as url:
        app.conf.broker_url = url
        yield url


@pytest.fixture
def world(database: RecordingDatabase, simulator: SimulatorServer, broker: str) -> Iterator[World]:
    """Steps, database and insurer, driven by hand."""
    made = World(database, simulator)
    yield made
    made.close()


def _leave_syncing_to_the_host(url: str) -> None:
    """What a test has written need not outlive a power cut: its commits do not wait for the disk."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        ours = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(ours))


def _empty(opened: RecordingDatabase) -> None:
    with opened.engine.begin() as connection:
        connection.exec_driver_sql(EMPTY)


def _copy_anew(template: Path, opened: RecordingDatabase) -> None:
    """Put a copy of the template where the engine finds it; whoever still holds the old file keeps that."""
    opened.close()
    path = Path(str(opened.engine.url.database))
    for leftover in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        leftover.unlink(missing_ok=True)
    shutil.copy(template, path)
