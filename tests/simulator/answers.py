"""What an endpoint decided to answer, before it becomes HTTP. Nothing here knows why it was decided."""

import contextlib
import json
import socket
from dataclasses import dataclass, field, replace
from typing import Any

from flask import Response, g, request

RATE_LIMIT_HEADERS = {
    "X-Ratelimit-Limit": "-1",
    "X-Ratelimit-Remaining": "-1",
    "X-Ratelimit-Reset": "1568836675",  # a constant in the past: what "no limit" looks like there
}
THROTTLED = "Request was throttled. Expected available in 1 second."


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False  # the connection is closed instead of sending it

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def with_headers(self, headers: dict[str, str]) -> "Answer":
        return replace(self, headers={**headers, **self.headers})


class RefusedError(Exception):
    """An endpoint's rules say no; carries the whole answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body}")
        self.answer = answer


def lost() -> Answer:
    return Answer(0, lost=True)


def throttled(retry_after: int | None) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Answer(429, {"detail": THROTTLED}, headers)


def send(answer: Answer) -> Response:
    """Turn an answer into a response, or close the connection when it is to be lost."""
    g.entry["status"] = None if answer.lost else answer.status
    g.entry["answer_lost"] = answer.lost
    if answer.lost:
        connection = request.environ["werkzeug.socket"]
        with contextlib.suppress(OSError):  # the caller may have hung up first
            connection.shutdown(socket.SHUT_RDWR)
        return Response(status=503)  # written to a closed socket: nobody sees it
    if isinstance(answer.body, bytes):
        response = Response(answer.body, status=answer.status, content_type="text/html; charset=utf-8")
    else:
        response = Response(json.dumps(answer.body), status=answer.status, content_type="application/json")
    response.headers.update(answer.headers)
    return response
