"""Alembic's entry: runs the migrations on the database that the environment names."""

from typing import Literal

from alembic import context
from sqlalchemy import JSON, URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from shared import batch_models, breaker_models, callback_models, columns, models, operations_models, webhook_models
from shared.config import Settings, load
from shared.db import Database, UtcDateTime

_TABLES = (batch_models, breaker_models, callback_models, models, operations_models, webhook_models)
"""Imported, so that the metadata knows every table."""


def _render(kind: str, item: object, _autogen: object) -> str | Literal[False]:
    """Write our own column types by their names in new revisions."""
    if kind != "type":
        return False
    if isinstance(item, columns.AmountText | UtcDateTime):
        return f"{type(item).__name__}()"
    return "Document" if isinstance(item, JSON) else False


def _migrate(connection: Connection) -> None:
    # SQLite cannot alter most things in place; batch mode rebuilds the table.
    context.configure(
        connection=connection,
        target_metadata=columns.Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


def _url() -> str:
    return str(context.config.attributes.get("url") or load(Settings).database_url.get_secret_value())


def _connect(engine: Engine) -> Connection:
    """Connect; a database that cannot be reached is told in one line, without the password."""
    try:
        return engine.connect()
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        if engine.url.password:
            reason = reason.replace(engine.url.password, "***")
        raise SystemExit(f"Not migrated: {_place(engine.url)} cannot be reached: {reason}") from error


def _place(url: URL) -> str:
    return f"database {url.database} on {url.host}" if url.host else f"database {url.database}"


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    database = Database(_url(), publish=lambda _messages: None)
    with _connect(database.engine) as own:
        _migrate(own)
        own.commit()
    database.close()
