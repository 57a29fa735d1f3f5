"""The database: engine, transactions, and time as the database tells it.

`with db.transaction() as tx:` is the only way to write. Messages handed to `tx.enqueue` leave after the commit and
never before. No network call belongs inside the block.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import DateTime, Engine, Float, create_engine, event, exc, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from shared import clock, sqlite_turns
from shared.lifecycle import TaskName

SQLITE_BUSY_TIMEOUT_MS = 15_000
"""Writers queue on SQLite's single lock; far longer than their turns take."""
STATEMENT_TIMEOUT_MS = 15_000
"""A statement that hangs longer would outlive its lease anyway."""
PING_AFTER = 1.0
"""Seconds without use after which a connection may have ended unnoticed."""
IDLE_IN_TRANSACTION_MS = 8_000
"""No network call belongs inside a transaction: one that rests as long as a lease is a process that was stopped.

Its locks would keep everybody else from the row for as long, since an expired lease cannot be taken while it is locked.
"""

AWAY = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
"""What a database that is away raises; its other errors are about what was to be written."""

log = structlog.get_logger()

Message = tuple[TaskName, UUID]
Publish = Callable[[Sequence[Message]], object]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time: timestamptz on PostgreSQL, sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Use text on SQLite, whose own type would drop the time zone."""
        return sqlite.TEXT() if dialect.name == "sqlite" else postgresql.TIMESTAMP(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive times; write fixed-width text on SQLite so that comparing text compares time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without zone was about to be stored: {value!r}")
        utc = value.astimezone(UTC)
        return utc.strftime("%Y-%m-%d %H:%M:%S.%f") if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return an aware UTC time."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return value.astimezone(UTC)  # type: ignore[no-any-return]  # the driver's value is typed Any


class now_plus(FunctionElement[datetime]):  # noqa: N801 - reads as a SQL function
    """The database's present time plus a number of seconds; the host's on SQLite, which has no other."""

    type = UtcDateTime()
    inherit_cache = True
    name = "now_plus"

    def __init__(self, seconds: float | Any = 0) -> None:
        shift = clock.shift().total_seconds()
        super().__init__(
            literal(float(seconds) + shift, Float()) if isinstance(seconds, int | float) else seconds + shift
        )


@compiles(now_plus, "postgresql")
def _now_on_postgresql(element: now_plus, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(now_plus, "sqlite")
def _now_on_sqlite(element: now_plus, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({compiler.process(element.clauses, **kw)}) || ' seconds')"


@dataclass(frozen=True)
class Transaction:
    """One open transaction and the messages that leave when it has committed."""

    session: Session
    messages: list[Message] = field(default_factory=list)
    facts: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    def enqueue(self, task: TaskName, row_id: UUID) -> None:
        """Ring a worker about a row, after the commit."""
        self.messages.append((task, row_id))

    def log(self, fact: str, *, level: int = logging.INFO, **details: Any) -> None:
        """Log a fact, once it is one: after the commit."""
        self.facts.append((level, fact, details))


class Database:
    """An engine and the two ways to use it. Create it after a fork, not before."""

    def __init__(self, url: str, *, publish: Publish, pool_size: int = 5, max_overflow: int = 10) -> None:
        self.engine = _engine(url, pool_size=pool_size, max_overflow=max_overflow)
        # One connection that stays apart from the others: what is written on it is committed.
        self._at_once = _engine(url, pool_size=1, max_overflow=0, isolation_level="AUTOCOMMIT")
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        self._publish = publish

    @contextmanager
    def aside(self) -> Iterator[Transaction]:
        """Write what is no part of a step's own story, like what was learned of an insurer's service."""
        with self._begun() as tx:
            yield tx

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write: commit on a clean exit, roll back on any exception, publish after the commit."""
        with self._begun() as tx:
            yield tx

    @contextmanager
    def _begun(self) -> Iterator[Transaction]:
        with self._sessions() as session:
            tx = Transaction(session)
            with session.begin():
                yield tx
        for level, fact, details in tx.facts:
            log.log(level, fact, **details)
        if tx.messages:
            self._publish(tx.messages)

    @property
    def is_postgresql(self) -> bool:
        """Tell whether statements may be PostgreSQL's own."""
        return self.engine.dialect.name == "postgresql"

    def write_at_once(
        self, statement: str, values: Mapping[str, Any], *, messages: Sequence[Message]
    ) -> list[tuple[Any, ...]]:
        """Write by one statement of PostgreSQL's that commits by itself, publish, and return its rows.

        A transaction takes three more trips to the server, each as long as the writing. Raises as one does, and then
        nobody may know whether it was done.
        """
        try:
            rows = self._write_by_itself(statement, values)
        except self._driver_error as error:
            raise exc.DBAPIError.instance(statement, None, error, self._driver_error, hide_parameters=True) from error
        self._publish(messages)
        return rows

    def _write_by_itself(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        pooled = self._at_once.raw_connection()
        try:
            driver: Any = pooled.driver_connection
            rows: list[tuple[Any, ...]] = driver.execute(statement, values).fetchall()
        except BaseException as error:
            pooled.invalidate(error)
            raise
        finally:
            pooled.close()
        return rows

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read without taking SQLite's write lock; nothing is committed."""
        with self.engine.connect() as raw:
            connection = raw.execution_options(sqlite_begin="DEFERRED")
            with Session(connection, expire_on_commit=False) as session:
                yield session

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()
        self._at_once.dispose()


def clock_lead(session: Session, shown: datetime | None) -> timedelta:
    """Return how far a clock that shows `shown` right now is ahead of the database's; zero when it shows nothing."""
    now = session.scalar(select(now_plus(0)))
    return timedelta(0) if shown is None or now is None else shown - now


def insert_or_ignore(
    session: Session, table: Any, values: dict[str, Any], *, conflict: Sequence[str], where: Any = None
) -> bool:
    """Insert one row unless the unique index over `conflict` has it; return whether it was inserted.

    Uniqueness is the constraint's business: nobody looks first.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).values(**values).on_conflict_do_nothing(index_elements=list(conflict), index_where=where)
    return session.execute(statement.returning(literal(1))).first() is not None


def _engine(url: str, **pool: Any) -> Engine:
    if url.startswith("sqlite"):
        connect_args = {"timeout": SQLITE_BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
        engine = create_engine(url, connect_args=connect_args, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    postgresql_args: dict[str, Any] = {
        "connect_timeout": 5,
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"
        f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}",
    }
    engine = create_engine(
        url,
        **pool,
        connect_args=postgresql_args,
        hide_parameters=True,  # an error's text must not carry a customer's data into the log
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_ping_if_rested, engine.dialect))
    return engine


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_if_rested(dialect: Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    """Replace a connection that ended while nobody used it, as all do when the database restarts.

    One that was used a moment ago is not asked: that would take a trip to the server for each transaction.
    """
    if time.monotonic() - record.info.get("used_at", 0.0) < PING_AFTER:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise exc.DisconnectionError from error  # the pool connects anew, and asks here again


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not open transactions of its own: we say BEGIN IMMEDIATE
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
        "synchronous=FULL",  # an accepted cancellation survives a power cut
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("sqlite_begin") == "DEFERRED":
        connection.exec_driver_sql("BEGIN DEFERRED")
        return
    # IMMEDIATE takes the write lock at once; a deferred transaction that later writes can fail without waiting.
    with sqlite_turns.turn(str(connection.engine.url.database), patience=SQLITE_BUSY_TIMEOUT_MS / 1000):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
