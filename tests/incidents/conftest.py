"""A healthy service, to be made ill."""

from collections.abc import Iterator

import pytest

from tests.incidents.ward import Ward, opened
from tests.recording import RecordingDatabase
from tests.simulator import SimulatorServer


@pytest.fixture
def ward(
    database: RecordingDatabase, simulator: SimulatorServer, broker: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ward]:
    """A service in which the doctor finds nothing."""
    with opened(database, simulator, monkeypatch, broker) as made:
        yield made
