"""A PostgreSQL and a Redis for tests and demo: the named ones, those of this machine, or embedded ones.

Whatever is started here is stopped here. Nothing of the application belongs here.
"""

import fcntl
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from getpass import getuser
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from tests.embedded import EmbeddedPostgresql, EmbeddedRedis, free_port

LOCAL_POSTGRESQL = ("127.0.0.1", 5432)
LOCAL_REDIS = ("127.0.0.1", 6379)
NAMED_DATABASE = os.environ.get("DATABASE_URL", "")
NAMED_REDIS = os.environ.get("REDIS_URL", "")
"""Read when this module is loaded: the tests clear every setting from their environment afterwards."""
OWNER_KEY = "cfar-tests:owner"

__all__ = [
    "embedded_postgresql",
    "embedded_redis",
    "free_port",
    "fresh_database",
    "is_port_taken",
    "postgresql_server",
    "redis_server",
    "with_database",
]


def is_port_taken(port: int) -> bool:
    """Tell whether a server could not listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Give the address of a PostgreSQL where databases may be created."""
    found = _named_postgresql() or _local_postgresql()
    if found:
        yield found
        return
    with embedded_postgresql() as url:
        yield url


@contextmanager
def embedded_postgresql() -> Iterator[str]:
    """Start a PostgreSQL of our own on a socket in a temporary folder."""
    with EmbeddedPostgresql() as server:
        yield server.url


@contextmanager
def fresh_database(server_url: str, name: str | None = None, *, template: str | None = None) -> Iterator[str]:
    """Create a database, a copy of `template` if given, and drop it afterwards; give its address."""
    name = name or f"cfar_test_{secrets.token_hex(6)}"
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        # Copying files beats the default, which writes every page to the log, for a small template.
        create = sql.SQL("{} TEMPLATE {} STRATEGY FILE_COPY").format(create, sql.Identifier(template))
    _run_on(server_url, create)
    try:
        yield with_database(server_url, name)
    finally:
        _run_on(server_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def with_database(url: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def redis_server(*, private: bool = False) -> Iterator[str]:
    """Give the address of an empty Redis database; `private` always starts a server of our own."""
    shared = None if private else _shared_redis()
    if shared is None:
        with embedded_redis() as url:
            yield url
        return
    with _free_database(shared) as found, nullcontext(found) if found else embedded_redis() as url:
        yield url


@contextmanager
def embedded_redis(port: int | None = None) -> Iterator[str]:
    """Start a Valkey of our own; it forgets everything when it stops."""
    with EmbeddedRedis(port) as server:
        yield server.url


def _named_postgresql() -> str | None:
    url = NAMED_DATABASE
    return re.sub(r"^postgres(ql)?(\+psycopg)?:", "postgresql:", url) if url.startswith("postgres") else None


def _local_postgresql() -> str | None:
    host, port = LOCAL_POSTGRESQL
    if not _listens(host, port):
        return None
    for user in dict.fromkeys(("postgres", getuser())):
        url = f"postgresql://{quote(user)}@{host}:{port}/test"
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=3) as connection:
            query = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
            row = connection.execute(query).fetchone()
            if row and row[0]:
                return url
    return None


def _run_on(server_url: str, statement: sql.Composed) -> None:
    with psycopg.connect(server_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)


def _shared_redis() -> str | None:
    if NAMED_REDIS:
        return NAMED_REDIS
    host, port = LOCAL_REDIS
    return f"redis://{host}:{port}/0" if _listens(host, port) else None


@contextmanager
def _free_database(url: str) -> Iterator[str | None]:
    """Take a database number other than 0 that is empty, and leave it empty; None when there is none."""
    with redis.Redis.from_url(url, socket_timeout=5) as server:
        numbers = range(1, _databases_of(server))
    with ExitStack() as stack:
        for number in numbers:
            numbered = urlunsplit(urlsplit(url)._replace(path=f"/{number}"))
            if stack.enter_context(_locked(numbered)) and _is_free(numbered):
                try:
                    yield numbered
                finally:
                    _flush(numbered)
                return
        yield None


def _databases_of(server: redis.Redis) -> int:
    try:
        return int(server.config_get("databases")["databases"] or 0)
    except (redis.ResponseError, KeyError):  # hosted ones forbid CONFIG
        return 16


@contextmanager
def _locked(url: str) -> Iterator[bool]:
    """Hold a lock that ends with this process, so that two test runs never share a database number."""
    parts = urlsplit(url)
    folder = Path(tempfile.gettempdir()) / "cfar-redis-locks"
    folder.mkdir(exist_ok=True)
    name = f"{parts.hostname}-{parts.port or 6379}-{parts.path.strip('/')}"
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is_free(url: str) -> bool:
    """Mark an empty database as ours; one that a killed run left marked is emptied."""
    with redis.Redis.from_url(url, socket_timeout=5) as one:
        if one.exists(OWNER_KEY):
            one.flushdb()
        return not one.dbsize() and bool(one.set(OWNER_KEY, "a test run"))


def _flush(url: str) -> None:
    with redis.Redis.from_url(url, socket_timeout=5) as one:
        one.flushdb()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
