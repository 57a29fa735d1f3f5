"""What a server would write to its log: every line, ours and the libraries', as JSON."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared import log_context, logs
from shared.config import Settings


class _Kept(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def server_log(**settings: Any) -> Iterator[list[str]]:
    """Log as a server does during the block, and give the lines; the tests' own logging is put back afterwards."""
    lines: list[str] = []
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure(Settings(**{"log_level": "INFO", "log_format": "json", **settings}))
    kept = _Kept(lines)
    kept.setFormatter(root.handlers[0].formatter)
    root.handlers[:] = [kept]
    log_context.begin()
    try:
        yield lines
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        log_context.begin()
