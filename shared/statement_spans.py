"""Records each statement as a span, named by its first word; its values are never told.

OpenTelemetry's own instrumentation refuses the SQLAlchemy that is used here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

MAX_STATEMENT = 1_000
"""Characters."""

_tracers: "list[Callable[[], Tracer]]" = []
"""What gives the tracer; none while nothing is recorded."""
_KEY = "cfar.span"


def listen(tracer: "Callable[[], Tracer] | None") -> None:
    """Record statements of every engine with this tracer; with None not any more."""
    for name, hear in (("before_cursor_execute", _begin), ("after_cursor_execute", _end), ("handle_error", _fail)):
        is_heard = event.contains(Engine, name, hear)
        if tracer is not None and not is_heard:
            event.listen(Engine, name, hear)
        elif tracer is None and is_heard:
            event.remove(Engine, name, hear)
    _tracers[:] = [] if tracer is None else [tracer]


def _begin(connection: Any, _cursor: object, statement: str, _values: object, _context: object, _many: object) -> None:
    from opentelemetry.trace import SpanKind

    words = statement.split(maxsplit=1)
    said = {"db.system.name": connection.dialect.name, "db.query.text": statement[:MAX_STATEMENT]}
    span = _tracers[0]().start_span(words[0].upper() if words else "SQL", kind=SpanKind.CLIENT, attributes=said)
    connection.info.setdefault(_KEY, []).append(span)


def _end(connection: Any, *_about: object) -> None:
    _close(connection.info)


def _fail(about: Any) -> None:
    if about.connection is not None:
        _close(about.connection.info, error=type(about.original_exception).__name__)


def _close(info: dict[str, Any], *, error: str | None = None) -> None:
    from opentelemetry.trace import StatusCode

    begun: list[Span] = info.get(_KEY) or []
    if begun:
        span = begun.pop()
        if error is not None:
            span.set_status(StatusCode.ERROR, error)
        span.end()
