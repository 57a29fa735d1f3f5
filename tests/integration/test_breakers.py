"""When a breaker opens, who may probe, and how processes learn of it from each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import httpx
import pytest
from sqlalchemy import delete, exc

from shared import clock
from shared.breaker_models import BreakerState
from shared.breakers import FIRST_PROBE, LONGEST_PAUSE, LONGEST_SPREAD, OPENS_AFTER, PROBE_LASTS, Breaker, Breakers
from shared.insurer.errors import HeldBack
from tests.recording import RecordingDatabase

AT_ONCE = 16


@pytest.fixture
def later() -> Callable[[float], None]:
    """Move time on; the fixture of the clock puts it back."""
    moved = clock.travel(timedelta(0))

    def move(seconds: float) -> None:
        clock._shift += timedelta(seconds=seconds)

    with moved:
        yield move


def process(database: RecordingDatabase, *, partner: str = "ABCDE", service: str = "xcover") -> Breaker:
    """Return the breaker as another process has it: with nothing read yet."""
    return Breakers(database).of(partner=partner, service=service)


def fail(breaker: Breaker, times: int = 1, *, is_probe: bool = False) -> None:
    for _ in range(times):
        breaker._note_failure("ReadTimeout", is_probe=is_probe)


def state(database: RecordingDatabase) -> BreakerState:
    with database.reading() as session:
        return session.get_one(BreakerState, ("ABCDE", "xcover"))


def probes(breaker: Breaker) -> bool:
    """Let a request begin, and tell whether it is a probe; raise HeldBack."""
    return breaker._admitted("read booking B") is not None


def is_held_back(breaker: Breaker) -> bool:
    try:
        breaker._admitted("read booking B")
    except HeldBack:
        return True
    return False


def test_it_opens_after_so_many_failures_in_a_row_for_every_process(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    ours, theirs = process(database), process(database)
    fail(ours, OPENS_AFTER - 1)
    assert not is_held_back(ours)
    fail(theirs)
    later(1)  # within a second they read it anew

    assert is_held_back(ours)
    assert is_held_back(theirs)
    assert is_held_back(process(database))
    assert (state(database).last_error, state(database).failures) == ("ReadTimeout", OPENS_AFTER)


def test_failures_between_which_it_answers_never_open_it(database: RecordingDatabase) -> None:
    breaker = process(database)
    for _ in range(3):
        fail(breaker, OPENS_AFTER - 1)
        breaker._note_answer()
    assert not is_held_back(breaker)
    assert state(database).opened_at is None


def test_failures_of_long_ago_are_no_part_of_the_row(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER - 1)
    later(901)
    fail(breaker)
    assert state(database).failures == 1


def test_one_partners_and_one_services_breaker_holds_no_other_back(database: RecordingDatabase) -> None:
    fail(process(database), OPENS_AFTER)
    assert not is_held_back(process(database, partner="OTHER"))
    assert not is_held_back(process(database, service="xclaim"))


def test_of_many_that_come_when_a_probe_is_due_one_may_send(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    fail(process(database), OPENS_AFTER)
    later(FIRST_PROBE)
    barrier, breakers = Barrier(AT_ONCE), [process(database) for _ in range(AT_ONCE)]

    def ask(breaker: Breaker) -> str:
        barrier.wait()
        try:
            return "probe" if probes(breaker) else "admitted"
        except HeldBack:
            return "held back"

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(ask, breakers))
    assert sorted(answers) == ["held back"] * (AT_ONCE - 1) + ["probe"]


def test_a_probe_that_fails_makes_the_next_one_later_until_a_limit(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER)
    pauses = [breaker.seconds_closed_off()]
    for _ in range(6):
        later(pauses[-1] + 1)
        assert probes(breaker)
        fail(breaker, is_probe=True)
        pauses.append(breaker.seconds_closed_off())
    expected = [min(FIRST_PROBE * 2.0**n, LONGEST_PAUSE) for n in range(7)]
    assert pauses == pytest.approx(expected, abs=2.0)


def test_requests_that_were_under_way_when_it_opened_do_not_put_the_probe_off(database: RecordingDatabase) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER)
    due = state(database).probe_after
    fail(breaker, 20)
    assert (state(database).probe_after, state(database).failures) == (due, OPENS_AFTER)


def test_a_probe_that_is_answered_lets_everybody_go_on(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    ours, theirs = process(database), process(database)
    fail(ours, OPENS_AFTER)
    assert is_held_back(theirs)
    later(FIRST_PROBE)
    assert probes(ours)
    ours._note_answer()
    later(1)

    assert not is_held_back(ours)
    assert not is_held_back(theirs)
    assert (state(database).opened_at, state(database).probe_after, state(database).failures) == (None, None, 0)


def test_a_probe_whose_process_died_is_followed_by_another(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    dead, living = process(database), process(database)
    fail(dead, OPENS_AFTER)
    later(FIRST_PROBE)
    assert probes(dead)

    later(PROBE_LASTS - 5)
    assert is_held_back(living)
    later(6)
    assert probes(living)


def test_a_turn_in_which_nothing_was_sent_gives_its_probe_back(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER)
    with breaker.turn() as may_send:
        assert may_send is False
    later(FIRST_PROBE)
    with breaker.turn() as may_send:
        assert may_send is True
    with breaker.turn() as may_send:
        assert may_send is True
        assert probes(breaker)
        assert is_held_back(breaker)  # a step's second request is no probe
    with breaker.turn() as may_send:
        assert may_send is False


def test_those_that_are_held_back_come_again_spread_over_the_length_of_the_outage(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER)
    with pytest.raises(HeldBack) as soon:
        breaker._admitted("read booking B")
    assert (soon.value.retry_after or 0) <= FIRST_PROBE + 2

    later(10 * LONGEST_SPREAD)
    assert probes(breaker)
    fail(breaker, is_probe=True)
    waits = []
    for _ in range(50):
        with pytest.raises(HeldBack) as held:
            breaker._admitted("read booking B")
        waits.append(held.value.retry_after or 0)
    assert max(waits) - min(waits) > LONGEST_SPREAD / 2
    assert max(waits) <= LONGEST_PAUSE + LONGEST_SPREAD


def test_what_cannot_be_written_down_does_not_hide_what_became_of_the_request(
    database: RecordingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = process(database)

    def away() -> None:
        raise exc.OperationalError("", {}, Exception("away"))

    monkeypatch.setattr(database, "aside", away)
    monkeypatch.setattr(database, "reading", away)
    fail(breaker, 2 * OPENS_AFTER)
    breaker._note_answer()
    assert not probes(breaker)


def test_a_breaker_whose_row_was_removed_by_hand_is_closed(database: RecordingDatabase) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER)
    with database.transaction() as tx:
        tx.session.execute(delete(BreakerState))
    assert not is_held_back(process(database))


@pytest.mark.parametrize(
    "error", [httpx.PoolTimeout("no connection of ours is free"), KeyError("x")], ids=["pool", "bug"]
)
def test_a_probe_that_was_never_sent_leaves_its_place_to_the_next(
    database: RecordingDatabase, later: Callable[[float], None], error: Exception
) -> None:
    breaker = process(database)
    fail(breaker, OPENS_AFTER)
    later(FIRST_PROBE)
    with pytest.raises(type(error)), breaker.request("read booking B"):
        raise error
    assert probes(process(database))


def test_a_probe_that_comes_back_late_does_not_take_the_place_of_the_one_after_it(
    database: RecordingDatabase, later: Callable[[float], None]
) -> None:
    slow, second, third = process(database), process(database), process(database)
    fail(slow, OPENS_AFTER)
    later(FIRST_PROBE)
    with slow.turn() as may_send:
        assert may_send is True
        later(PROBE_LASTS + 1)
        assert probes(second)
    assert is_held_back(third)


def test_a_database_that_is_away_is_asked_once_a_second_only(
    database: RecordingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away() -> None:
        asked.append(1)
        raise exc.OperationalError("", {}, Exception("away"))

    monkeypatch.setattr(database, "reading", away)
    breaker = process(database)
    for _ in range(50):
        assert not probes(breaker)
    assert len(asked) <= 5
