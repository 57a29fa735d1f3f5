"""Databases, the simulated insurer, and a world in which both meet the steps."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import delete

from shared.config import FlowerSettings, WebSettings, WorkerSettings
from shared.models import Base
from tests.servers import fresh_database, postgresql_server, redis_server

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
    opened = request.getfixturevalue("postgresql_database")
    yield request.getfixturevalue("postgresql_url")
    _empty(opened)


@pytest.fixture(scope="session")
def postgresql_database(postgresql_url: str) -> Iterator[RecordingDatabase]:
    """One opened PostgreSQL database: statements are compiled once per engine, which takes longer than running them."""
    opened = RecordingDatabase(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def database(database_url: str, request: pytest.FixtureRequest) -> Iterator[RecordingDatabase]:
    """A database that remembers what it published instead of sending it."""
    if not database_url.startswith("sqlite"):
        opened = request.getfixturevalue("postgresql_database")
        opened.published.clear()
        yield opened
        opened.published.clear()
        return
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


def _empty(opened: RecordingDatabase) -> None:
    with opened.transaction() as tx:
        for table in reversed(Base.metadata.sorted_tables):
            tx.session.execute(delete(table))
