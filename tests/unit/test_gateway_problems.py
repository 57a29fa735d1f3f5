"""Problem answers: a refusal does not outgrow the request that it refuses."""

import pytest
from flask import Flask

from webhook_gateway.problems import MAX_DETAIL, MAX_ERRORS, render

app = Flask(__name__)


def shown(**members: object) -> dict[str, object]:
    with app.test_request_context("/v1/cancellations"):
        found = render({"type": "/problems/x", "status": 422, **members}).get_json()
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("count", "told", "more"), [(0, 0, None), (MAX_ERRORS, MAX_ERRORS, None), (60, MAX_ERRORS, 10)]
)
def test_only_so_many_errors_are_shown_and_the_others_counted(count: int, told: int, more: int | None) -> None:
    answer = shown(detail="x", errors=[{"field": f"f{number}", "problem": "unknown"} for number in range(count)])

    errors = answer["errors"]
    assert isinstance(errors, list)
    assert (len(errors), answer.get("more_errors")) == (told, more)


def test_a_long_detail_is_cut() -> None:
    assert len(str(shown(detail="x" * 100_000)["detail"])) == MAX_DETAIL


def test_a_problem_without_details_is_shown_as_it_is() -> None:
    assert shown(detail=None) == {"type": "/problems/x", "status": 422, "detail": None, "instance": "/v1/cancellations"}
