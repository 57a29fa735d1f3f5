"""How gunicorn serves the gateway: each setting with its reason. Nothing of the application belongs here."""

import errno
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.config import WebSettings, load


def on_starting(_server: object) -> None:
    """Refuse to start on a taken port: left alone gunicorn tries it for five seconds."""
    if "GUNICORN_FD" not in os.environ:  # set during an upgrade in place, which inherits the listening socket
        _check_port()


def post_fork(_server: object, _worker: object) -> None:
    """Let no thread that wakes up push aside the one that runs.

    Only one of a process's threads can run Python at a time. Left alone the kernel starts each on whichever processor
    is free, where nothing of the process is in the cache: a request then takes a tenth more processor time.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # where it is not allowed it is only slower
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def post_worker_init(_worker: object) -> None:
    """Let gunicorn log as we do: it has a line for each request that it cannot read."""
    log = logging.getLogger("gunicorn.error")
    log.handlers.clear()
    log.propagate = True


def pre_request(_worker: object, request: Any) -> None:
    """Join a repeated Idempotency-Key by a comma and a space, so that it cannot pass for one key.

    gunicorn's bare comma makes the legal key `a,b` of two headers `a` and `b`.
    """
    keys = [value for name, value in request.headers if name == "IDEMPOTENCY-KEY"]
    if len(keys) > 1:
        others = [header for header in request.headers if header[0] != "IDEMPOTENCY-KEY"]
        request.headers = [*others, ("IDEMPOTENCY-KEY", ", ".join(keys))]


def _check_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a gateway that just ended leaves it free
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - where gunicorn is about to listen
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if is_taken else f"cannot be used: {error.strerror}"
            print(f"Not started: port {port} {reason}. Set PORT to another.", file=sys.stderr)  # noqa: T201
            raise SystemExit(1) from error


_settings = load(WebSettings)  # wrong ones end it here with 78, which gunicorn would hide behind a worker's 3
port = _settings.port
bind = f"0.0.0.0:{port}"  # the platform's router is not on this host
backlog = 512  # about a second of requests; beyond that a caller is better told to come back

worker_class = "webhook_gateway.buffering_worker.BufferingWorker"  # threads wait for no client, however slow
workers = _settings.web_concurrency
threads = 12  # most wait for the database, and the events that wait there are stored together
_SHARED_MEMORY = "/dev/shm"  # noqa: S108
worker_tmp_dir = _SHARED_MEMORY if Path(_SHARED_MEMORY).is_dir() else None  # a heartbeat waits for no disk

timeout = 30  # a process without a sign of life for so long is killed; the longest statement takes 15 s
graceful_timeout = 20  # SIGTERM: open requests may end; everything has exited within 25 s
keepalive = 75  # longer than a router's idle time (60 s is common): it must not send into a closing socket
max_requests = 20_000  # a fresh process now and then bounds whatever leaks
max_requests_jitter = 2_000  # and not all of them in the same second

limit_request_line = 4_094  # our longest address is a list with a cursor: far below
limit_request_fields = 50  # callers and routers send about twenty
limit_request_field_size = 8_190  # the longest we read is a bearer token or a signature: below 1 KiB

forwarded_allow_ips = "127.0.0.1"  # nothing here trusts a client's own claim about where it comes from
control_socket_disable = True  # nobody steers it at run time, and two gateways would share one socket
accesslog = None  # the application logs one line per fact; a line per request says less and costs more
errorlog = "-"
loglevel = "warning"
proc_name = "cfar-web"
