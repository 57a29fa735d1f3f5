"""Events that arrive at once are stored together: each of them once, and each for its own sender."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event as Flag
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DataError, OperationalError

from shared.db import Database, Message
from shared.webhook_intake import MOST_TOGETHER, Event, Intake
from shared.webhook_models import WebhookBody, WebhookDelivery

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time

THREADS = 24
SENT = 480
BODIES = 300
PATIENCE = 60


class Watched(Database):
    """Counts what is stored together, and can keep the first statement waiting."""

    def __init__(self, url: str) -> None:
        self.published: list[Message] = []
        super().__init__(url, publish=self.published.extend)
        self.together: list[int] = []
        self.begun, self.may_go_on = Flag(), Flag()
        self.may_go_on.set()
        self.fails = False

    def write_at_once(
        self, statement: str, values: Mapping[str, Any], *, messages: Sequence[Message]
    ) -> list[tuple[Any, ...]]:
        self.together.append(len(messages))
        self.begun.set()
        assert self.may_go_on.wait(PATIENCE)
        if self.fails and len(self.together) == 2:
            raise OperationalError("INSERT", None, Exception("the database is away"))
        return super().write_at_once(statement, values, messages=messages)


@pytest.fixture
def watched(database_url: str) -> Iterator[Watched]:
    opened = Watched(database_url)
    yield opened
    opened.close()


def event(number: int, *, token: str | None = "token") -> Event:
    return Event(raw=b'{"number": %d}' % number, token=token, key_id="k", headers={"from": "127.0.0.1"})


def count(database: Database, table: type[WebhookBody | WebhookDelivery]) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def while_one_is_stored(watched: Watched, others: Sequence[Event]) -> list[Future[bool]]:
    """Store an event, let the others come meanwhile, and return what came of them."""
    intake = Intake(watched, source="xclaim")
    watched.may_go_on.clear()
    with ThreadPoolExecutor(len(others) + 1) as senders:
        first = senders.submit(intake.store, event(0))
        assert watched.begun.wait(PATIENCE)
        outcomes = [senders.submit(intake.store, other) for other in others]
        while len(intake._waiting) < len(others):
            assert not wait(outcomes, timeout=0.01).done
        watched.may_go_on.set()
        assert first.result(PATIENCE)
        wait(outcomes, timeout=PATIENCE)
    return outcomes


def test_each_event_is_stored_and_rung_for_once_however_many_come_at_once(watched: Watched) -> None:
    intakes = [Intake(watched, source="xclaim") for _ in range(2)]  # as in two processes
    store: Callable[[int], bool] = lambda sent: intakes[sent % 2].store(event(sent * 7 % BODIES))  # noqa: E731

    with ThreadPoolExecutor(THREADS) as senders:
        new = list(senders.map(store, range(SENT), timeout=PATIENCE))

    assert (sum(new), count(watched, WebhookBody), count(watched, WebhookDelivery)) == (BODIES, BODIES, SENT)
    assert len({row_id for _, row_id in watched.published}) == len(watched.published) == SENT
    assert sum(watched.together) >= SENT > len(watched.together)


def test_those_that_come_while_one_is_stored_go_together(watched: Watched) -> None:
    outcomes = while_one_is_stored(watched, [event(number + 1) for number in range(MOST_TOGETHER + 1)])

    assert [outcome.result() for outcome in outcomes] == [True] * (MOST_TOGETHER + 1)
    assert watched.together == [1, MOST_TOGETHER, 1]


def test_the_same_event_twice_in_one_statement_is_one_body(watched: Watched) -> None:
    outcomes = while_one_is_stored(watched, [event(1), event(1), event(0)])

    assert sorted(outcome.result() for outcome in outcomes) == [False, False, True]
    assert (count(watched, WebhookBody), count(watched, WebhookDelivery)) == (2, 4)


def test_one_that_cannot_be_stored_is_its_own_senders_failure_alone(watched: Watched) -> None:
    outcomes = while_one_is_stored(watched, [event(1), event(2, token="\x00"), event(3)])

    assert isinstance(outcomes[1].exception(), DataError)
    assert [outcomes[0].result(), outcomes[2].result()] == [True, True]
    assert count(watched, WebhookDelivery) == 3


def test_when_the_database_goes_away_each_sender_is_told_and_the_next_is_stored(watched: Watched) -> None:
    watched.fails = True
    outcomes = while_one_is_stored(watched, [event(1), event(2)])

    assert [type(outcome.exception()) for outcome in outcomes] == [OperationalError, OperationalError]
    assert Intake(watched, source="xclaim").store(event(3))


def test_an_intake_goes_on_after_a_failure(watched: Watched) -> None:
    intake = Intake(watched, source="xclaim")
    with pytest.raises(DataError):
        intake.store(event(1, token="\x00"))

    assert intake.store(event(2))
