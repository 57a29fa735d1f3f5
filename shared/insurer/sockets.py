"""The sockets below one HTTP exchange: every read, write and connect keeps to the deadline of the whole call."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import cache
from time import monotonic

import httpcore
import httpx

LIMITS = httpx.Limits(
    max_connections=32,  # more than a worker has threads, so nobody waits for a connection
    max_keepalive_connections=32,
    keepalive_expiry=15.0,  # seconds; shorter than any common load balancer's, so we are first to close
)
_WRITE_CHUNK = 16 * 1024  # bytes between two looks at the deadline while writing

LookUp = Callable[[str, int], list[str]]
"""From a host and a port to the addresses to connect to, in this order; raises httpcore.ConnectError for none."""

deadline: ContextVar[float | None] = ContextVar("insurer_call_deadline", default=None)
"""When the call in hand must have ended, by `time.monotonic`."""


@cache
def _tls() -> ssl.SSLContext:
    """Return the one context of this process: reading the certificates takes longer than a call."""
    return httpx.create_ssl_context(trust_env=False)


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's transport over a pool whose sockets keep to the call's deadline."""

    def __init__(self, look_up: LookUp) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_connections=LIMITS.max_connections,
            max_keepalive_connections=LIMITS.max_keepalive_connections,
            keepalive_expiry=LIMITS.keepalive_expiry,
            network_backend=_DeadlineBackend(look_up),
        )


class _DeadlineBackend(httpcore.SyncBackend):
    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Try each address until the deadline; only the name lookup keeps the resolver's own limit."""
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._look_up(host, port):
            limit = _within_deadline(timeout, httpcore.ConnectTimeout)
            try:
                stream = super().connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A socket whose peer cannot outlast the deadline by dripping bytes; httpx limits each chunk alone."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _within_deadline(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_CHUNK):
            limit = _within_deadline(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _WRITE_CHUNK], limit)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = _within_deadline(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"cannot look up {host}: {error}") from error
    return [str(address[0]) for *_, address in found]


def _within_deadline(timeout: float | None, too_late: type[httpcore.TimeoutException]) -> float | None:
    until = deadline.get()
    if until is None:
        return timeout
    left = until - monotonic()
    if left <= 0:
        raise too_late("the call's deadline has passed")
    return left if timeout is None else min(timeout, left)
