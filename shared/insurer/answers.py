"""What a client hands back for a reply: its value with the evidence, or the error that the reply means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.insurer.errors import (
    InsurerError,
    OutcomeUnknown,
    Problems,
    Throttled,
    Unavailable,
    UnusableAnswer,
    error_for_status,
    problems_in,
)
from shared.insurer.transport import Reply
from shared.redaction import redact

T = TypeVar("T")

_THROTTLED = re.compile(r"available in (\d{1,6}(?:\.\d{1,6})?) second")


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[T]):
    """A call that ended as asked.

    status: HTTP status. insurer_time: the answer's Date, aware UTC. evidence: JSON-able, named fields only,
    no personal data. replayed: the insurer told us again what it had already done under our key.
    """

    value: T
    status: int
    insurer_time: datetime | None
    evidence: Mapping[str, object]
    replayed: bool = False


def refusal(attempted: str, reply: Reply, *, is_read: bool) -> InsurerError:
    """Return the error for a reply whose status says that it is not what was asked for."""
    kind = error_for_status(reply.status, is_read=is_read)
    problems = problems_in(reply.json)
    wait = reply.retry_after
    if wait is None and kind is Throttled:
        wait = _announced_wait(problems, reply.excerpt)
    return _error(kind, attempted, reply, problems=problems, retry_after=wait)


def unusable(
    attempted: str,
    reply: Reply,
    reason: UnusableAnswer,
    *,
    is_read: bool,
    unknown: type[OutcomeUnknown] = OutcomeUnknown,
) -> InsurerError:
    """Return the error for a success, or a 409, whose body is not what was asked for, for this reason."""
    succeeded: type[InsurerError] = Unavailable if is_read else unknown
    kind = succeeded if 200 <= reply.status < 300 else error_for_status(reply.status, is_read=is_read)
    return answered(kind, attempted, reply, reason)


def answered(kind: type[InsurerError], attempted: str, reply: Reply, reason: UnusableAnswer) -> InsurerError:
    """Return this kind of error for a body that is, for this reason, not what was asked for."""
    problems = (("", str(reason)), *problems_in(reply.json))
    return _error(kind, attempted, reply, problems=problems, retry_after=reply.retry_after)


def _error(
    kind: type[InsurerError], attempted: str, reply: Reply, *, problems: Problems, retry_after: float | None
) -> InsurerError:
    body = {"excerpt": reply.excerpt} if reply.json is None else {"body": redact(reply.json)}
    return kind(
        attempted,
        status=reply.status,
        problems=problems,
        evidence={"http_status": reply.status, "problems": [list(pair) for pair in problems], **body},
        insurer_time=reply.insurer_time,
        retry_after=retry_after,
        service=reply.service,
    )


def _announced_wait(problems: Problems, excerpt: str) -> float | None:
    """Read "Expected available in 1 second.": the throttling answer was seen without a Retry-After header."""
    for said in (*(text for _, text in problems), excerpt):
        found = _THROTTLED.search(said)
        if found:
            return float(found[1])
    return None
