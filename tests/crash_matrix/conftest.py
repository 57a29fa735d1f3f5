"""Each run of the matrix is played once, when the first of its cases asks for it."""

from collections.abc import Callable

import pytest

from tests.crash_matrix.cases import Death
from tests.crash_matrix.deployment import deployment
from tests.crash_matrix.evidence import Evidence
from tests.crash_matrix.web_runs import THREADS, WebRun
from tests.crash_matrix.worker_runs import CONCURRENCY, Run

WEB_CONCURRENCY = 4
"""Pool processes of the worker that carries on what the gateway has accepted."""

Visited = dict[str, tuple[Evidence, tuple[int, ...]]]
Played = Callable[[Death], dict[str, Evidence]]


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Play a death's whole run, or return what was found when it was played."""
    found: dict[Death, dict[str, Evidence] | BaseException] = {}

    def play(death: Death) -> dict[str, Evidence]:
        if death not in found:
            try:
                with deployment(tmp_path_factory.mktemp(death), concurrency=CONCURRENCY[death]) as world:
                    found[death] = Run(world, death).play()
            except BaseException as error:  # a timeout too: every case fails with it, none plays the run again
                found[death] = error
        result = found[death]
        if isinstance(result, BaseException):
            raise result
        return result

    return play


@pytest.fixture(scope="session")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Visited:
    """What is left of every case of the gateway, and what its callers were answered."""
    with deployment(tmp_path_factory.mktemp("web"), concurrency=WEB_CONCURRENCY, threads=THREADS) as world:
        return WebRun(world).play()
