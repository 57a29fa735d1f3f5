"""Which ids a line of the log carries: bound once for a task or a request, and gone at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from shared import trace_context

if TYPE_CHECKING:
    from shared.models import Cancellation


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Write these on every line of the block; what is None is left out."""
    before = get_contextvars()
    bind(**ids)
    try:
        yield
    finally:
        begin(**before)


def begin(**ids: object) -> None:
    """Write these and nothing else on every line from now on."""
    clear_contextvars()
    bind(**ids)


def bind(**ids: object) -> None:
    """Write these too on every line from now on; what is None is left out."""
    bind_contextvars(**{name: value for name, value in ids.items() if value is not None})


def ids_of(row: Cancellation) -> dict[str, Any]:
    """Return what every line about a cancellation carries: whose it is, which try, which trace; nothing personal."""
    ids = {
        "cancellation_id": str(row.id),
        "caller": row.caller,
        "partner": row.partner,
        "attempt": row.tries,
        "trace_id": trace_context.trace_id(row.traceparent),
    }
    return {name: value for name, value in ids.items() if value is not None}
