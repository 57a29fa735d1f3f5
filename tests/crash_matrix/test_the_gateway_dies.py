"""The gateway's half of the matrix: its process dies in the middle of every kind of request that writes."""

import pytest

from tests.crash_matrix.conftest import Visited
from tests.crash_matrix.judging import judge_web
from tests.crash_matrix.web_runs import WebCase, web_cases

pytestmark = pytest.mark.processes

MATRIX = [pytest.param(case, id=case.name) for case in web_cases()]


@pytest.mark.timeout(600)  # the first plays them all
@pytest.mark.parametrize("case", MATRIX)
def test_a_request_that_is_sent_again_is_done_once_when_the_gateway_dies(case: WebCase, visited: Visited) -> None:
    found, statuses = visited[case.name]

    assert judge_web(case, found, statuses) == []
