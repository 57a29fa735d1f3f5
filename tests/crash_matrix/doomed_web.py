"""The real gateway, whose process dies where it is told to: `gunicorn tests.crash_matrix.doomed_web:app`.

A request names its doom in a header that the gateway knows nothing of. Many requests come to their boundaries at once,
each in a thread of its own, and wait there for what happens to the process.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Response, request
from sqlalchemy import text

from shared.db import Database, Message, Transaction
from shared.webhook_intake import Event, Intake
from tests.crash_matrix.boundaries import WebBoundary
from tests.crash_matrix.dooms import FOLDER, Doom, Folder
from webhook_gateway.doorbell import Doorbell

HEADER = "Doomed-As"
TASK = "request"

folder = Folder(Path(os.environ[FOLDER]))


class _Request(threading.local):
    """What the request in this thread is about to die of."""

    doom: Doom | None = None
    late: Callable[[], None] | None = None
    """Sends what the doorbell has not sent yet."""


_doomed = _Request()
_transaction, _ring = Database.transaction, Doorbell.ring
_init, _store = Database.__init__, Intake.store


def _reach(boundary: WebBoundary, stay: Callable[[], object] = lambda: None) -> None:
    doom = _doomed.doom
    if doom is not None and doom.boundary == boundary:
        folder.meet(doom, stay=stay)
        _doomed.doom = None


@contextmanager
def _watched(self: Database) -> Iterator[Transaction]:
    with _transaction(self) as tx:
        yield tx
        tx.session.flush()
        _reach(WebBoundary.COMMITTING, stay=lambda: tx.session.execute(text("SELECT 1")))
    _reach(WebBoundary.COMMITTED)  # of those that ring nobody


def _rung(self: Doorbell, messages: Sequence[Message]) -> None:
    _reach(WebBoundary.COMMITTED)
    doom = _doomed.doom
    if doom is not None and doom.boundary == WebBoundary.ANSWERED:  # the thread that sends is late
        late = list(messages)
        _doomed.late = lambda: _ring(self, late)
        return
    _ring(self, messages)
    if doom is not None and doom.boundary == WebBoundary.RUNG:
        self.flush(seconds=10)
        _reach(WebBoundary.RUNG)


def _with_room(self: Database, url: str, **named: Any) -> None:
    """Have a connection for every request that waits at a boundary."""
    _init(self, url, **{**named, "max_overflow": 100})


def _stored_alone(self: Intake, event: Event) -> bool:
    """Let no request that waits at its boundary keep others from coming to theirs."""
    return _store(Intake(self._database, source=self._source), event)


Database.__init__ = _with_room  # type: ignore[assignment,method-assign]
Intake.store = _stored_alone  # type: ignore[method-assign]
Database.transaction = _watched  # type: ignore[method-assign]
Doorbell.ring = _rung  # type: ignore[method-assign]

from webhook_gateway.wsgi import app  # noqa: E402 - it hands the doorbell's method on when it is made


@app.before_request
def _begin() -> None:
    victim = request.headers.get(HEADER, "")
    doom = folder.find(victim, TASK) if victim else None
    _doomed.doom = doom if doom is not None and folder.take(doom) else None
    _doomed.late = None
    _reach(WebBoundary.RECEIVED)


@app.after_request
def _end(response: Response) -> Response:
    doom, late = _doomed.doom, _doomed.late

    def has_left() -> None:
        if doom is not None and doom.boundary == WebBoundary.ANSWERED:
            folder.meet(doom)
            if late is not None:
                late()

    response.call_on_close(has_left)
    return response
