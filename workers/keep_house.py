"""Removing what has been kept for long enough, a little in each hour."""

from time import monotonic

import structlog

from shared import retention
from shared.lifecycle import TaskName
from workers.app import app
from workers.runtime import runtime

TIME_BOX = 30.0
"""Seconds, far below a task's limit; what is left is the next hour's."""

log = structlog.get_logger()


@app.task(name=TaskName.KEEP_HOUSE)
def keep_house() -> None:
    """Erase and remove what is old enough, or asked for; harmless when run twice at once."""
    settings, ends = runtime().settings, monotonic() + TIME_BOX
    keeping = retention.Keeping(
        bodies=settings.keep_bodies, webhooks=settings.keep_webhooks, cancellations=settings.keep_cancellations
    )
    done = {}
    for name, step in retention.steps(keeping).items():
        done[name] = retention.clean(runtime().database, step, may_go_on=lambda: monotonic() < ends)
    if any(done.values()):
        log.info("house_kept", **done)
