"""Reads the service's database from outside, also while it comes and goes."""

from contextlib import suppress
from typing import Any

import psycopg

AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
"""What a database that is away raises."""


class Rows:
    """One connection, made anew after each loss. For one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def read(self, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows; raise one of AWAY when nobody answers."""
        if self._connection is not None:
            with suppress(*AWAY):  # it may be of a server that has been restarted since
                return self._connection.execute(query, values).fetchall()
            self.close()
        self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
