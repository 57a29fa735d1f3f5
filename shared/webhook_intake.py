"""Storing verified events as they come: those that arrive while others are being stored go together in one statement.

A commit costs about the same for one event as for six, and webhooks come in floods.
"""

import hashlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from shared import clock
from shared.columns import new_id
from shared.db import AWAY, Database
from shared.lifecycle import TaskName
from shared.transitions import MESSAGE_PATIENCE
from shared.webhook_events import record

MOST_TOGETHER = 6
"""Events in one statement: with more it has more parameters than the driver keeps prepared."""

_TYPES = {
    "id": "uuid",
    "body_id": "uuid",
    "digest": "text",
    "raw": "bytea",
    "token": "text",
    "key_id": "text",
    "headers": "jsonb",
}
_NOW = "(statement_timestamp() + make_interval(secs => %(shift)s))"
_STORE = f"""
WITH given ({", ".join(_TYPES)}) AS (VALUES {{rows}}), stored AS (
    INSERT INTO webhook_bodies (id, source, digest, raw, received_at)
    SELECT body_id, %(source)s, digest, raw, {_NOW} FROM given
    ON CONFLICT (digest) DO NOTHING RETURNING id, digest
)
INSERT INTO webhook_deliveries
    (id, body_id, token, key_id, headers, received_at, tries, next_attempt_at, rings, ring_after, replays)
SELECT id, coalesce(
        (SELECT stored.id FROM stored WHERE stored.digest = given.digest),
        (SELECT body.id FROM webhook_bodies AS body WHERE body.digest = given.digest)
    ), token, key_id, headers, {_NOW}, 0, {_NOW}, 0, {_NOW} + make_interval(secs => %(patience)s), 0
FROM given RETURNING id, body_id
"""  # noqa: S608 - a text of ours
"""What `webhook_events.record` does, for some events at once and without a trip of its own for each row."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """A verified event: its bytes as they came, and how it came."""

    raw: bytes
    token: str | None
    key_id: str
    headers: Mapping[str, Any]


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """An event whose thread waits until it is stored, or until it is the next to store."""

    event: Event
    digest: str
    id: UUID = field(default_factory=new_id)
    body_id: UUID = field(default_factory=new_id)
    turn: Lock = field(default_factory=Lock)
    is_tried: bool = False
    is_new: bool | None = None
    error: Exception | None = None

    def values(self) -> tuple[Any, ...]:
        """Return its row, in the order of `_TYPES`."""
        event = self.event
        headers = json.dumps(dict(event.headers))
        return self.id, self.body_id, self.digest, event.raw, event.token, event.key_id, headers


class Intake:
    """Stores the events that one process takes: one statement at a time, each run by one of the threads it serves."""

    def __init__(self, database: Database, *, source: str) -> None:
        self._database = database
        self._source = source
        self._lock = Lock()
        self._waiting: deque[_Waiting] = deque()
        self._is_storing = False

    def store(self, event: Event) -> bool:
        """Store the body and this delivery of it and ring for it; return whether the body is new.

        Raises what a transaction does, and then nobody may know whether it was stored.
        """
        if not self._database.is_postgresql:
            return self._store_alone(event)
        own = _Waiting(event=event, digest=hashlib.sha256(event.raw).hexdigest())
        own.turn.acquire()
        with self._lock:
            self._waiting.append(own)
            must_wait, self._is_storing = self._is_storing, True
        if must_wait:
            own.turn.acquire()
        if not own.is_tried:
            self._store_waiting()
        if own.error is not None:
            raise own.error
        return self._store_alone(event) if own.is_new is None else own.is_new

    def _store_alone(self, event: Event) -> bool:
        with self._database.transaction() as tx:
            _, is_new = record(
                tx, event.raw, source=self._source, token=event.token, key_id=event.key_id, headers=event.headers
            )
        return is_new

    def _store_waiting(self) -> None:
        """Store what waits, this thread's own event first, and hand the rest to the thread of the first of them."""
        with self._lock:
            together = [self._waiting.popleft() for _ in range(min(MOST_TOGETHER, len(self._waiting)))]
        try:
            self._store_together(together)
        except DBAPIError as error:
            # Else a body was committed meanwhile, too late to be seen, or one event cannot be stored: each goes alone.
            _fail(together, error if isinstance(error, AWAY) else None)
        except Exception as error:
            _fail(together, error)
        finally:
            with self._lock:
                following = next(iter(self._waiting), None)
                self._is_storing = following is not None
            for waiting in (following, *together[1:]):
                if waiting is not None:
                    waiting.turn.release()

    def _store_together(self, together: Sequence[_Waiting]) -> None:
        values = {"source": self._source, "patience": MESSAGE_PATIENCE, "shift": clock.shift().total_seconds()}
        # By digest: two processes that store the same bodies must not wait for each other.
        for row, waiting in enumerate(sorted(together, key=lambda waiting: waiting.digest)):
            values |= {f"{name}{row}": value for name, value in zip(_TYPES, waiting.values(), strict=True)}
        messages = [(TaskName.HANDLE_WEBHOOK, waiting.id) for waiting in together]
        body_ids = dict(self._database.write_at_once(_statement(len(together)), values, messages=messages))
        for waiting in together:
            waiting.is_tried, waiting.is_new = True, body_ids[waiting.id] == waiting.body_id


@cache
def _statement(events: int) -> str:
    rows = (", ".join(f"%({name}{row})s::{kind}" for name, kind in _TYPES.items()) for row in range(events))
    return _STORE.format(rows=", ".join(f"({row})" for row in rows))


def _fail(together: Sequence[_Waiting], error: Exception | None) -> None:
    """Tell each thread what happened; without an error it tries again by itself."""
    for waiting in together:
        waiting.is_tried, waiting.error = True, error
