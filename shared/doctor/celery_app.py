"""Celery as this process has built it: the settings, durations and releases that keep messages from being lost.

Each line of `WANTED` answers a way in which Celery on Redis is known to lose or double work (docs/doctor.md).
"""

from importlib.metadata import version
from itertools import pairwise

from shared.broker import TASK_HARD_LIMIT, TASK_SOFT_LIMIT, VISIBILITY_TIMEOUT
from shared.doctor.findings import Finding, ok, wrong
from shared.doctor.patient import Patient
from shared.insurer.transport import CALL_DEADLINE

WANTED: dict[str, object] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    "result_backend": None,
    "worker_prefetch_multiplier": 1,
    "accept_content": ["json"],
    "task_serializer": "json",
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_hijack_root_logger": False,
    "worker_deduplicate_successful_tasks": False,
}
BOUNDED = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval")
"""Options of the transport without which a publish or a read can wait for ever."""
RELEASES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "celery": ((5, 7), (5, 8)),
    "kombu": ((5, 7), (5, 8)),
    "redis": ((6, 4), (9,)),
}
"""From, inclusive, and up to: between these, reconnecting workers were seen to consume again."""


def settings_(patient: Patient) -> list[Finding]:
    """Compare Celery's settings with those that were tested."""
    conf = patient.celery.conf
    others = [name for name, wanted in WANTED.items() if conf.get(name) != wanted]
    options = conf.get("broker_transport_options") or {}
    others += [f"broker_transport_options.{name}" for name in BOUNDED if not options.get(name)]
    if others:
        return [wrong("celery", f"not as tested: {', '.join(others)}")]
    return [ok("celery", f"{len(WANTED) + len(BOUNDED)} settings as tested")]


def durations(patient: Patient) -> list[Finding]:
    """Hold the order of durations: a call ends before its task, a task before Redis hands its message to another."""
    conf = patient.celery.conf
    given = {
        (conf.get("broker_transport_options") or {}).get("visibility_timeout"),
        conf.get("visibility_timeout"),
    }
    if given != {VISIBILITY_TIMEOUT}:
        return [wrong("durations", f"the visibility timeout is not {VISIBILITY_TIMEOUT} s wherever it must be given")]
    limits = (CALL_DEADLINE, conf.task_soft_time_limit, conf.task_time_limit, VISIBILITY_TIMEOUT)
    said = (
        f"call {CALL_DEADLINE:g} s < task {TASK_SOFT_LIMIT} s < {TASK_HARD_LIMIT} s < handed on {VISIBILITY_TIMEOUT} s"
    )
    is_in_order = all(earlier < later for earlier, later in pairwise(limits))
    return [ok("durations", said) if is_in_order else wrong("durations", "not in their order")]


def versions() -> list[Finding]:
    """Look at the releases of Celery and what carries its messages."""
    installed = {name: version(name) for name in RELEASES}
    said = ", ".join(f"{name} {release}" for name, release in installed.items())
    others = [name for name, release in installed.items() if not _is_within(release, *RELEASES[name])]
    if others:
        return [wrong("versions", f"{said}: not tested with this {' and '.join(others)}")]
    return [ok("versions", said)]


def _is_within(release: str, first: tuple[int, ...], end: tuple[int, ...]) -> bool:
    numbers = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    return first <= numbers < end
