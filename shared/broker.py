"""The Celery app and its settings, each with its reason; publishing messages.

Redis is a doorbell: a message is a task name and a row id, and losing one costs time, never work.
"""

import secrets
import ssl
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from celery import Celery
from kombu import Queue
from redis import Redis

from shared.config import Settings
from shared.db import Message
from shared.lifecycle import TaskName

# connect 5 < read 15 < call 20 (shared.insurer.transport) < soft < hard < visibility; a test holds the order.
TASK_SOFT_LIMIT = 75
"""Seconds. A step makes at most three calls (token, booking, eligibility), each with its own deadline of 20 s."""
TASK_HARD_LIMIT = 85
VISIBILITY_TIMEOUT = 120
"""Seconds until Redis hands an unacknowledged message to another worker; longer than any task may run."""
SOCKET_TIMEOUT = 5.0
"""Seconds. Without it a publish waits for ever when Redis hangs."""
CONNECT_TIMEOUT = 2.0

STEPS_QUEUE = "steps"
"""Urgent: what has begun, and may have moved money."""
BULK_QUEUE = "steps.bulk"
"""What has not begun. Workers take from each queue in turn, so a step that goes on passes all that wait to begin."""
WEBHOOKS_QUEUE = "webhooks"
CALLBACKS_QUEUE = "callbacks"
DOOR_QUEUE = "cancellations"
SWEEP_QUEUE = "sweep"
QUEUES = (STEPS_QUEUE, BULK_QUEUE, WEBHOOKS_QUEUE, CALLBACKS_QUEUE, DOOR_QUEUE, SWEEP_QUEUE)

SWEEP_EVERY = 5.0
"""Seconds. With an 8 s lease, a dead worker's step is rung for within 13 s."""
CHECK_EVERY = 60.0
"""Seconds between two looks for broken invariants."""
KEEP_HOUSE_EVERY = 3600.0
"""Seconds between two removals of what was kept for long enough."""
CHECK_INSURER_EVERY = 900.0
"""Seconds between two harmless questions to each insurer: four an hour are nothing to a rate limit."""

_QUEUE_OF = {
    TaskName.LOOK_UP: BULK_QUEUE,
    TaskName.HANDLE_WEBHOOK: WEBHOOKS_QUEUE,
    TaskName.FAN_OUT_WEBHOOKS: WEBHOOKS_QUEUE,
    TaskName.POLL_CLAIM: WEBHOOKS_QUEUE,
    TaskName.DELIVER_CALLBACK: CALLBACKS_QUEUE,
    TaskName.REQUEST: DOOR_QUEUE,
    TaskName.REPORT_REFUND: DOOR_QUEUE,
    TaskName.ABORT: DOOR_QUEUE,
    TaskName.SWEEP: SWEEP_QUEUE,
    TaskName.CHECK_INVARIANTS: SWEEP_QUEUE,
    TaskName.KEEP_HOUSE: SWEEP_QUEUE,
    TaskName.CHECK_INSURER: SWEEP_QUEUE,
}

BEAT = {
    TaskName.SWEEP: SWEEP_EVERY,
    TaskName.CHECK_INVARIANTS: CHECK_EVERY,
    TaskName.KEEP_HOUSE: KEEP_HOUSE_EVERY,
    TaskName.CHECK_INSURER: CHECK_INSURER_EVERY,
}
"""What beat sends, and every how many seconds."""

log = structlog.get_logger()


def create_celery(settings: Settings) -> Celery:
    """Build the Celery app; nothing connects until the first publish or consume."""
    app = Celery("cfar", broker=settings.redis_url.get_secret_value())
    app.conf.update(_configuration(settings))
    return app


def publish(app: Celery, messages: Sequence[Message], *, is_gathered: bool = False) -> bool:
    """Send messages; on failure log and return False, since the sweeper rings for every row that is due.

    Where many webhooks come in, `is_gathered` sends one message for them all, which a worker fans out.
    """
    try:
        with app.producer_pool.acquire(block=True, timeout=CONNECT_TIMEOUT) as producer:
            for task, *row_ids in gathered(messages) if is_gathered else messages:
                _send(app, task, row_ids, producer)
    except Exception as error:
        log.warning("publish_failed", messages=len(messages), error=type(error).__name__, next="the sweeper rings")
        return False
    return True


