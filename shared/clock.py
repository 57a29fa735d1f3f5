"""The time on this host; the only caller of datetime.now.

Leases and due times are compared by the database's clock (`shared.db.now_plus`), the insurer's deadlines by the
insurer's. Tests move both of ours together with `travel`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_shift = timedelta(0)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC) + _shift


def shift() -> timedelta:
    """Return how far tests have moved our clocks; zero everywhere else."""
    return _shift


@contextmanager
def travel(by: timedelta) -> Iterator[None]:
    """Move this process's clocks forward inside the block (tests)."""
    global _shift  # noqa: PLW0603 - one clock per process is the point
    before = _shift
    _shift = before + by
    try:
        yield
    finally:
        _shift = before
