"""A database whose messages are kept instead of sent."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, event

from shared.columns import Base
from shared.db import Database, Message


class RecordingDatabase(Database):
    """Publishes into `published`; the world's `drain` takes from it."""

    def __init__(self, url: str) -> None:
        self.published: list[Message] = []
        super().__init__(url, publish=self._keep)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _leave_syncing_to_the_host)

    def _keep(self, messages: Sequence[Message]) -> None:
        self.published.extend(messages)


def removable() -> list[Table]:
    """Return the tables that may be emptied row by row, those first that refer to others; nobody may the audit log."""
    return [table for table in reversed(Base.metadata.sorted_tables) if table.name != "audit_entries"]


def _leave_syncing_to_the_host(connection: Any, _record: object) -> None:
    """What a test has written need not outlive a power cut: its commits do not wait for the disk."""
    connection.execute("PRAGMA synchronous=OFF").close()
