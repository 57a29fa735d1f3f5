"""The worker's half of the matrix: it dies at every boundary of every task, and nothing is lost or doubled."""

import pytest

from tests.crash_matrix.cases import Case, Death, cases
from tests.crash_matrix.conftest import Played
from tests.crash_matrix.judging import judge

pytestmark = pytest.mark.processes

MATRIX = [pytest.param(case, id=case.name) for death in Death for case in cases(death)]


@pytest.mark.timeout(600)  # the first of a run plays all of it
@pytest.mark.parametrize("case", MATRIX)
def test_nothing_is_lost_or_done_twice_when_a_worker_dies(case: Case, played: Played) -> None:
    found = played(case.death)[case.name]

    assert judge(case, found) == []
