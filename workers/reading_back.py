"""Settling a call to XCover whose outcome is unknown: when to read instead of sending, when to believe it."""

from typing import Any

from shared import calls, cancellations
from shared.db import Transaction
from shared.models import Call, Cancellation
from workers.runtime import partner_of

KEY_LIFETIME = 47 * 3600.0
"""Seconds. XCover remembers a key for 48 h; an hour is left for clocks and slow answers."""


def is_due(tx: Transaction, call: Call) -> bool:
    """Tell whether only a reading may settle the call: its answer left no other way, or its key may be forgotten."""
    too_old = calls.is_unsettled(call) and calls.is_older(tx.session, call, seconds=KEY_LIFETIME, since="first_sent_at")
    return call.must_read_back or too_old


def is_too_early(tx: Transaction, held: Cancellation, call: Call, evidence: dict[str, Any]) -> bool:
    """Tell whether a request of ours may still be on its way, so that "not done" proves nothing; then wait."""
    cancellations.assure_held(tx, held)
    wait = calls.seconds_until_older(
        tx.session, call, seconds=partner_of(held).settings.read_back_after.total_seconds()
    )
    if not call.is_doubtful or wait <= 0:
        return False
    calls.record(tx, call, call.outcome, must_read_back=True)
    reason = "shown as not done; read again later"
    cancellations.postpone(tx, held, reason, seconds=wait, counts=False, details=evidence)
    return True


def is_refused(call: Call) -> bool:
    """Tell whether XCover said no to the request itself; a 409 says only that its key met something else."""
    return call.outcome == "refused" and call.answer_status not in {None, 409}
