"""How long a callback waits before its next try."""

import pytest

from shared.callbacks import SPREAD, WAITS, wait_before_next

DAY = 24 * 3600.0


def test_the_waits_are_those_that_are_promised() -> None:
    assert [wait / 60 for wait in WAITS[1:]] == [5, 30, 120, 300, 600, 840, 1200, 1200]
    assert WAITS[0] == 5
    assert 2.9 * DAY < sum(WAITS) <= 3 * DAY


@pytest.mark.parametrize("tries", range(1, len(WAITS) + 1))
def test_each_further_try_waits_its_own_time(tries: int) -> None:
    assert wait_before_next(tries, jitter=0.0) == WAITS[tries - 1]
    assert wait_before_next(tries, jitter=1.0) == pytest.approx(WAITS[tries - 1] * (1 + SPREAD))


def test_after_the_last_one_it_is_given_up() -> None:
    assert wait_before_next(len(WAITS) + 1, retry_after=1.0, jitter=0.0) is None


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [(None, 5.0), (0.0, 5.0), (2.0, 5.0), (90.0, 90.0)],
    ids=["silent", "at-once", "sooner", "later"],
)
def test_an_endpoint_may_ask_for_a_longer_wait(retry_after: float | None, wait: float) -> None:
    assert wait_before_next(1, retry_after=retry_after, jitter=0.0) == wait
