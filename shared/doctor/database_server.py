"""The database itself: does it answer, has it the schema, the room and the connections."""

import os
import secrets
import shutil
from pathlib import Path

from sqlalchemy import exc, insert, text
from sqlalchemy.orm import Session

from shared import schema_version
from shared.db import Database, now_plus
from shared.doctor.findings import Finding, ok, warning, wrong
from shared.operations_models import ProcessSeen

OLDEST_SUPPORTED = 14
"""Of PostgreSQL's releases: the oldest that gets corrections for most of this one's life."""
ALMOST_ALL = 0.8
"""Of the connections that there are."""
PROBE_BYTES = 64 * 1024
"""More than the free space within a table's pages: writing it takes new room, also where small rows still fit."""
LITTLE_DISK, MUCH_TOO_LITTLE = 2 * 1024**3, 256 * 1024**2
"""Free bytes beside a SQLite file."""

_NO_ROOM = {
    "53100": "its disk is full",
    "SQLITE_FULL": "its disk is full",
    "53200": "it is out of memory",
    "25006": "it takes nothing in: it is read-only, as hosted ones become when their plan's space is used up",
    "42501": "our role may not write any more, as where a hosted plan's space is used up",
}
"""By PostgreSQL's error code, or SQLite's name of it."""


def reachable(session: Session) -> list[Finding]:
    """Say which database answers."""
    if session.get_bind().dialect.name == "sqlite":
        return [ok("database", f"SQLite {session.scalar(text('SELECT sqlite_version()'))}: for one machine only")]
    number = int(str(session.scalar(text("SHOW server_version_num"))))
    said = f"PostgreSQL {session.scalar(text('SHOW server_version'))}"
    if number // 10_000 < OLDEST_SUPPORTED:
        return [warning("database", f"{said}: older than {OLDEST_SUPPORTED}", cause="database-version")]
    return [ok("database", said)]


def schema(session: Session) -> list[Finding]:
    """Say whether the tables are those that this release needs."""
    complaint = schema_version.complaint(session)
    return [ok("schema", "as this release needs it") if complaint is None else wrong("schema", complaint)]


def writes(database: Database) -> list[Finding]:
    """Try to write, and take it back: a full disk shows only then."""
    try:
        _write_and_take_back(database)
    except exc.DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or ""
        reason = _NO_ROOM.get(code, type(error.orig).__name__)
        return [wrong("database-writes", f"a row cannot be written: {reason}{f' ({code})' if code else ''}")]
    return [ok("database-writes", "a row was written, and taken back")]


def space(session: Session) -> list[Finding]:
    """Say how much there is; how much is left only where it can be told."""
    if session.get_bind().dialect.name == "sqlite":
        return [_beside_file(str(session.get_bind().engine.url.database))]
    used = int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    return [ok("database-space", f"{_size(used)} used; compare it with the plan: a client is not told what is left")]


def connections(session: Session) -> list[Finding]:
    """Compare the open connections with those allowed."""
    if session.get_bind().dialect.name == "sqlite":
        return [ok("database-connections", "a file has as many as it likes")]
    asked = (
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
        " current_setting('max_connections')::int,"
        " (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),"
        " (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)"
    )
    used, allowed, role_allowed, role_used = session.execute(text(asked)).one()
    if role_allowed is not None and role_allowed > 0:
        used, allowed = role_used, role_allowed
    said = f"{used} of {allowed} in use"
    is_tight = used > ALMOST_ALL * allowed
    return [warning("database-connections", said) if is_tight else ok("database-connections", said)]


def _write_and_take_back(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin() as transaction:
        row = {
            "name": f"doctor-{secrets.token_hex(8)}",
            "kind": "worker",
            "first_seen_at": now_plus(0),
            "seen_at": now_plus(0),
            "details": {"probe": secrets.token_hex(PROBE_BYTES // 2)},
        }
        connection.execute(insert(ProcessSeen).values(**row))
        transaction.rollback()


def _beside_file(path: str) -> Finding:
    folder = Path(path).parent if path else Path(os.curdir)
    left = shutil.disk_usage(folder).free
    said = f"{_size(left)} left on its disk"
    if left < MUCH_TOO_LITTLE:
        return wrong("database-space", said)
    return warning("database-space", said) if left < LITTLE_DISK else ok("database-space", said)


def _size(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count // 1024} KiB"
