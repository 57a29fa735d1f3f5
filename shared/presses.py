"""What people press, each with its entry in the audit log.

One cancellation: the entry is written in the transaction of the deed. Many rows are changed in several transactions:
there the entry comes first, so that a crash leaves no deed without its name.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared import audit, batches, caller_actions, resolutions, webhook_replays
from shared.db import Database, Transaction
from shared.rulings import Ruling
from shared.webhook_replays import Replayed


def retry(tx: Transaction, cancellation_id: UUID, *, actor: str, note: str | None) -> None:
    """Do what `caller_actions.retry` does."""
    caller_actions.retry(tx, cancellation_id, actor=actor, note=note)
    audit.record(tx, "retry", actor=actor, cancellation_id=cancellation_id, note=note)


def abort(tx: Transaction, cancellation_id: UUID, *, actor: str, note: str | None = None) -> None:
    """Do what `caller_actions.abort` does."""
    caller_actions.abort(tx, cancellation_id, actor=actor)
    audit.record(tx, "abort", actor=actor, cancellation_id=cancellation_id, note=note)


def resolve(tx: Transaction, cancellation_id: UUID, ruling: Ruling) -> None:
    """Do what `resolutions.resolve` does; the evidence itself stays in the timeline."""
    resolutions.resolve(tx, cancellation_id, ruling)
    audit.record(
        tx, "resolve", actor=ruling.actor, cancellation_id=cancellation_id, note=ruling.note,
        resolution=ruling.resolution.value,
    )  # fmt: skip


def replay_callbacks(tx: Transaction, cancellation_id: UUID, *, actor: str, count: int) -> None:
    """Write down that messages to a caller are sent again."""
    audit.record(tx, "replay_callbacks", actor=actor, cancellation_id=cancellation_id, callbacks=count)


def replay_webhooks(database: Database, ids: Sequence[UUID], *, by: str, meant: Mapping[str, str]) -> Replayed:
    """Do what `webhook_replays.replay` does; `by` is the operator's name, `meant` the filters that were given."""
    with database.transaction() as tx:
        audit.record(tx, "replay_webhooks", actor=f"operator:{by}", webhooks=len(ids), meant=dict(meant))
    return webhook_replays.replay(database, ids, by=by)


def steer_batch(database: Database, batch_id: UUID, action: batches.Action, *, actor: str) -> None:
    """Pause, resume or call off a batch; raise Problem `batch-called-off` where it is over."""
    with database.transaction() as tx:
        batch = batches.find(tx.session, batch_id)
        is_over = batch is not None and batch.status == "called_off"
        if action == "call_off" or not is_over:
            audit.record(tx, f"batch_{action}", actor=actor, batch_id=str(batch_id))
    batches.steer(database, batch_id, action, actor=actor)
