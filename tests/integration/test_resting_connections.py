"""A connection that the database ended while nobody used it is replaced, and one that commits by itself stays apart."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared import db
from shared.db import AWAY, Database


@pytest.fixture
def own_database(postgresql_url: str) -> Iterator[Database]:
    """A pool of one connection."""
    opened = Database(postgresql_url, publish=lambda _messages: None, pool_size=1)
    yield opened
    opened.close()


def backend(database: Database) -> int:
    with database.reading() as session:
        return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


def end(database: Database, pid: int) -> None:
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            pass


def begin_and_fail(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.execute(text("CREATE TABLE never_committed (n int)"))
        raise ZeroDivisionError


def test_a_connection_that_ended_while_it_rested_is_replaced(
    own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "PING_AFTER", 0.0)
    before = backend(own_database)
    end(own_database, before)

    assert backend(own_database) not in {0, before}


def test_one_that_ended_a_moment_after_its_use_is_an_error_that_everybody_knows_and_then_replaced(
    own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "PING_AFTER", 3600.0)
    before = backend(own_database)
    end(own_database, before)

    with pytest.raises(AWAY):
        backend(own_database)
    assert backend(own_database) not in {0, before}


def test_a_statement_that_commits_by_itself_fails_as_a_transaction_does(
    own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "PING_AFTER", 3600.0)
    ((pid,),) = own_database.write_at_once("SELECT pg_backend_pid()", {}, messages=[])
    end(own_database, pid)

    with pytest.raises(AWAY):
        own_database.write_at_once("SELECT 1", {}, messages=[])
    assert own_database.write_at_once("SELECT 1", {}, messages=[]) == [(1,)]


def test_a_transaction_on_the_same_connection_commits_nothing_by_itself(own_database: Database) -> None:
    own_database.write_at_once("SELECT 1", {}, messages=[])

    with pytest.raises(ZeroDivisionError):
        begin_and_fail(own_database)
    with own_database.reading() as session:
        assert session.scalar(text("SELECT to_regclass('never_committed')")) is None


def test_what_fails_leaves_no_connection_that_commits_by_itself(own_database: Database) -> None:
    with pytest.raises(DBAPIError):
        own_database.write_at_once("SELECT 1 / 0", {}, messages=[])
    test_a_transaction_on_the_same_connection_commits_nothing_by_itself(own_database)
