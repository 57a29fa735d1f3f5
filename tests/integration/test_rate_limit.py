"""All workers keep to one schedule at the insurer, whatever becomes of Redis."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from redis import Redis

from shared.rate_limit import HEADROOM, RateLimit, TurnTooLate
from tests.embedded import EmbeddedRedis

PER_SECOND = 50.0
INTERVAL = 1 / (PER_SECOND * HEADROOM)
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    """A Redis that a test may wipe and stop."""
    with EmbeddedRedis() as started:
        yield started


class Process:
    """A worker process's view of the limit, and the waits that it was told."""

    def __init__(self, url: str, name: str = "one", *, partner: str = "ABCDE", per_second: float = PER_SECOND) -> None:
        self.waits: list[float] = []
        redis = Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self.limit = RateLimit(redis, partner=partner, per_second=per_second, process=name, sleep=self.waits.append)

    def ask(self, times: int = 1, *, within: float = 60) -> list[float]:
        """Ask for turns and return how long each was to be waited for."""
        for _ in range(times):
            before = len(self.waits)
            self.limit.wait_for_turn(within=within)
            if len(self.waits) == before:
                self.waits.append(0.0)
        return self.waits[-times:]


@pytest.fixture
def redis(server: EmbeddedRedis) -> Redis:
    client = Redis.from_url(server.url)
    client.flushall()
    return client


def test_the_first_leaves_at_once_and_the_others_evenly_spaced_behind_it(server: EmbeddedRedis, redis: Redis) -> None:
    waits = Process(server.url).ask(10)

    assert waits[0] == 0.0
    until = [index * INTERVAL for index in range(10)]
    assert all(wait <= limit for wait, limit in zip(waits, until, strict=True))
    assert all(later - earlier <= INTERVAL for earlier, later in pairwise(waits))
    assert waits[-1] > 0


def test_many_processes_share_one_schedule(server: EmbeddedRedis, redis: Redis) -> None:
    processes = [Process(server.url, f"process-{number}") for number in range(4)]
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda process: process.ask(25), processes))
    spent = time.monotonic() - begun

    # The last of a hundred turns is 99 intervals after the first, less what it took to ask for them.
    assert max(process.waits[-1] for process in processes) + spent >= 99 * INTERVAL - 0.001


def test_partners_do_not_share(server: EmbeddedRedis, redis: Redis) -> None:
    Process(server.url).ask(50)

    assert Process(server.url, partner="OTHER").ask() == [0.0]


def test_a_turn_further_away_than_asked_for_is_refused_and_takes_no_place(server: EmbeddedRedis, redis: Redis) -> None:
    process = Process(server.url, per_second=1)
    process.ask(3)
    for _ in range(20):
        with pytest.raises(TurnTooLate) as refused:
            process.ask(within=0.5)
        assert 0.5 < refused.value.seconds <= 3 / HEADROOM

    assert process.ask(within=10)[0] <= 3 / HEADROOM


def test_after_too_many_requests_nothing_leaves_for_as_long_as_the_insurer_said(
    server: EmbeddedRedis, redis: Redis
) -> None:
    Process(server.url, "one").limit.pause(30)

    (wait,) = Process(server.url, "two").ask()
    assert 25 < wait <= 30


def test_a_wiped_redis_begins_anew(server: EmbeddedRedis, redis: Redis) -> None:
    process = Process(server.url, per_second=1)
    process.ask(5)
    redis.flushall()

    assert process.ask()[0] == 0.0


def test_without_redis_each_process_keeps_to_its_share(server: EmbeddedRedis, redis: Redis) -> None:
    processes = [Process(server.url, f"process-{number}", per_second=10) for number in range(4)]
    for process in processes * 2:
        process.ask()
    server.stop()
    try:
        alone = [process.ask(5) for process in processes]
    finally:
        server.start()

    for waits in alone:
        # Four of them, at a quarter of the rate each.
        assert all(later - earlier <= 4 / (10 * HEADROOM) for earlier, later in pairwise(waits))
        assert waits[-1] > 3 * 4 / (10 * HEADROOM)


def test_without_redis_from_the_beginning_the_whole_rate_is_kept_to(redis: Redis) -> None:
    waits = Process(NOBODY, per_second=10).ask(5)

    assert 3 / (10 * HEADROOM) < waits[-1] <= 4 / (10 * HEADROOM)


def test_a_turn_waited_for_beforehand_is_not_waited_for_again(server: EmbeddedRedis, redis: Redis) -> None:
    process = Process(server.url, per_second=1)
    with process.limit.prepaid():
        process.limit.before_request()
        assert process.waits == []
        process.limit.before_request()
        process.limit.before_request()
    assert len(process.waits) == 1

    process.limit.before_request()
    assert len(process.waits) == 2
