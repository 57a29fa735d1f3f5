"""What can go wrong when calling the insurer, named by what to do next. No HTTP, no vendor's types.

InsurerError
├── NotSent           nothing left this machine: try again freely
│   └── HeldBack      on purpose: the insurer answers nobody; wait `retry_after`
├── Throttled         429: certainly not done; wait `retry_after`
├── InFlight          423: our key is being worked on; wait, then the same key
├── OutcomeUnknown    it may have been done and there is no usable answer: settle it, never guess
├── Unavailable       a plain read went unanswered: nothing to settle, ask again
└── Refused           a definitive no to this request
    ├── NotFound      404
    ├── KeyConflict   409 whose body is not the deed we asked for
    ├── NotAllowed    401 or 403: credentials or permission; alert a person
    └── Misdirected   a redirect, which is never followed: the base URL is wrong
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import ClassVar

from shared.redaction import REDACTED, is_sensitive, redact_text

Problems = tuple[tuple[str, str], ...]

MAX_PROBLEMS = 50  # pairs kept of one answer
MAX_PROBLEM_DEPTH = 8  # the deepest `errors` seen has three levels


class InsurerError(Exception):
    """A call that did not end as asked. Printing or pickling one shows no secret and no personal data.

    attempted: what was tried, on what. status: HTTP status, if any arrived. problems: (path, text) pairs from
    the body. evidence: redacted, JSON-able. insurer_time: the answer's Date, aware UTC. retry_after: seconds.
    service: whose gate the request went through, if any.
    """

    means: ClassVar[str] = "failed"

    def __init__(
        self,
        attempted: str,
        *,
        status: int | None = None,
        problems: Problems = (),
        evidence: Mapping[str, object] | None = None,
        insurer_time: datetime | None = None,
        retry_after: float | None = None,
        service: str | None = None,
    ) -> None:
        self.attempted = redact_text(attempted)
        super().__init__(self.attempted)  # alone in args: pickle rebuilds from it, then restores the rest
        self.status = status
        self.problems = problems
        self.evidence: dict[str, object] = dict(evidence or {})
        self.insurer_time = insurer_time
        self.retry_after = retry_after
        self.service = service

    @property
    def in_brief(self) -> str:
        """What happened, for the log: without the insurer's own words, which may name persons."""
        answered = "" if self.status is None else f" (answered {self.status})"
        return f"could not {self.attempted}{answered}: {self.means}"

    def __str__(self) -> str:
        said = "; ".join(f"{path}: {text}" if path else text for path, text in self.problems[:5])
        return self.in_brief + (f" [{said}]" if said else "")


class NotSent(InsurerError):
    means = "nothing left this machine, it can be tried again freely"


class HeldBack(NotSent):
    means = "nothing was sent: it answers nobody at present; what waits is sent when it answers again"


class Throttled(InsurerError):
    means = "too many requests, certainly not done; wait and try again"


class InFlight(InsurerError):
    means = "the same key is still being worked on; wait and repeat with it"


class OutcomeUnknown(InsurerError):
    means = "it may have been done and there is no usable answer; it must be settled"


class Unavailable(InsurerError):
    means = "no usable answer to a question; ask again later"


class Refused(InsurerError):
    means = "refused; the same request will be refused again"


class NotFound(Refused):
    means = "the insurer does not know it"


class KeyConflict(Refused):
    means = "a conflict, and the answer is not the result of our own request"


class NotAllowed(Refused):
    means = "credentials or permission are not accepted; a person must look"


class Misdirected(Refused):
    means = "answered with a redirect, which is never followed; the base URL is wrong"


class UnusableAnswer(ValueError):
    """A body is not what was asked for. Raised while reading it; the clients turn it into one of the tree."""


_BY_STATUS: dict[int, type[InsurerError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    423: InFlight,
    429: Throttled,
}


def error_for_status(status: int, *, is_read: bool) -> type[InsurerError]:
    """Choose the error for an answer that is not what was asked for, by its status alone.

    408 counts as unanswered: a proxy in between may say so after it has passed the request on.
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 409 and not is_read:
        return KeyConflict
    if 300 <= status < 400:
        return Misdirected
    if 400 <= status < 500 and status != 408:
        return Refused
    return Unavailable if is_read else OutcomeUnknown


def problems_in(body: object) -> Problems:
    """Return what a body complains about: its flattened `errors`, or else its `message`. Never raises."""
    if not isinstance(body, dict):
        return ()
    found = flatten_errors(body.get("errors"))
    return found or flatten_errors(body.get("message"))


def flatten_errors(errors: object) -> Problems:
    """Turn any shape of `errors` into (path, text) pairs: bounded, redacted, never raising.

    Seen on the wire: a list of texts; an object of texts, of lists of texts, of objects; objects numbered
    "0", "1" with message and type; nothing at all. A list's texts share its path: `{"a": ["x", "y"]}` gives
    `(("a", "x"), ("a", "y"))`; a bare text has the path "". What is said of a person's field may quote the person:
    of it only the path is kept.
    """
    return tuple(islice(_flattened(errors, path="", depth=0), MAX_PROBLEMS))


def _flattened(node: object, *, path: str, depth: int, hides: bool = False) -> Iterator[tuple[str, str]]:
    if node is None or node == "":
        return
    if depth > MAX_PROBLEM_DEPTH:
        yield redact_text(path), "…"
    elif isinstance(node, dict):
        for key, entry in node.items():
            name = key if isinstance(key, str) else type(key).__name__
            below = f"{path}.{name}" if path else name
            yield from _flattened(entry, path=below, depth=depth + 1, hides=hides or _is_of_a_person(name))
    elif isinstance(node, list | tuple):
        for entry in node:
            yield from _flattened(entry, path=path, depth=depth + 1, hides=hides)
    else:
        yield redact_text(path), REDACTED if hides else _said(node)


def _is_of_a_person(key: str) -> bool:
    """Look at a dotted key part by part; in `sectionFields.0.name` the name is the field's own."""
    whole, *_ = parts = key.split(".")
    return is_sensitive(whole) or any(part != "name" and is_sensitive(part) for part in parts)


def _said(node: object) -> str:
    if isinstance(node, str):
        return redact_text(node)
    if isinstance(node, bool | float | Decimal) or (isinstance(node, int) and abs(node) < 2**63):
        return redact_text(str(node))
    return f"<{type(node).__name__}>"
