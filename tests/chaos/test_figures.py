"""The figures of a run: recovery times, messages, limits, the plan and the report that is printed."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from rich.console import Console

from shared.cancellations import LEASE_SECONDS
from tests.chaos import plan, report
from tests.chaos.findings import is_disturbed
from tests.chaos.messages import MessageCounter
from tests.chaos.recovery import Fate, Recovery, Suspect, fate
from tests.chaos.schedule import Happened
from tests.embedded import EmbeddedPostgresql, EmbeddedRedis

KILLED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seconds(number: float) -> datetime:
    return KILLED + timedelta(seconds=number)


@pytest.mark.parametrize(
    ("lease", "until", "begun_at", "expected"),
    [
        (7, seconds(6), seconds(-1), Fate.OPEN),
        (7, None, seconds(-1), Fate.ENDED),
        (8, seconds(9), seconds(1), Fate.ENDED),
        (8, seconds(18), seconds(10), Fate.TAKEN_UP),
        (9, None, seconds(11), Fate.TAKEN_UP),
    ],
)
def test_a_victim_is_a_row_whose_lease_ran_out_before_the_next(
    lease: int, until: datetime | None, begun_at: datetime, expected: Fate
) -> None:
    suspect = Suspect(lease=7, lease_until=seconds(6), killed_at=KILLED, late=0, fault="worker_group_killed")

    assert fate(suspect, lease=lease, until=until, begun_at=begun_at) is expected


@pytest.mark.parametrize(
    ("late", "other", "expected"),
    [
        (0, None, False),
        (0, Happened(name="redis_away", began=-40, ended=-10), False),
        (0, Happened(name="redis_away", began=5, ended=35), True),
        (0, Happened(name="worker_paused", began=-3, ended=9), True),
        (0, Happened(name="clock_past_keys", began=5, ended=5), False),
        (100, None, True),
    ],
)
def test_a_recovery_counts_as_undisturbed_where_nothing_else_held_it_up(
    late: int, other: Happened | None, expected: bool
) -> None:
    begun = KILLED.timestamp()
    own = Happened(name="worker_group_killed", began=begun - 1, ended=begun + 30)
    happened = [own] if other is None else [own, replace(other, began=begun + other.began, ended=begun + other.ended)]
    recovery = Recovery(fault="worker_group_killed", killed_at=KILLED, taken_at=seconds(12), late=late)

    assert is_disturbed(recovery, happened) is expected


@pytest.mark.parametrize(
    ("values", "share", "expected"), [([], 0.5, None), ([3, 1, 2], 0.5, 2), (range(1, 101), 0.99, 99)]
)
def test_a_percentile_is_one_of_the_values(values: Any, share: float, expected: float | None) -> None:
    assert report.percentile(values, share) == expected


def figures(**changes: Any) -> report.Report:
    quick = report.spread([1.0, 2.0])
    made: report.Report = {
        "asked": 2, "accepted": 2, "requests_repeated": 0, "ended": {"completed": 2}, "reviews": {}, "lost": [],
        "doubled": [], "effects": 2, "stuck": [], "settled_after": 3.0, "wrong": [], "hasty_claims": [],
        "unknown_claims": {"read_back": 1, "proven_absent": 1, "in_review": 0, "asked_anew": 1, "soonest": 9.0},
        "webhooks_unhandled": 0,
        "recovery": {"all": quick, "undisturbed": quick, "disturbed": report.spread([])},
        "flush": {"wiped": 2, **quick},
        "messages": {"per_job": 4.0, "steps_per_job": 4.0},
        "deployments": {"count": 1, "slowest_stop": 2.0, "killed": 0, "left_leased": 0},
        "faults": {"deployed": 1}, "insurer_faults": {}, "restarts": {}, "logged": {}, "seed": 1,
        "key_mode": "honoured",
        "machine": report.machine(), "seconds": 9.0, "failed": [],
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.parametrize("name", ["lost", "doubled", "stuck", "wrong", "hasty_claims"])
def test_a_run_fails_for_each_finding_and_prints_it(name: str, tmp_path: Path) -> None:
    found = figures(**{name: ["CHAOS-00001-INS and why"]})
    found["failed"] = report.failures(found, judges_recovery=False)
    told = io.StringIO()

    report.show(Console(file=told, width=200), found, report.save(found, tmp_path))

    assert found["failed"] == [f"{name.replace('_', ' ')}: 1"]
    assert "CHAOS-00001-INS and why" in told.getvalue()
    assert "Failed" in told.getvalue()


def test_a_run_without_findings_passes() -> None:
    assert report.failures(figures(), judges_recovery=True) == []


def test_an_event_that_nobody_handles_fails_a_run() -> None:
    assert report.failures(figures(webhooks_unhandled=1), judges_recovery=False) == ["webhooks not handled: 1"]


def test_slow_recovery_fails_a_long_run_alone() -> None:
    slow = report.spread([16.0, 17.0, 31.0])
    found = figures(recovery={"all": slow}, flush={"wiped": 3, **slow})

    assert report.failures(found, judges_recovery=False) == []
    assert len(report.failures(found, judges_recovery=True)) == 3


def test_a_long_run_that_measured_no_flush_fails() -> None:
    assert len(report.failures(figures(flush={"wiped": 0, **report.spread([])}), judges_recovery=True)) == 1


def test_the_plan_is_read_from_the_environment() -> None:
    made = plan.read({"JOBS": "5000", "MINUTES": "20", "SEED": "4"})

    assert (made.jobs, made.seconds, made.seed, made.key_mode) == (5000, 1200, 4, "ignored")
    assert made.redis_away == 30
    assert plan.read({}).seconds < 60


@pytest.mark.parametrize("environment", [{"JOBS": "many"}, {"JOBS": "0"}, {"MINUTES": "-1"}, {"SEED": "inf"}])
def test_a_plan_that_cannot_be_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(plan.WrongSetting):
        plan.read(environment)


@pytest.mark.parametrize("minutes", [0.5, 20])
def test_a_worker_wakes_up_before_its_successor_believes_that_nothing_was_done(minutes: float) -> None:
    made = plan.make(jobs=1, minutes=minutes, seed=1)

    assert LEASE_SECONDS < made.paused < LEASE_SECONDS + made.read_back_after - 5  # for a process that starts slowly


def test_messages_are_counted_per_queue_also_after_a_restart() -> None:
    with EmbeddedRedis() as server, MessageCounter(server.url) as counter:
        for times in (1, 2):
            with redis.Redis.from_url(server.url) as client:
                wait_until(lambda client=client: any(one["cmd"] == "monitor" for one in client.client_list()))
                client.lpush("steps", "message")
                client.rpush("steps", "given back")
                client.lpush("other", "message")
            wait_until(lambda times=times: counter.sent["other"] == times)
            server.stop()
            server.start()
        assert (counter.sent["steps"], counter.given_back["steps"]) == (2, 2)


def test_an_embedded_redis_comes_back_empty_at_the_same_address() -> None:
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        client.set("fruit", "apple")
        server.stop()
        server.start()
        assert client.dbsize() == 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_an_embedded_postgresql_comes_back_with_its_data_at_the_same_address(mode: Any) -> None:
    with EmbeddedPostgresql() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE fruit AS SELECT 'apple' AS name")
        server.stop(mode)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url)
        server.start(is_waiting=mode == "fast")
        wait_until(lambda: is_there(server.url))
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT name FROM fruit").fetchall() == [("apple",)]


def is_there(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)
