"""A short run; `make storm` sends a hundred thousand."""

import io

import pytest
from rich.console import Console

from tests.storm import performance, plan, report

EVENTS = 500
SEED = 7


@pytest.mark.processes
@pytest.mark.timeout(600)  # bounds a hang; alone on the machine it takes about forty seconds
def test_every_claim_ends_at_what_the_insurer_says_and_every_milestone_is_reached_once() -> None:
    told = io.StringIO()

    figures, path = performance.conduct(plan.make(events=EVENTS, seed=SEED), Console(file=told, width=200))

    report.show(Console(file=told, width=200), figures, path)
    assert figures["failed"] == [], told.getvalue()
    sent = figures["sent"]
    assert sent["taken"] == EVENTS
    assert sent["repeated"] >= EVENTS * 0.28
    assert sent["overtaken"] >= EVENTS * 0.08
    assert sent["early"] >= EVENTS * 0.03
    assert figures["fetches_per_event"] > 0
    assert figures["outcomes"].keys() == {"applied", "unchanged"}
