"""How PostgreSQL answers what is asked: the plan of each statement that a question makes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from shared.db import Database

LARGE = frozenset(
    {
        *("cancellations", "transitions", "calls", "claims", "reservations"),
        *("webhook_deliveries", "webhook_bodies", "callbacks", "audit_entries"),
    }
)
"""Tables that grow with what is handed over: none of them is ever read from end to end."""

FEW = 0.02
"""Of a table's rows."""
_BY_INDEX = frozenset({"Index Scan", "Index Only Scan"})
_PASS_ON = frozenset({"Subquery Scan", "Nested Loop", "Append", "Merge Append", "Result"})
"""Steps of a plan that ask for no more than they are asked for."""

Statement = tuple[str, Any]


@contextmanager
def noting_statements(database: Database) -> Iterator[list[Statement]]:
    """Collect what is asked of the database in the block."""
    asked: list[Statement] = []

    def note(*given: Any) -> None:
        asked.append((given[2], given[3]))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def tables_read_whole(database: Database, statements: list[Statement]) -> set[str]:
    """Return the large tables of which the plan of any of these statements reads all, or a large part for nothing."""
    with database.engine.connect() as connection:
        counted = connection.exec_driver_sql("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
        sizes = {row.relname: float(row.reltuples) for row in counted}
        return {
            table
            for statement, values in statements
            for table in _scanned(
                _plan(connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values)), sizes
            )
        }


def _plan(explained: Any) -> dict[str, Any]:
    found = explained.scalar_one()
    whole = json.loads(found) if isinstance(found, str) else found
    plan: dict[str, Any] = whole[0]["Plan"]
    return plan


def _scanned(node: dict[str, Any], sizes: Mapping[str, float], *, stops_early: bool = False) -> Iterator[str]:
    """Yield tables of which all is read: by itself, or through an index without a condition and without an end.

    An index of few rows alone may be read to its end.
    """
    kind, table = node["Node Type"], node.get("Relation Name")
    if table in LARGE and not stops_early and kind in _BY_INDEX and "Index Cond" not in node:
        is_all = node["Plan Rows"] > sizes[table] * FEW
    else:
        is_all = table in LARGE and kind == "Seq Scan"
    if is_all:
        yield str(table)
    for inner in node.get("Plans", []):
        yield from _scanned(inner, sizes, stops_early=kind == "Limit" or (stops_early and kind in _PASS_ON))
