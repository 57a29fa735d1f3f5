"""The servers that the other tests run on."""

import socket
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests import servers


def answers(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) == 0


def databases(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_an_embedded_postgresql_gives_databases_and_leaves_nothing_running() -> None:
    with servers.embedded_postgresql() as server, servers.fresh_database(server, "one") as one:
        with psycopg.connect(one, autocommit=True) as connection:
            connection.execute("CREATE TABLE fruit AS SELECT 'apple' AS name")
        with servers.fresh_database(server, template="one") as copy, psycopg.connect(copy) as connection:
            assert connection.execute("SELECT name FROM fruit").fetchall() == [("apple",)]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server)


def test_a_fresh_database_is_dropped_even_while_somebody_is_connected() -> None:
    with servers.postgresql_server() as server:
        with servers.fresh_database(server) as url:
            left_open = psycopg.connect(url)
            name = urlsplit(url).path.strip("/")
            assert name in databases(server)
        assert name not in databases(server)
        left_open.close()


def test_a_private_redis_is_a_server_of_our_own_that_ends_with_the_block() -> None:
    with servers.redis_server(private=True) as url:
        with redis.Redis.from_url(url) as server:
            assert server.set("a", "1")
        assert answers(url)
    assert not answers(url)


def test_two_users_of_a_shared_redis_never_get_the_same_database() -> None:
    with servers.redis_server() as one, servers.redis_server() as other:
        assert one != other
        assert {urlsplit(one).path, urlsplit(other).path}.isdisjoint({"", "/0"}) or answers(one)


def test_a_shared_redis_database_is_left_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.embedded_redis() as server:
        monkeypatch.setattr(servers, "NAMED_REDIS", server)
        with servers.redis_server() as url, redis.Redis.from_url(url) as database:
            database.set("a", "1")
        with redis.Redis.from_url(url) as database:
            assert database.dbsize() == 0


def test_a_redis_database_in_use_by_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.embedded_redis() as server:
        monkeypatch.setattr(servers, "NAMED_REDIS", server)
        with redis.Redis.from_url(servers.with_database(server, "1")) as somebody:
            somebody.set("theirs", "1")
            with servers.redis_server() as url:
                assert url == servers.with_database(server, "2")
            assert somebody.get("theirs") == b"1"


def test_a_free_port_is_free_and_a_port_in_use_is_taken() -> None:
    port = servers.free_port()
    assert not servers.is_port_taken(port)
    with socket.create_server(("127.0.0.1", port)):
        assert servers.is_port_taken(port)
