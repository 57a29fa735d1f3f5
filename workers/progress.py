"""What a worker shows its supervisor: a file that is touched whenever a task starts or ends.

Only the sign of life belongs here; what it means is the supervisor's business.
"""

import os
import signal
from pathlib import Path

from celery.signals import task_postrun, task_prerun, worker_process_init

PROGRESS_FILE = "WORKER_PROGRESS_FILE"
"""The variable that names the file; unset when no supervisor watches."""


def note_progress(**_signal: object) -> None:
    """Touch the progress file; safe from any process and at any time."""
    name = os.environ.get(PROGRESS_FILE)
    if name:
        Path(name).touch()


def let_the_step_end(**_signal: object) -> None:
    """Ignore SIGTERM in a pool process, so that the step in hand can end.

    A platform that sends SIGTERM to every process at once would otherwise kill the step while the worker's
    main process shuts down politely. That process ends idle pool processes itself, the supervisor the others.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def connect() -> None:
    """Have Celery call both; once per process, where the worker's app is made."""
    task_prerun.connect(note_progress, weak=False, dispatch_uid="progress.prerun")
    task_postrun.connect(note_progress, weak=False, dispatch_uid="progress.postrun")
    worker_process_init.connect(let_the_step_end, weak=False, dispatch_uid="progress.sigterm")
