"""Incidents of the database and of Redis.

A disk cannot be filled on a machine that is not ours. SQLite is given a largest size, and then fails with the very
error of a full disk. PostgreSQL is made read-only, which is what hosted ones do when a plan's space is used up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from sqlalchemy import event, text

from shared.doctor import examination
from shared.lifecycle import TaskName
from tests.embedded import EmbeddedRedis
from tests.incidents.ward import Ward

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_postgresql
def test_redis_evicting(ward: Ward) -> None:
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        ward.redis_url = server.url
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 512 * 1024))
        for number in range(200):
            client.set(f"message-{number}", "x" * 10_000)
        assert client.info("stats")["evicted_keys"] > 0
        assert "redis-evicting" in ward.wrong()
        assert "allkeys-lru, and" in ward.troubles()["redis-evicting"]

        client.flushall()  # nothing in it has to last
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "100mb")
        assert "redis-evicting" not in ward.troubles()


@on_postgresql
def test_a_full_redis_that_refuses_writes_is_named_too(ward: Ward) -> None:
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        ward.redis_url = server.url
        client.config_set("maxmemory", "1")
        assert "redis-evicting" in ward.wrong()


@on_postgresql
def test_database_disk_full_on_a_hosted_one_that_became_read_only(ward: Ward) -> None:
    database = ward.database.engine.url.database
    with read_only(ward, f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'):
        assert ward.wrong() == {"database-disk-full"}
    with read_only(ward, f'ALTER DATABASE "{database}" RESET default_transaction_read_only'):
        assert ward.troubles() == {}


@contextmanager
def read_only(ward: Ward, statement: str) -> Iterator[None]:
    """Change what new connections may do, and have only new ones."""
    with ward.database.engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.commit()
        connection.execute(text(statement))
        connection.commit()
    ward.database.engine.dispose()
    yield


@on_sqlite
def test_database_disk_full(ward: Ward) -> None:
    def fill(connection: Any, _record: object = None) -> None:
        connection.execute("PRAGMA max_page_count = 1").close()  # not less than it has: not a page more

    event.listen(ward.database.engine, "connect", fill)
    ward.database.engine.dispose()
    try:
        assert ward.wrong() == {"database-disk-full"}
        assert "disk is full" in ward.troubles()["database-disk-full"]
    finally:
        event.remove(ward.database.engine, "connect", fill)
        ward.database.engine.dispose()
    assert ward.troubles() == {}


@on_postgresql
def test_checks_that_redis_knows_nothing_of_are_missed_only_once_beat_has_run_for_a_while(ward: Ward) -> None:
    with EmbeddedRedis() as server:
        ward.redis_url = server.url  # an empty one
        assert ward.troubles() == {}
        ward.later(900)
        ward.work(TaskName.SWEEP)
        assert "invariant-checks: not known" in ward.troubles()["beat-stuck"]


@on_postgresql
def test_servers_that_are_away_are_findings_and_everything_else_is_still_told(ward: Ward) -> None:
    ward.redis_url = "redis://127.0.0.1:1/0"
    assert (ward.wrong(), len(ward.examine()) > 20) == ({"redis-down"}, True)


@on_postgresql
def test_a_server_that_never_answers_is_left_behind(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "TIME_LIMIT", 0.3)
    with ward.database.engine.connect() as holder:
        holder.execute(text("LOCK TABLE breakers IN ACCESS EXCLUSIVE MODE"))
        found = {finding.check: finding for finding in ward.examine()}
        assert "no answer within" in found["breakers"].said
        assert found["redis"].state == "ok"
        holder.rollback()
