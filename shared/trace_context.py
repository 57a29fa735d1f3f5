"""The trace that something belongs to, as W3C Trace Context names it: `00-<trace>-<span>-<flags>`.

Known without any tracing library, so that a cancellation's lines in the log share a trace id whether or not spans are
recorded. `shared.tracing` records them.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WELL_FORMED = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def well_formed(header: str | None) -> str | None:
    """Return a `traceparent` header as it is, or None for one that names no trace."""
    return header if header is not None and _WELL_FORMED.fullmatch(header) else None


def fresh() -> str:
    """Return the name of a new trace, to be recorded."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id(traceparent: str | None) -> str | None:
    """Return the 32 digits that the lines of one trace have in common."""
    return traceparent.split("-")[1] if well_formed(traceparent) and traceparent else None


def current() -> str | None:
    """Return what this request or message belongs to; None outside of one."""
    return _current.get()


def begin(traceparent: str | None) -> None:
    """Let what follows in this thread or task belong to a trace, until the next one is begun."""
    _current.set(traceparent)


@contextmanager
def belonging_to(traceparent: str) -> Iterator[str]:
    """Let the block belong to a trace, and give it."""
    token = _current.set(traceparent)
    try:
        yield traceparent
    finally:
        _current.reset(token)
