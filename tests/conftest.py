"""Databases, the simulated insurer, and a world in which both meet the steps."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import delete

from shared.models import Base
from tests.recording import RecordingDatabase
from tests.servers import fresh_database, postgresql_server
from tests.simulator import SimulatorServer
from tests.world import World

ROOT = Path(__file__).parent.parent


def migrate(url: str) -> None:
    """Bring a database to the newest schema by the shipped migrations."""
    config = Config(toml_file=ROOT / "pyproject.toml")
    config.attributes["url"] = url
    command.upgrade(config, "head")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A migrated PostgreSQL database; each test finds it empty."""
    with postgresql_server() as server, fresh_database(server) as url:
        sqlalchemy_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        migrate(sqlalchemy_url)
        yield sqlalchemy_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated database of either kind."""
    if request.param == "sqlite":
        path = tmp_path / "cfar.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    url = request.getfixturevalue("postgresql_url")
    yield url
    _empty(url)


@pytest.fixture
def database(database_url: str) -> Iterator[RecordingDatabase]:
    """A database that remembers what it published instead of sending it."""
    opened = RecordingDatabase(database_url)
    yield opened
    opened.close()


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


@pytest.fixture
def world(database: RecordingDatabase, simulator: SimulatorServer) -> Iterator[World]:
    """Steps, database and insurer, driven by hand."""
    made = World(database, simulator)
    yield made
    made.close()


def _empty(url: str) -> None:
    opened = RecordingDatabase(url)
    with opened.transaction() as tx:
        for table in reversed(Base.metadata.sorted_tables):
            tx.session.execute(delete(table))
    opened.close()
