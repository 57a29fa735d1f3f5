"""What Flower reads at its start: each task also tells where the console shows its cancellation.

Flower has no place for a link of ours, so the address stands beside the task's argument, to be copied.
"""

import os
import re
from typing import Any

_STEP = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?:cancellation|claim)\.(?!poll)\w+\.[0-9a-f]+"
)
"""The id of a message about a cancellation, as `shared.broker` gives it."""


def format_task(task: Any) -> Any:
    """Return the copy of a task that Flower is about to show."""
    found = _STEP.fullmatch(task.uuid or "")
    console = os.environ.get("PUBLIC_URL", "").rstrip("/")
    if found and console:
        task.args = f"{task.args} {console}/console/cancellations/{found['id']}"
    return task
