"""Random interleavings of everything that may happen, judged by the insurer's ledger and a model of the contract.

`MODEL_EXAMPLES=2000 pytest tests/model` plays that many, at random; without it a few are played, always the same.
With `-s` it ends with a table of what came: interruptions by task and moment, ends, effects.
`MODEL_SHRINK=1` looks for the smallest example that fails, which takes minutes.
"""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.interruptions import BreakableDatabase, Interruptions
from tests.model.machine import Machine
from tests.model.stage import Stage
from tests.simulator import SimulatorServer
from tests.simulator.receiver import Receiver
from workers import attempt

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
PHASES = [Phase.generate, *([Phase.shrink] if os.environ.get("MODEL_SHRINK") else [])]
FEW = 14
STEPS = 25


@pytest.fixture
def stage(
    database_url: str, simulator: SimulatorServer, broker: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """One stage for every example of a test."""
    # A worker that sleeps sleeps with all its threads, and a slow machine must not decide what happens.
    monkeypatch.setattr(attempt, "RENEW_EVERY", float("inf"))
    database = BreakableDatabase(database_url, Interruptions())
    with Receiver() as letters:
        made = Stage(database, simulator, letters)
        yield made
        sys.stdout.write(made.statistics())
        made.close()
    database.close()


@pytest.mark.timeout(0 if EXAMPLES else 600)
def test_whatever_happens_the_ledger_the_rows_and_the_contract_agree(stage: Stage) -> None:
    run_state_machine_as_test(
        lambda: Machine(stage),
        settings=settings(
            max_examples=EXAMPLES or FEW,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            phases=PHASES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),  # a whole service runs in each example: it is slow by design
            print_blob=True,
        ),
    )
    came, meant = stage.interruptions.came.total(), stage.interruptions.meant
    assert came * 3 >= meant, f"only {came} of {meant} interruptions came: too little was put to the test"
