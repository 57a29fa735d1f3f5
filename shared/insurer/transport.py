"""One HTTP exchange with the insurer: bounded in time and size, never repeated, failures as our own errors.

No endpoint and no field of the insurer's is named here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import NoReturn, Protocol

import httpx

from shared.clock import utc_now
from shared.insurer.errors import NotSent, OutcomeUnknown, Unavailable
from shared.insurer.sockets import DeadlineTransport, LookUp, addresses
from shared.insurer.sockets import deadline as in_force
from shared.redaction import redact_text

CONNECT_TIMEOUT = 5.0  # seconds; the vendor asks for 5 or more, and trying to connect again costs nothing
READ_TIMEOUT = 15.0  # seconds without a byte; the vendor prefers waiting 10 or longer
WRITE_TIMEOUT = 10.0  # seconds; our bodies fit into a socket's buffer, so this is already an outage
POOL_TIMEOUT = 5.0  # seconds to wait for one of our own connections; reached only if `LIMITS` are too low
CALL_DEADLINE = 20.0  # seconds for everything together; must stay below a task's soft time limit
MAX_BODY = 2 * 1024 * 1024  # bytes; a published booking has under 10 KiB
OUT_OF_ORDER = 500  # from this status on it is the other side that is wrong, not the request
MAX_RETRY_AFTER = 86_400.0  # seconds; a longer wait is a mistake on the other side
_HEADERS = {"User-Agent": "cfar/0.1", "Accept": "application/json", "Accept-Encoding": "identity"}
_NOTHING_SENT = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout),
    *(httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL),
)

_UNANSWERED = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout),
    *(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError),
)
"""Failures that are the other side's, or the way's to it."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds allowed for each part of a call, and for the whole of it."""

    connect: float = CONNECT_TIMEOUT
    read: float = READ_TIMEOUT
    write: float = WRITE_TIMEOUT
    deadline: float = CALL_DEADLINE

    def for_httpx(self) -> httpx.Timeout:
        pool = min(POOL_TIMEOUT, self.deadline)
        return httpx.Timeout(connect=self.connect, read=self.read, write=self.write, pool=pool)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back, whatever its status.

    json: the body with exact Decimals; None when it is not JSON, too large, or null. excerpt: the start of
    such a body, redacted. insurer_time: the Date header, aware UTC. retry_after: seconds.
    next_link: the address in the Link header under rel="next". service: whose gate the request went through.
    """

    status: int
    json: object
    excerpt: str
    insurer_time: datetime | None
    retry_after: float | None
    next_link: str | None
    service: str | None = None


class Passage:
    """One request on its way through a gate."""

    is_answered: bool | None = None
    """None until an answer has come, or it is certain that none will."""
    failure: str = ""

    def ended(self, status: int) -> None:
        """Note that an answer came; one from 500 on says that the other side is out of order."""
        self.is_answered = status < OUT_OF_ORDER
        self.failure = "" if self.is_answered else f"answered {status}"

    def failed(self, error: Exception) -> None:
        """Note that no answer came."""
        self.is_answered, self.failure = False, type(error).__name__


class Gate(Protocol):
    """What may hold requests back, and learns how each one ended."""

    @property
    def service(self) -> str:
        """What errors call it."""

    def request(self, attempted: str) -> AbstractContextManager[Passage]:
        """Let one request leave inside the block; raise HeldBack, with nothing sent."""


class _Open:
    """The gate of those that have none."""

    service = None

    @contextmanager
    def request(self, _attempted: str) -> Iterator[Passage]:
        yield Passage()


class InsurerHttp:
    """A pool of connections to the insurer: no redirects, retries, cookies or settings from the environment.

    Safe to share between threads. Make it after any fork: sockets of two processes mix up their answers.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        look_up: LookUp | None = None,
        max_body: int = MAX_BODY,
        gate: Gate | None = None,
    ) -> None:
        """`look_up` finds a host's addresses, once for each connection; `max_body` is in bytes."""
        self._gate = gate or _Open()
        self._timeouts = timeouts or Timeouts()
        self._max_body = max_body
        self._client = httpx.Client(
            transport=DeadlineTransport(look_up or addresses),
            timeout=self._timeouts.for_httpx(),
            headers=_HEADERS,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )

    def send(
        self,
        method: str,
        url: str,
        *,
        attempted: str,
        is_read: bool,
        headers_for: Callable[[str, str], Mapping[str, str]],
        content: bytes | None = None,
    ) -> Reply:
        """Send one request once and return its reply, whatever the status.

        `headers_for(method, path)` is asked just before sending, with the path that goes over the wire.
        Raises NotSent; for a read Unavailable; for a deed OutcomeUnknown, even when a reused connection is
        reset before the first byte of an answer: the request may have been read. Raises HeldBack, as the gate does.
        """
        with (
            self.deadline(),
            _translated(attempted, is_read=is_read, service=self._gate.service),
            self._gate.request(attempted) as passage,
        ):
            request = self._client.build_request(method, url, content=content)
            path = request.url.raw_path.decode("ascii").partition("?")[0]
            request.headers.update(headers_for(method, path))
            if self.time_left() <= 0:
                raise httpx.PoolTimeout("the call's time was spent before it began")
            try:
                response = self._client.send(request, stream=True)
                try:
                    body = _limited_body(response, self._max_body)
                finally:
                    response.close()
            except _UNANSWERED as error:
                passage.failed(error)
                raise
            passage.ended(response.status_code)
        return replace(_reply(response, body), service=self._gate.service)

    @contextmanager
    def deadline(self) -> Iterator[None]:
        """Let all calls inside the block share one deadline; an outer one, if sooner, stays in force."""
        until = monotonic() + self._timeouts.deadline
        outer = in_force.get()
        token = in_force.set(until if outer is None else min(until, outer))
        try:
            yield
        finally:
            in_force.reset(token)

    def time_left(self) -> float:
        """Return the seconds until the deadline in force, or those a new call would be given."""
        until = in_force.get()
        return self._timeouts.deadline if until is None else until - monotonic()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


