"""Tells a worker that is busy or idle from one that lives and consumes nothing.

A worker proves itself by touching its progress file when a task starts or ends. When it has been quiet for a
while it is sent a probe, on a queue of its own: an idle worker runs it at once, a busy one in a free slot.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from shared.lifecycle import TaskName

PROBE_AFTER = 10.0
"""Seconds of quiet after which a worker is asked whether it still consumes."""
QUEUE_LIFETIME = 600
"""Seconds. The queue of a worker that is gone disappears by itself."""

log = structlog.get_logger()


class Probes(Protocol):
    """The worker's own queue."""

    def ensure_one(self) -> bool:
        """See to it that one unread probe waits; return whether the broker answered."""


class ProbeQueue:
    """A worker's own queue on the broker; at most one unread probe waits in it."""

    def __init__(self, app: Celery, name: str) -> None:
        self._app = app
        self.name = name

    def ensure_one(self) -> bool:
        """See to it that one unread probe waits; return whether the broker answered.

        A new connection each time: one that the broker closed meanwhile must not count as the worker's fault.
        """
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
                redis = cast("Redis", connection.default_channel.client)
                if not redis.llen(self.name):
                    self._publish(connection)
                for key in self._keys():
                    redis.expire(key, QUEUE_LIFETIME)
        except (OperationalError, RedisError, OSError) as error:
            log.warning("probe_not_sent", error=type(error).__name__, next="no verdict while the broker is away")
            return False
        return True

    def remove(self) -> None:
        """Leave nothing behind on the broker; what cannot be removed now expires."""
        try:
            with self._app.connection_for_write() as connection:
                connection.transport_options.update(socket_timeout=1, socket_connect_timeout=1)  # we are leaving
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)
                cast("Redis", connection.default_channel.client).delete(*self._keys())
        except (OperationalError, RedisError, OSError):
            return

    def _publish(self, connection: object) -> None:
        # Not send_task: through the default exchange a message needs no binding that might be missing.
        message = self._app.amqp.as_task_v2(f"{self.name}-{time.time_ns()}", TaskName.PROBE.value)
        with self._app.amqp.Producer(connection, auto_declare=False) as producer:
            producer.publish(
                message.body,
                exchange="",
                routing_key=self.name,
                serializer="json",
                headers=message.headers,
                **message.properties,
            )

    def _keys(self) -> tuple[str, ...]:
        # The worker's declaration of the queue leaves the other two.
        return self.name, f"_kombu.binding.{self.name}", f"_kombu.binding_permanent.{self.name}"


class Liveness:
    """Watches one worker's progress file; says when the worker has stalled."""

    def __init__(
        self,
        file: Path,
        probes: Probes,
        *,
        stall_after: float,
        probe_after: float = PROBE_AFTER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._probes = probes
        self._stall_after = stall_after
        self._probe_after = min(probe_after, stall_after / 4)
        self._now = now
        self._asked_at: float | None = None
        self._waiting_since: float | None = None
        self._touched_at = 0
        self._last_sign = 0.0
        self.begin()

    def begin(self) -> None:
        """Count anew: a worker has just been started."""
        self._file.touch()
        self._touched_at = self._file.stat().st_mtime_ns
        self._last_sign = self._now()
        self._asked_at = self._waiting_since = None

    def quiet_for(self) -> float:
        """Return the seconds since the last sign of life, by our own clock: the file's may be set back."""
        touched_at = self._file.stat().st_mtime_ns
        if touched_at != self._touched_at:
            self._touched_at = touched_at
            self._last_sign = self._now()
        return self._now() - self._last_sign

    def has_stalled(self) -> bool:
        """Look once; true when a probe has waited too long and the broker was there all the while."""
        if self.quiet_for() < self._probe_after:
            self._asked_at = self._waiting_since = None
            return False
        now = self._now()
        if self._asked_at is None or now - self._asked_at >= self._probe_after:
            self._asked_at = now
            if not self._probes.ensure_one():
                self._waiting_since = None  # the worker may be waiting for the broker as we are
                return False
            if self._waiting_since is None:
                self._waiting_since = now
        return self._waiting_since is not None and now - self._waiting_since >= self._stall_after
