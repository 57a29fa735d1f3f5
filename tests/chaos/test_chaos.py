"""Story: everything goes wrong once while cancellations flow, and each of them ends as it should."""

import io

import pytest
from rich.console import Console

from tests.chaos import plan, report
from tests.chaos.performance import conduct
from tests.chaos.schedule import IN_SHORT

SEED = 3
"""The insurer honours keys, so that forgetting them means something. The rest is timing, and never the same."""


@pytest.mark.processes
@pytest.mark.timeout(420)  # bounds a hang; the run takes about a minute where nothing else runs
def test_whatever_is_killed_stopped_or_wiped_nothing_is_lost_done_twice_or_stuck() -> None:
    told = io.StringIO()

    figures, path = conduct(plan.make(jobs=40, minutes=0.4, seed=SEED), Console(file=told, width=200))

    report.show(Console(file=told, width=200), figures, path)
    assert figures["failed"] == [], told.getvalue()
    assert figures["accepted"] == figures["asked"] >= 40
    assert sum(figures["ended"].values()) == figures["accepted"]
    assert set(figures["faults"]) | set(figures["faults_missed"]) == set(IN_SHORT)
    assert figures["flush"]["count"] >= 10
