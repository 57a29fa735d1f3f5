"""All workers keep to one schedule at the insurer, whatever becomes of Redis."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
from redis import Redis

from shared.rate_limit import CLOSEST, COUNTED, HEADROOM, LATEST, LEAD, RateLimit, Turn, TurnTooLate
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
    """A worker process's view of the limit, and the waits that it was told; it never sleeps."""

    def __init__(self, url: str, name: str = "one", *, partner: str = "ABCDE", per_second: float = PER_SECOND) -> None:
        self.waits: list[float] = []
        self.slept: list[float] = []
        redis = Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self.limit = RateLimit(redis, partner=partner, per_second=per_second, process=name, sleep=self.slept.append)

    def ask(self, times: int = 1, *, within: float = 60) -> list[float]:
        """Ask for turns and return how long each was to be waited for."""
        for _ in range(times):
            turn = self.limit.reserve(within=within)
            self.waits.append(max(turn.at - time.monotonic(), 0.0))
        return self.waits[-times:]


def place(turn: Turn) -> float:
    """Return a turn's seconds by Redis's clock."""
    assert turn.place is not None
    return int(turn.place) / 1e6


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


@pytest.mark.parametrize("per_second", [0.4, 1, 1.9, 7.5, 20, 400])
def test_the_rate_is_kept_to_from_the_first_turn_on(server: EmbeddedRedis, redis: Redis, per_second: float) -> None:
    limit = Process(server.url, per_second=per_second).limit
    turns = [place(limit.reserve(within=1000)) for _ in range(200)]

    counted = min(max(int(per_second), 1), COUNTED)
    assert min(later - earlier for earlier, later in zip(turns, turns[counted:], strict=False)) > counted / per_second
    assert turns[-1] - turns[0] <= 200 / per_second / HEADROOM + 1


def test_many_processes_share_one_schedule(server: EmbeddedRedis, redis: Redis) -> None:
    processes = [Process(server.url, f"process-{number}") for number in range(4)]
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda process: process.ask(25), processes))
    spent = time.monotonic() - begun

    # The first fifty come as close together as any may, each of the others a window after the fiftieth before it.
    nearest = (PER_SECOND + CLOSEST * (PER_SECOND - 1)) * INTERVAL
    assert max(process.waits[-1] for process in processes) + spent >= nearest - 0.001


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


def test_a_step_begins_shortly_before_its_turn_and_its_first_request_leaves_at_it(
    server: EmbeddedRedis, redis: Redis
) -> None:
    process = Process(server.url, per_second=1)
    process.limit.before_request()
    turn = process.limit.reserve(within=5)
    with process.limit.reserved(turn):
        process.limit.before_request()

    begins, leaves = process.slept
    assert begins == pytest.approx(1 / HEADROOM - LEAD, abs=0.5)
    # Nobody really sleeps here: what is left is the whole way.
    assert begins < leaves <= begins + LEAD


def test_requests_after_a_steps_first_one_wait_for_turns_of_their_own(server: EmbeddedRedis, redis: Redis) -> None:
    process = Process(server.url, per_second=1)
    with process.limit.reserved(process.limit.reserve(within=5)):
        for _ in range(3):
            process.limit.before_request()

    assert [round(seconds * HEADROOM) for seconds in process.slept] == [1, 2]


def test_a_turn_that_was_missed_is_let_go(server: EmbeddedRedis, redis: Redis) -> None:
    process = Process(server.url, per_second=1)
    turn = process.limit.reserve(within=5)
    with process.limit.reserved(replace(turn, at=turn.at - 2 * LATEST)):
        process.limit.before_request()

    assert process.slept == []  # nobody else has a place: the next one is free at once
    assert process.ask()[0] == pytest.approx(1 / HEADROOM, abs=0.2)


def test_a_turn_that_no_request_used_is_anybodys(server: EmbeddedRedis, redis: Redis) -> None:
    process = Process(server.url, per_second=1)
    with process.limit.reserved(process.limit.reserve(within=5)):
        pass

    assert process.ask() == [0.0]


def test_turns_that_nobody_used_are_made_up_for_and_no_second_has_more_than_allowed(
    server: EmbeddedRedis, redis: Redis
) -> None:
    limit = Process(server.url).limit
    turns = []
    for number in range(300):
        turn = limit.reserve(within=60)
        if number % 20:
            turns.append(place(turn))
            continue
        with limit.reserved(turn):
            pass

    seconds = [later - earlier for earlier, later in zip(turns, turns[int(PER_SECOND) :], strict=False)]
    assert min(seconds) > 1
    assert min(later - earlier for earlier, later in pairwise(turns)) > 0.999 * CLOSEST * INTERVAL
    # One turn in twenty was not used, and hardly any of the rate is lost by it.
    assert (len(turns) - 1) / (turns[-1] - turns[0]) > 0.99 * HEADROOM * PER_SECOND
