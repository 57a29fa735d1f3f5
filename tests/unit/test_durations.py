"""The durations that must stay in order, wherever they are written."""

from itertools import pairwise

import pytest

from shared import broker, rate_limit
from shared.cancellations import LEASE_SECONDS
from shared.config import Settings
from shared.insurer import transport
from shared.transitions import MESSAGE_PATIENCE
from workers import attempt, offer, reading_back, retries, sweep, turn_taking

CALLS_OF_A_STEP = 3
"""A token, the booking, an eligibility check: no step makes more, each with its own deadline."""
XCOVER_REMEMBERS_KEYS = 48 * 3600


def test_each_limit_ends_before_the_next_one_out() -> None:
    limits = [
        ("connect", transport.CONNECT_TIMEOUT),
        ("read", transport.READ_TIMEOUT),
        ("call deadline", transport.CALL_DEADLINE),
        ("task soft limit", broker.TASK_SOFT_LIMIT),
        ("task hard limit", broker.TASK_HARD_LIMIT),
        ("visibility timeout", broker.VISIBILITY_TIMEOUT),
    ]

    assert [(inner, outer) for inner, outer in pairwise(limits) if inner[1] >= outer[1]] == []


@pytest.mark.parametrize("timeout", [transport.WRITE_TIMEOUT, transport.POOL_TIMEOUT])
def test_every_part_of_a_call_ends_before_the_call(timeout: float) -> None:
    assert timeout < transport.CALL_DEADLINE


def test_a_steps_calls_end_before_the_task() -> None:
    waits = turn_taking.LONGEST_PATIENCE + CALLS_OF_A_STEP * rate_limit.IN_STEP_PATIENCE
    assert CALLS_OF_A_STEP * transport.CALL_DEADLINE + waits < broker.TASK_SOFT_LIMIT


def test_three_renewals_may_fail_before_a_lease_runs_out() -> None:
    assert 4 * attempt.RENEW_EVERY <= LEASE_SECONDS


def test_a_lease_is_renewed_for_as_long_as_a_steps_calls_may_take() -> None:
    renewals = int(broker.TASK_SOFT_LIMIT / attempt.RENEW_EVERY)

    assert renewals * attempt.RENEW_EVERY + LEASE_SECONDS > CALLS_OF_A_STEP * transport.CALL_DEADLINE


def test_a_hung_task_loses_its_row_before_the_next_worker_gets_its_message() -> None:
    assert broker.TASK_SOFT_LIMIT + LEASE_SECONDS < broker.VISIBILITY_TIMEOUT


def test_a_dead_workers_step_is_rung_for_within_13_seconds() -> None:
    assert LEASE_SECONDS + broker.SWEEP_EVERY <= 13


def test_a_message_is_given_more_time_than_a_sweep_takes_to_come_again() -> None:
    assert broker.SWEEP_EVERY < MESSAGE_PATIENCE
    assert sweep.DISORDER < MESSAGE_PATIENCE


def test_an_unread_sweep_expires_before_it_piles_up() -> None:
    celery = broker.create_celery(Settings())
    (entry,) = [entry for entry in celery.conf.beat_schedule.values() if entry["task"] == "sweep.ring"]

    assert entry["schedule"] == broker.SWEEP_EVERY
    assert entry["options"]["expires"] <= 2 * broker.SWEEP_EVERY


def test_celery_is_told_these_limits() -> None:
    conf = broker.create_celery(Settings()).conf

    assert conf.task_soft_time_limit == broker.TASK_SOFT_LIMIT
    assert conf.task_time_limit == broker.TASK_HARD_LIMIT
    assert conf.broker_transport_options["visibility_timeout"] == broker.VISIBILITY_TIMEOUT


def test_redis_gives_up_before_a_lease_does() -> None:
    assert broker.CONNECT_TIMEOUT < broker.SOCKET_TIMEOUT < LEASE_SECONDS


def test_a_key_is_given_up_before_xcover_forgets_it() -> None:
    longest_wait = retries.LONGEST_WAIT + broker.TASK_HARD_LIMIT

    assert reading_back.KEY_LIFETIME + longest_wait < XCOVER_REMEMBERS_KEYS


def test_our_own_key_is_waited_for_longer_than_a_call_can_take() -> None:
    assert retries.LONGEST_LOCK > transport.CALL_DEADLINE


def test_short_offers_are_not_renewed_faster_than_a_step_is_waited_for() -> None:
    assert offer.SHORTEST_RENEWAL > transport.CALL_DEADLINE
