"""The three doors over HTTP that take an idempotency key, each asked in the same words."""

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from tests.gateway import SHOP, bearer

HTTP = httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
"""One for all: to make one takes longer than to ask."""
FREELY_WRITTEN = {"separators": (" ,", " : "), "indent": 1}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a request under a key came to: new, repeat, or the name of the problem; and the id it stands for."""

    kind: str
    id: str | None
    status: int
    answer: dict[str, Any]
    headers: Mapping[str, str]


class Door:
    """Hands something over under a key, which is a header as it is written on the wire."""

    name: str
    path: str
    takes_header = True

    def __init__(self, url: str) -> None:
        self.url = url

    def body(self, number: int = 1, **more: Any) -> dict[str, Any]:
        """Return a payload; another number is another payload."""
        raise NotImplementedError

    def with_defaults(self) -> dict[str, Any]:
        """Return the first payload with a default spelled out: it means the same, and is another payload."""
        raise NotImplementedError

    def send(
        self, key: str | None, body: dict[str, Any] | None = None, *, token: str = SHOP, freely: bool = False
    ) -> Outcome:
        """Send a payload under a key; `freely`: its members in another order, and with white space."""
        sent = self.body() if body is None else body
        if freely:
            sent = dict(reversed(sent.items()))
        raw = json.dumps(sent, **(FREELY_WRITTEN if freely else {})).encode()  # type: ignore[arg-type]
        headers = bearer(token) | {"Content-Type": "application/json"}
        named = headers if key is None else headers | {"Idempotency-Key": key}
        encoded = {name.encode(): value.encode() for name, value in named.items()}
        return self.read(HTTP.post(self.url + self.path, content=raw, headers=encoded))

    def read(self, response: httpx.Response) -> Outcome:
        """Tell what an answer means."""
        found = response.json()
        kind = {201: "new", 202: "new", 200: "repeat"}.get(response.status_code) or _slug(found)
        return Outcome(
            kind=kind, id=found.get("id"), status=response.status_code, answer=found, headers=response.headers
        )


class Cancellations(Door):
    """One cancellation."""

    name, path = "cancellations", "/v1/cancellations"

    def body(self, number: int = 1, **more: Any) -> dict[str, Any]:
        return {"booking_id": f"BOOK-{number}-INS", "metadata": {"a": 1, "b": [True, None]}, **more}

    def with_defaults(self) -> dict[str, Any]:
        return self.body(journey="cancel")


class Batches(Door):
    """A batch."""

    name, path = "batches", "/v1/batches"

    def body(self, number: int = 1, **more: Any) -> dict[str, Any]:
        return {"name": "show.csv", "expected": number, **more}

    def with_defaults(self) -> dict[str, Any]:
        return self.body(cancellations=[])


class Lines(Cancellations):
    """A line of a batch, whose key is a field of its own: the key itself, never a structured field."""

    name, takes_header = "lines", False

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._paths: dict[str, str] = {}

    def send(
        self, key: str | None, body: dict[str, Any] | None = None, *, token: str = SHOP, freely: bool = False
    ) -> Outcome:
        if token not in self._paths:
            batch = Batches(self.url).send(f"a-batch-of-{len(self._paths)}", token=token)
            self._paths[token] = f"/v1/batches/{batch.id}/cancellations"
        self.path = self._paths[token]
        line = (self.body() if body is None else body) | ({} if key is None else {"idempotency_key": key})
        if freely:
            line = dict(reversed(line.items()))
        return super().send(None, {"cancellations": [line]}, token=token)

    def read(self, response: httpx.Response) -> Outcome:
        found = response.json()
        kind, row_id = _slug(found), None
        if response.status_code == 200:
            refused = found["refused"]
            kind = _slug(refused[0]["problem"]) if refused else "new" if found["accepted"] else "repeat"
            row_id = found["ids"][0]
            found = refused[0]["problem"] if refused else found
        return Outcome(kind=kind, id=row_id, status=response.status_code, answer=found, headers=response.headers)


DOORS: dict[str, type[Door]] = {door.name: door for door in (Cancellations, Batches, Lines)}


def at_once(door: Door, bodies: list[dict[str, Any]], *, key: str) -> list[Outcome]:
    """Send these payloads under one key, all at the same moment."""
    barrier = threading.Barrier(len(bodies))

    def send(body: dict[str, Any]) -> Outcome:
        barrier.wait()
        return door.send(key, body)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, bodies))


def _slug(document: Mapping[str, Any]) -> str:
    return str(document.get("type", "")).removeprefix("/problems/")
