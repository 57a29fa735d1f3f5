"""Records each try of a step as a span of its cancellation's trace, which is named in the row and so outlives workers.

Celery's own instrumentation loses spans, and links a step to the message that rang for it: a sweep, or nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import select

from shared import tracing
from shared.lifecycle import TASK_OF, Step
from shared.models import Cancellation
from workers.runtime import runtime


@contextmanager
def span_of(step: Step, cancellation_id: UUID) -> Iterator[None]:
    """Record the block, if anything is recorded."""
    if not tracing.is_on():
        yield
        return
    with runtime().database.reading() as session:
        parent = session.scalar(select(Cancellation.traceparent).where(Cancellation.id == cancellation_id))
    with tracing.span(TASK_OF[step], parent=parent, cancellation_id=str(cancellation_id), step=step):
        yield
