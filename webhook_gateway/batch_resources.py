"""What the interface shows of batches: the shapes, and how rows become them."""

from typing import Annotated, Any

from pydantic import Field

from shared.batch_models import BATCH_STATUSES, Batch
from shared.batches import Counts
from webhook_gateway.resources import Shown, Time, time


class BatchSummary(Shown):
    """One batch, without what became of its cancellations."""

    id: str
    idempotency_key: str
    partner: str
    name: str
    status: Annotated[str, Field(json_schema_extra={"enum": list(BATCH_STATUSES)})]
    expected: Annotated[int | None, Field(description="How many its sender announced")]
    created_at: Time
    updated_at: Annotated[Time, Field(description="When its status last changed")]


class BatchResource(BatchSummary):
    """One batch, and how many of its cancellations stand where."""

    lines: Annotated[int, Field(description="How many cancellations it holds")]
    waiting: Annotated[int, Field(description="Of those in progress: not begun; what a pause holds")]
    counts: Annotated[dict[str, int], Field(description="Its cancellations by status")]


class BatchList(Shown):
    """A page of batches, newest first."""

    items: list[BatchSummary]
    next_cursor: Annotated[str | None, Field(description="Opaque; null on the last page")]


class LineRefused(Shown):
    """A line that was not stored."""

    line: Annotated[int, Field(description="Its place in this call, from 1 on")]
    idempotency_key: str | None
    problem: Annotated[dict[str, Any], Field(description="Why (RFC 9457)")]


class LinesTaken(Shown):
    """What became of the lines of one call."""

    accepted: Annotated[int, Field(description="New ones")]
    repeated: Annotated[int, Field(description="Those whose key stands for the same cancellation already")]
    refused: list[LineRefused]
    ids: Annotated[list[str | None], Field(description="Each line's cancellation; null where it was refused")]


class BatchOpened(BatchResource):
    """A batch, and what became of the lines that came with it."""

    taken: LinesTaken


def summary(batch: Batch) -> BatchSummary:
    """Return a batch as a list shows it."""
    return BatchSummary(**_facts(batch))


def shown(batch: Batch, counts: Counts) -> BatchResource:
    """Return a batch as its own address shows it."""
    return BatchResource(**_facts(batch), **_figures(counts))


def opened(batch: Batch, counts: Counts, taken: LinesTaken) -> BatchOpened:
    """Return a batch as its opening shows it."""
    return BatchOpened(**_facts(batch), **_figures(counts), taken=taken)


def _facts(batch: Batch) -> dict[str, Any]:
    return {
        "id": str(batch.id),
        "idempotency_key": batch.idempotency_key,
        "partner": batch.partner,
        "name": batch.name,
        "status": batch.status,
        "expected": batch.expected,
        "created_at": time(batch.created_at),
        "updated_at": time(batch.updated_at),
    }


def _figures(counts: Counts) -> dict[str, Any]:
    return {"lines": counts.lines, "waiting": counts.waiting, "counts": dict(counts.by_status)}
