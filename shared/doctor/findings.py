"""What a check says: fine, worth a look, or wrong; with its reason and its cure from the table of advice."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.doctor.advice import ADVICE

RUNBOOK = "docs/runbook.md#"


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Nothing stands still, but somebody should look before it gets worse."""
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's. `why`, `todo` and `runbook` are empty where all is well."""

    check: str
    state: State
    said: str
    why: str = ""
    todo: str = ""
    runbook: str = ""


def ok(check: str, said: str) -> Finding:
    """Say that a check found nothing wrong."""
    return Finding(check=check, state=State.OK, said=said)


def warning(check: str, said: str, *, cause: str | None = None) -> Finding:
    """Say that somebody should look; `cause` names the advice where the check knows several."""
    return _advised(check, State.WARNING, said, cause)


def wrong(check: str, said: str, *, cause: str | None = None) -> Finding:
    """Say that something must be done."""
    return _advised(check, State.WRONG, said, cause)


def worst(findings: Sequence[Finding]) -> State:
    """Return how bad it is altogether."""
    states = {finding.state for finding in findings}
    return next((state for state in (State.WRONG, State.WARNING) if state in states), State.OK)


def _advised(check: str, state: State, said: str, cause: str | None) -> Finding:
    advice = ADVICE[cause or check]
    return Finding(
        check=check, state=state, said=said, why=advice.why, todo=advice.todo, runbook=RUNBOOK + advice.anchor
    )
