"""gunicorn's threaded worker, but a thread serves a request only when all of it has arrived.

Left alone a thread reads from the client without any time limit, so that as many slow senders as there are threads
stop the gateway; and closing a connection waits in the main loop, up to two seconds each, for a client to close it too.
Here a thread that finds only a part of a request gives it to the main loop, which reads on for many clients at once and
waits for nobody. Nothing of the application belongs here.
"""

import errno
import select
import selectors
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.errors import InvalidHeader, UnsupportedTransferCoding
from gunicorn.workers.gthread import TConn, ThreadWorker

from webhook_gateway.arriving import Arrival

ARRIVE_SECONDS = 10.0
"""From a request's first byte, or a connection's beginning, to the request's last byte."""
THREAD_SECONDS = 5.0
"""For which a thread waits for a client to take its answer, or for bytes that were thought to be there."""
LINGER_SECONDS = 2.0
"""For which an ended connection is still read, so that the client sees the answer and no reset (RFC 9112, 9.6)."""
MAX_HELD = 32 * 1024 * 1024
"""Bytes of unfinished requests in one process."""
MAX_LINGERING = 500
_AT_ONCE = 64 * 1024


class _Socket(socket.socket):
    """A socket that never blocks: a thread's reading and sending wait here, for THREAD_SECONDS at most.

    Whatever asks the kernel gives up the interpreter's lock and must queue for it again, which under load costs more
    than the asking. So nothing is switched back and forth, and an answer leaves in one piece.
    """

    _until = 0.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        super().settimeout(0)
        self._unsent = bytearray()

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the signature of the standard library
        """Begin the time for which a thread may wait, where gunicorn would let it wait for ever; or end it."""
        self._until = time.monotonic() + THREAD_SECONDS if flag else 0.0

    def settimeout(self, _seconds: float | None, /) -> None:
        """Change nothing: how long a thread may wait is not the caller's to say."""

    def recv_now(self) -> bytes | None:
        """Return what has come, nothing where nothing more will, None where it may."""
        try:
            return super().recv(_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def recv(self, *given: Any) -> bytes:
        """Read what comes before the time is over, however many reads that takes."""
        while True:
            try:
                return super().recv(*given)
            except BlockingIOError:
                self._wait(select.POLLIN, until=self._until)

    def sendall(self, data: Any, *_flags: Any) -> None:
        """Keep it for `flush`, unless it is much."""
        self._unsent += data
        if len(self._unsent) > _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Send what was kept."""
        until = time.monotonic() + THREAD_SECONDS
        while self._unsent:
            try:
                del self._unsent[: self.send(self._unsent)]
            except BlockingIOError:
                self._wait(select.POLLOUT, until=until)

    def wait_no_longer(self) -> None:
        """Let what has not come yet count as too late."""
        self._until = 0.0

    def _wait(self, what: int, *, until: float) -> None:
        """Wait until it can go on; raise TimeoutError when there is no time left."""
        poll = select.poll()
        poll.register(self, what)
        if not poll.poll(max(until - time.monotonic(), 0.0) * 1_000):
            raise TimeoutError


class _Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A client's connection; its worker closes it."""

    def __init__(self, worker: "BufferingWorker", sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(worker.cfg, sock, client, server)
        self._worker = worker
        self.received = b""
        """A whole request that no thread has begun with."""

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of the base class
        """End the connection; a graceful end goes on in the main loop."""
        if graceful:
            self._worker.linger(self)
        else:
            super().close()


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """Serves requests that have arrived; see the module."""

    def init_process(self) -> None:
        """Prepare the main loop, then enter it."""
        self._arriving: dict[_Connection, Arrival] = {}
        self._lingering: dict[_Connection, float] = {}
        self._held = 0
        self.cfg.set("sendfile", "false")  # an answer goes through `_Socket.sendall`, or its parts would change places
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection and wait for its request."""
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        bounded = _Socket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._await(_Connection(self, bounded, client, listener.getsockname()))
        if self.nr_conns >= self.worker_connections:
            self._expire_oldest()  # or a few hundred idle clients keep everybody else out

    def on_client_socket_readable(self, conn: _Connection, client: socket.socket) -> None:
        """Begin with the next request of a connection that was kept alive.

        Its thread reads what there is: most requests come whole, and the main loop has everybody else's to do.
        """
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self.enqueue_req(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no request with a 4xx, also where gunicorn takes its own lack of a feature for the reason."""
        if isinstance(exc, UnsupportedTransferCoding):
            exc = InvalidHeader("TRANSFER-ENCODING", req=req)
        super().handle_error(req, client, addr, exc)

    def handle(self, conn: _Connection) -> Any:
        """Serve one request, in a thread; or return what has arrived of it."""
        if not conn.received:
            part, arrival = conn.sock.recv_now(), _arrival()
            if part is None or (part and not arrival.take(part)):
                return arrival
            conn.received = part
        conn.init()
        conn.parser.unreader.unread(conn.received)
        conn.received, conn.data_ready = b"", True
        is_kept = super().handle(conn)
        conn.sock.flush()
        return is_kept

    def _keepalive_after(self, conn: _Connection, keepalive: Any) -> bool:
        """Keep a connection whose request was read to its end: gunicorn would wait in the thread for the rest."""
        conn.sock.wait_no_longer()
        return bool(super()._keepalive_after(conn, keepalive))

    def finish_request(self, conn: _Connection, fs: Future[Any]) -> None:
        """Keep or close a connection; what a client has sent ahead must arrive whole like everything else."""
        outcome = None if fs.cancelled() or fs.exception() is not None else fs.result()
        if isinstance(outcome, Arrival):
            self._wait_for(conn, outcome)
        elif outcome and (ahead := conn.parser.unreader.take_buffered()):
            self._await(conn, ahead)
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """End what has not arrived in time; gunicorn calls this once a second at least."""
        super().murder_pending()
        now = time.monotonic()
        while self._arriving and next(iter(self._arriving.values())).until <= now:
            self._expire_oldest()
        for conn in [conn for conn, until in self._lingering.items() if until <= now]:
            self._end(conn)

    def linger(self, conn: _Connection) -> None:
        """Send our end of a connection and read on for a moment, in the main loop."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError, KeyError):  # the client was quicker
            TConn.close(conn)
            return
        self._lingering[conn] = time.monotonic() + LINGER_SECONDS
        if len(self._lingering) > MAX_LINGERING:
            self._end(next(iter(self._lingering)))

    def _await(self, conn: _Connection, received: bytes = b"") -> None:
        arrival = _arrival()
        if received and arrival.take(received):
            self._serve(conn, arrival)
        else:
            self._wait_for(conn, arrival)

    def _wait_for(self, conn: _Connection, arrival: Arrival) -> None:
        self._arriving[conn] = arrival
        self._held += len(arrival.received)
        _encourage(conn, arrival)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))

    def _receive(self, conn: _Connection, _client: Any) -> None:
        arrival = self._arriving.get(conn)
        if arrival is None:  # expired since the poller told of it: it is a thread's now
            return
        part = conn.sock.recv_now()
        if part is None:
            return
        self._held += len(part)
        if not part or arrival.take(part):
            self._hand_over(conn)  # what is there of a request is answered also where no more will come
            return
        _encourage(conn, arrival)
        if self._held > MAX_HELD:
            self._expire_oldest()

    def _hand_over(self, conn: _Connection) -> None:
        arrival = self._arriving.pop(conn)
        self._held -= len(arrival.received)
        self.poller.unregister(conn.sock)
        self._serve(conn, arrival)

    def _serve(self, conn: _Connection, arrival: Arrival) -> None:
        """Give a request to a thread; close a connection on which none came."""
        if arrival.received:
            conn.received = bytes(arrival.received)
            self.enqueue_req(conn)
        else:
            self.nr_conns -= 1
            conn.close()

    def _expire_oldest(self) -> None:
        """Wait no longer for the request that has been arriving longest: the parser finds its end too soon."""
        conn = next(iter(self._arriving), None)
        if conn is None:
            return
        with suppress(OSError):  # the client is gone, which the parser finds as well
            conn.sock.shutdown(socket.SHUT_RD)
        self._hand_over(conn)

    def _drain(self, conn: _Connection, _client: Any) -> None:
        if conn in self._lingering and conn.sock.recv_now() == b"":
            self._end(conn)

    def _end(self, conn: _Connection) -> None:
        del self._lingering[conn]
        self.poller.unregister(conn.sock)
        TConn.close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Shorten every wait once the process is to end."""
        super()._cap_keepalive(deadline)
        for arrival in self._arriving.values():
            arrival.until = min(arrival.until, deadline)


def _arrival() -> Arrival:
    return Arrival(until=time.monotonic() + ARRIVE_SECONDS)


def _encourage(conn: _Connection, arrival: Arrival) -> None:
    """Tell a sender that waits for it to go on; the thread does so as well, later than the sender may wait for."""
    if arrival.expects_continue:
        arrival.expects_continue = False
        with suppress(OSError):
            conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