def ring(app: Celery, task: TaskName) -> bool:
    """Send a message that is about no row; on failure log and return False."""
    try:
        with app.producer_pool.acquire(block=True, timeout=CONNECT_TIMEOUT) as producer:
            _send(app, task, [], producer)
    except Exception as error:
        log.warning("ring_failed", task=task, error=type(error).__name__)
        return False
    return True


def redis_client(settings: Settings, *, timeout: float) -> Any:
    """Return a client of the same Redis for what is no message; nothing connects until it is used."""
    verify = {} if settings.redis_tls_verify else {"ssl_cert_reqs": None}
    url = settings.redis_url.get_secret_value()
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "socket_keepalive": True}
    return Redis.from_url(url, **options, **(verify if url.startswith("rediss://") else {}))


def queue_of(task: TaskName) -> str:
    """Return the queue a task travels on."""
    return _QUEUE_OF.get(task, STEPS_QUEUE)


def gathered(messages: Sequence[Message]) -> list[tuple[TaskName, *tuple[UUID, ...]]]:
    """Return the same messages with all those about webhooks as one; a single one stays what it is."""
    webhooks = [row_id for task, row_id in messages if task is TaskName.HANDLE_WEBHOOK]
    if len(webhooks) < 2:
        return list(messages)
    others = [message for message in messages if message[0] is not TaskName.HANDLE_WEBHOOK]
    return [*others, (TaskName.FAN_OUT_WEBHOOKS, *webhooks)]


def message_id(task: TaskName, row_ids: Sequence[UUID]) -> str:
    """Return a new id that says what it is about, as Flower and the log show it: `<row>.<task>.<random>`."""
    about = [str(row_ids[0])] if len(row_ids) == 1 else []
    return ".".join([*about, task.value, secrets.token_hex(4)])


def _send(app: Celery, task: TaskName, row_ids: Sequence[UUID], producer: Any) -> None:
    app.send_task(
        task.value,
        args=[str(row_id) for row_id in row_ids],
        task_id=message_id(task, row_ids),
        queue=queue_of(task),
        producer=producer,
        retry=True,
        # One more try heals a connection that Redis closed while it was idle; the sweeper heals the rest.
        retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0.2},
    )


def _entry(task: TaskName, every: float) -> dict[str, Any]:
    """Return a task's line in beat's schedule. Unread messages expire, or they would pile up while no worker runs."""
    lasts = every * 2 if task is TaskName.SWEEP else every
    return {"task": task.value, "schedule": every, "options": {"queue": SWEEP_QUEUE, "expires": lasts}}


def _configuration(settings: Settings) -> dict[str, Any]:
    transport_options = {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "unacked_restore_interval": 5,  # kombu's default sweep finds a dead worker's messages only after ~100 s
        "unacked_restore_throttle": 1,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_policy": {"max_retries": 1, "interval_start": 0, "interval_max": 0.2},
    }
    configuration: dict[str, Any] = {
        "accept_content": ["json"],  # anyone who can write to Redis could otherwise run code through pickle
        "task_serializer": "json",
        "task_ignore_result": True,  # the row holds the result
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,  # an early acknowledgement loses the message with the worker
        "task_reject_on_worker_lost": True,  # else the parent acknowledges a dead child's message
        "task_soft_time_limit": TASK_SOFT_LIMIT,
        "task_time_limit": TASK_HARD_LIMIT,
        "task_default_queue": STEPS_QUEUE,
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_create_missing_queues": True,  # the supervisor's probe has a queue of its own
        "task_send_sent_event": True,
        "worker_prefetch_multiplier": 1,  # a slow step must not sit on its neighbours' messages
        "worker_send_task_events": True,  # Flower's task list stays empty without
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": True,  # they are redelivered; the lease protects the row
        "worker_soft_shutdown_timeout": 0,  # steps end by their own deadlines; the supervisor ends what does not
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": CONNECT_TIMEOUT,
        "broker_transport_options": transport_options,
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": {task.value: _entry(task, every) for task, every in BEAT.items()},
    }
    if settings.redis_url.get_secret_value().startswith("rediss://"):
        # Heroku's Redis presents a certificate of its own making: REDIS_TLS_VERIFY=false accepts it.
        verify = ssl.CERT_REQUIRED if settings.redis_tls_verify else ssl.CERT_NONE
        configuration["broker_use_ssl"] = {"ssl_cert_reqs": verify}
    return configuration
