"""One holder per policy, however many want it at once and in whatever order."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select

from shared import intake, reservations
from shared.cancellation_request import parse
from shared.config import AcceptingSettings
from shared.lifecycle import TaskName
from shared.models import Cancellation, Reservation
from tests.recording import RecordingDatabase
from tests.world import World

BOOKING = "8WD8Y-LTEKE-INS"
AT_ONCE = 32


def cancellation(
    database: RecordingDatabase, number: int = 0, *, partner: str = "ABCDE", booking: str = BOOKING
) -> UUID:
    """Accept a cancellation for the same booking as all others."""
    sent = {"booking_id": booking}
    request = parse(sent, settings=AcceptingSettings(xcover_partner_code=partner))
    with database.transaction() as tx:
        key = f"{partner}-{booking}-{number}"
        return intake.accept(tx, request, sent=sent, caller="shop", key=key)[0]


def reserve(database: RecordingDatabase, holder: UUID, quotes: Sequence[str]) -> tuple[str, UUID] | None:
    """Reserve policies for a cancellation in a transaction of its own."""
    with database.transaction() as tx:
        return reservations.reserve(tx, tx.session.get_one(Cancellation, holder), quotes)


def held(database: RecordingDatabase) -> dict[str, UUID]:
    """Return policy to holder; fails when a policy is held twice."""
    with database.reading() as session:
        found = list(session.scalars(select(Reservation).where(Reservation.released_at.is_(None))))
    holders = {row.quote_id: row.cancellation_id for row in found}
    assert len(holders) == len(found)
    return holders


def at_once(act: Callable[[int], Any], *, times: int) -> list[Any]:
    """Act in as many threads, all let go at one moment; an error of any rises."""
    barrier = Barrier(times)

    def one(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))


def test_every_policy_is_reserved_for_its_holder(database: RecordingDatabase) -> None:
    holder = cancellation(database)

    assert reserve(database, holder, ["b", "a"]) is None
    assert held(database) == {"a": holder, "b": holder}


def test_reserving_again_for_the_same_holder_changes_nothing(database: RecordingDatabase) -> None:
    holder = cancellation(database)
    reserve(database, holder, ["a", "b"])

    assert reserve(database, holder, ["b", "a"]) is None
    assert held(database) == {"a": holder, "b": holder}


@pytest.mark.parametrize("wanted", [["a"], ["a", "z"], ["z", "a"], ["0", "a", "z"]])
def test_a_policy_in_hand_names_its_holder_and_nothing_else_is_taken(
    database: RecordingDatabase, wanted: list[str]
) -> None:
    first, second = cancellation(database, 1), cancellation(database, 2)
    reserve(database, first, ["a"])

    assert reserve(database, second, wanted) == ("a", first)
    assert held(database) == {"a": first}


def test_of_many_at_once_exactly_one_holds_the_policy(database: RecordingDatabase) -> None:
    wanting = [cancellation(database, number) for number in range(AT_ONCE)]

    answers = at_once(lambda number: reserve(database, wanting[number], ["a"]), times=AT_ONCE)

    (holder,) = held(database).values()
    assert answers[wanting.index(holder)] is None
    others = [answer for number, answer in enumerate(answers) if wanting[number] != holder]
    assert others == [("a", holder)] * (AT_ONCE - 1)


@pytest.mark.parametrize("time", range(5))
def test_two_that_want_the_same_policies_in_opposite_order_never_wait_for_each_other(
    database: RecordingDatabase, time: int
) -> None:
    wanting = [cancellation(database, number) for number in range(8)]
    orders = [["a", "b", "c"], ["c", "b", "a"]]

    answers = at_once(lambda number: reserve(database, wanting[number], orders[number % 2]), times=8)

    assert answers.count(None) == 1
    assert held(database) == dict.fromkeys("abc", wanting[answers.index(None)])


@pytest.mark.parametrize("time", range(5))
def test_sets_that_overlap_in_a_circle_never_wait_for_each_other_and_one_is_held_whole(
    database: RecordingDatabase, time: int
) -> None:
    circle = [["a", "b"], ["b", "c"], ["c", "a"]]
    wanting = [cancellation(database, number) for number in range(12)]

    answers = at_once(lambda number: reserve(database, wanting[number], circle[number % 3]), times=12)

    assert answers.count(None) == 1
    winner = answers.index(None)
    assert held(database) == dict.fromkeys(circle[winner % 3], wanting[winner])
    assert {answer[1] for answer in answers if answer} == {wanting[winner]}


def test_each_of_many_at_once_holds_its_own_policy(database: RecordingDatabase) -> None:
    wanting = [cancellation(database, number) for number in range(8)]

    answers = at_once(lambda number: reserve(database, wanting[number], [f"q-{number}"]), times=8)

    assert answers == [None] * 8
    assert held(database) == {f"q-{number}": holder for number, holder in enumerate(wanting)}


def test_a_freed_policy_can_be_taken(database: RecordingDatabase) -> None:
    first, second = cancellation(database, 1), cancellation(database, 2)
    reserve(database, first, ["a", "b"])

    with database.transaction() as tx:
        reservations.release_all(tx, first)

    assert reserve(database, second, ["a", "b"]) is None
    assert held(database) == {"a": second, "b": second}


def test_one_policy_is_freed_without_the_others(database: RecordingDatabase) -> None:
    first, second = cancellation(database, 1), cancellation(database, 2)
    reserve(database, first, ["a", "b"])

    with database.transaction() as tx:
        reservations.release(tx, first, "a")

    assert reserve(database, second, ["a"]) is None
    assert held(database) == {"a": second, "b": first}


def test_freeing_never_touches_what_another_holds(database: RecordingDatabase) -> None:
    first, second = cancellation(database, 1), cancellation(database, 2)
    reserve(database, first, ["a"])

    with database.transaction() as tx:
        reservations.release_all(tx, second)
        reservations.release(tx, second, "a")

    assert held(database) == {"a": first}


def test_what_was_held_before_stays_on_record(database: RecordingDatabase) -> None:
    holder = cancellation(database)
    for _ in range(3):
        reserve(database, holder, ["a"])
        with database.transaction() as tx:
            reservations.release_all(tx, holder)

    with database.reading() as session:
        assert len(session.scalars(select(Reservation)).all()) == 3
    assert held(database) == {}


@pytest.mark.parametrize("other", [{"partner": "OTHER"}, {"booking": "OTHER-BOOKI-INS"}])
def test_policies_of_another_partner_or_booking_are_other_policies(
    database: RecordingDatabase, other: dict[str, str]
) -> None:
    ours, theirs = cancellation(database), cancellation(database, **other)

    assert reserve(database, ours, ["a"]) is None
    assert reserve(database, theirs, ["a"]) is None


def test_of_many_of_two_partners_at_once_one_of_each_holds_the_policy(database: RecordingDatabase) -> None:
    partners = ["ABCDE", "OTHER"] * 8
    wanting = [cancellation(database, number, partner=partner) for number, partner in enumerate(partners)]

    answers = at_once(lambda number: reserve(database, wanting[number], ["a"]), times=len(wanting))

    winners = [number for number, answer in enumerate(answers) if answer is None]
    assert sorted(partners[number] for number in winners) == ["ABCDE", "OTHER"]
    holder = {partners[number]: wanting[number] for number in winners}
    assert [answer for answer in answers if answer] == [
        ("a", holder[partner]) for number, partner in enumerate(partners) if number not in winners
    ]


def test_freeing_one_partners_policy_leaves_the_others_in_hand(database: RecordingDatabase) -> None:
    ours, theirs = cancellation(database), cancellation(database, partner="OTHER")
    reserve(database, ours, ["a"])
    reserve(database, theirs, ["a"])

    with database.transaction() as tx:
        reservations.release_all(tx, ours)

    assert held(database) == {"a": theirs}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_policy_freed_while_it_is_being_asked_for_is_not_taken_for_reserved(database: RecordingDatabase) -> None:
    first, second = cancellation(database, 1), cancellation(database, 2)
    reserve(database, first, ["a"])
    freed = []

    def free_between(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("SELECT reservations") and not freed:
            freed.append(True)
            with database.transaction() as tx:
                reservations.release_all(tx, first)

    event.listen(database.engine, "before_cursor_execute", free_between)

    answer = reserve(database, second, ["a"])
    event.remove(database.engine, "before_cursor_execute", free_between)  # the engine serves other tests too

    assert freed
    is_told_that_it_holds = answer is None
    assert is_told_that_it_holds == (held(database).get("a") == second)


def test_of_many_looked_up_at_once_one_goes_on_and_the_others_are_rejected_naming_it(world: World) -> None:
    booking = world.booking()
    rows = [world.accept(booking) for _ in range(AT_ONCE)]
    world.database.published.clear()

    at_once(lambda number: world.run(TaskName.LOOK_UP, rows[number]), times=AT_ONCE)

    ended = [world.row(row_id) for row_id in rows]
    (holder,) = [row for row in ended if row.status == "in_progress"]
    assert held(world.database) == {booking.quote_id: holder.id}
    told = {(row.status, *_told(row)) for row in ended if row.id != holder.id}
    assert told == {("rejected", "/problems/already-in-hand", booking.quote_id, str(holder.id))}
    assert world.database.published == [(TaskName.PREVIEW, holder.id)]


def test_of_many_looked_up_at_once_for_overlapping_policies_one_holds_all_of_its_own(world: World) -> None:
    booking = world.booking(policies=[{}, {}, {}])
    first, second, third = booking.quote_ids
    circle = [[first, second], [second, third], [third, first]]
    wanted = {world.accept(booking, quotes=[{"id": quote_id} for quote_id in pair]): pair for pair in circle * 6}
    rows = list(wanted)

    at_once(lambda number: world.run(TaskName.LOOK_UP, rows[number]), times=len(rows))

    ended = [world.row(row_id) for row_id in rows]
    (holder,) = [row for row in ended if row.status == "in_progress"]
    assert held(world.database) == dict.fromkeys(wanted[holder.id], holder.id)
    assert {(row.status, _told(row)[-1]) for row in ended if row.id != holder.id} == {("rejected", str(holder.id))}


def _told(row: Cancellation) -> tuple[str, str, str]:
    """Return why a row was rejected, over which policy, and whom it names as the holder."""
    problem = row.problem or {}
    return problem["type"], problem["quote_id"], problem["holder"]
