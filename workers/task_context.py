"""Names the task on each line of the log that is written while it runs, and forgets it with all it has bound."""

from typing import Any

from celery.signals import task_postrun, task_prerun

from shared import log_context


def connect() -> None:
    """Have Celery call these around each task; once per process, where the worker's app is made."""
    task_prerun.connect(_begin, weak=False, dispatch_uid="task_context.prerun")
    task_postrun.connect(_end, weak=False, dispatch_uid="task_context.postrun")


def _begin(task: Any = None, task_id: str | None = None, **_signal: object) -> None:
    log_context.begin(task=task.name, message_id=task_id)


def _end(**_signal: object) -> None:
    log_context.begin()
