"""A short run; `make hostile` sends a million."""

import io

import pytest
from rich.console import Console

from tests.hostile import performance

REQUESTS = 6_000
SEED = 7


@pytest.mark.processes
@pytest.mark.timeout(600)
def test_a_gateway_is_neither_fooled_nor_broken() -> None:
    found = performance.conduct(REQUESTS, SEED, Console(file=io.StringIO()))

    assert found["failed"] == []
    assert found["sent"] >= REQUESTS - performance.SENDERS
    assert found["signed"] > 0
    assert len(found["by_attack"]) == 11
