"""What lies in Redis: queues, messages in workers' hands, other applications, and what was remembered there."""

import time
from typing import Any

from sqlalchemy import select

from shared import forgettable
from shared.broker import QUEUES, VISIBILITY_TIMEOUT
from shared.clock import utc_now
from shared.db import AWAY, Database, now_plus
from shared.doctor.findings import Finding, ok, warning
from shared.operations_models import ProcessSeen

LONG = 10_000
"""Messages in one queue."""
RESTORED_WITHIN = VISIBILITY_TIMEOUT * 2
"""Seconds: a living worker hands a dead one's messages out within seconds of the visibility timeout."""
SCANS_AT_MOST, SCANNED_AT_ONCE = 20, 1_000
MANY_REPLIES = 1_000
CHECKED_WITHIN = 600.0
"""Seconds since the invariants were last checked to the end."""

_BINDING = b"_kombu.binding."
_REPLIES = b".reply.celery.pidbox"
_OURS = frozenset(QUEUES) | {"celery.pidbox", "reply.celery.pidbox", "celeryev"}


def depths(client: Any) -> list[Finding]:
    """Count the messages that wait."""
    pipeline = client.pipeline(transaction=False)
    for queue in QUEUES:
        pipeline.llen(queue)
    waiting = dict(zip(QUEUES, pipeline.execute(), strict=True))
    said = ", ".join(f"{name} {count}" for name, count in waiting.items() if count) or "all empty"
    return [warning("queues", said) if max(waiting.values()) > LONG else ok("queues", said)]


def unacknowledged(client: Any) -> list[Finding]:
    """Count the messages that somebody took and that nobody has finished for far too long."""
    held = int(client.zcard("unacked_index"))
    forgotten = int(client.zcount("unacked_index", "-inf", time.time() - RESTORED_WITHIN))
    if forgotten:
        return [warning("unacknowledged", f"{forgotten} of {held} taken messages were not handed on in time")]
    return [ok("unacknowledged", f"{held} in workers' hands")]


def strangers(client: Any) -> list[Finding]:
    """Look for queues of other applications, and for answers that nobody has fetched."""
    bound, replies = _seen(client)
    unknown = sorted(name for name in bound if name not in _OURS and not name.startswith("probe."))
    if unknown:
        return [warning("strangers", f"queues that are not ours: {', '.join(unknown[:5])}")]
    if replies > MANY_REPLIES:
        return [warning("strangers", f"{replies} unread answers to remote control: somebody polls workers very often")]
    return [ok("strangers", "no other application's queues")]


def invariant_checks(client: Any, database: Database) -> list[Finding]:
    """Say when the invariants were last checked to the end."""
    kept = client.get(forgettable.PREFIX + forgettable.CHECK_ENDED)
    if kept is None or not kept.isdigit():
        if _beat_is_new(database):
            return [ok("invariant-checks", "not yet: beat has just begun")]
        return [warning("invariant-checks", "not known: not since Redis was last emptied")]
    age = utc_now().timestamp() - int(kept)
    if age > CHECKED_WITHIN:
        return [warning("invariant-checks", f"last checked {age / 60:.0f} minutes ago")]
    return [ok("invariant-checks", f"last checked {max(age, 0):.0f} s ago")]


def _beat_is_new(database: Database) -> bool:
    try:
        with database.reading() as session:
            known = select(ProcessSeen.name).where(
                ProcessSeen.kind == "beat", ProcessSeen.first_seen_at >= now_plus(-CHECKED_WITHIN)
            )
            return session.scalar(known) is not None
    except AWAY:
        return False


def _seen(client: Any) -> tuple[set[str], int]:
    """Return the queues that are bound and the number of unread replies, in the first keys of many."""
    cursor, bound, replies = 0, set(), 0
    for _ in range(SCANS_AT_MOST):
        cursor, keys = client.scan(cursor, count=SCANNED_AT_ONCE)
        for key in keys:
            if key.startswith(_BINDING):
                # One exchange per queue here: the rest of the key is the queue's name.
                bound.add(key.removeprefix(_BINDING).decode("utf-8", "replace"))
            elif key.endswith(_REPLIES):
                replies += 1
        if not cursor:
            break
    return bound, replies