def parse_json(raw: bytes) -> object:
    """Read JSON with exact decimals; NaN and Infinity are not JSON. Raises ValueError and nothing else."""
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_not_a_number)
    except (ArithmeticError, RecursionError) as error:
        raise ValueError("too deep, or a number beyond measure") from error


def _not_a_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


@contextmanager
def _translated(attempted: str, *, is_read: bool, service: str | None) -> Iterator[None]:
    try:
        yield
    except _NOTHING_SENT as error:
        raise NotSent(attempted, evidence=_evidence(error), service=service) from error
    except httpx.HTTPError as error:
        kind = Unavailable if is_read else OutcomeUnknown
        raise kind(attempted, evidence=_evidence(error), service=service) from error


def _evidence(error: Exception) -> dict[str, object]:
    return {"failure": type(error).__name__, "detail": redact_text(str(error))}


def _limited_body(response: httpx.Response, limit: int) -> bytes | None:
    """Return the body, or None when it is larger than the limit."""
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def _reply(response: httpx.Response, body: bytes | None) -> Reply:
    parsed: object = None
    excerpt = ""
    try:
        parsed = parse_json(body or b"")
    except ValueError:
        excerpt = "(too large)" if body is None else redact_text(body[:1000].decode("utf-8", "replace"))
    insurer_time = _http_date(response.headers.get("date"))
    return Reply(
        status=response.status_code,
        json=parsed,
        excerpt=excerpt,
        insurer_time=insurer_time,
        retry_after=_retry_after(response.headers.get("retry-after"), insurer_time),
        next_link=response.links.get("next", {}).get("url"),
    )


def _http_date(value: str | None) -> datetime | None:
    try:
        read = parsedate_to_datetime(value or "")
        return read.replace(tzinfo=read.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after(value: str | None, insurer_time: datetime | None) -> float | None:
    """Read seconds or an HTTP date, the latter against the insurer's clock rather than ours."""
    if value and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER)
    until = _http_date(value)
    wait = None if until is None else (until - (insurer_time or utc_now())).total_seconds()
    return None if wait is None else min(max(wait, 0.0), MAX_RETRY_AFTER)
