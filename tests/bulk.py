"""Batches for tests: the gateway, asked to take many cancellations at once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from shared.cancellations import begin_step
from shared.lifecycle import Step
from shared.models import Cancellation
from tests.gateway import SHOP, Gateway, bearer
from tests.recording import RecordingDatabase

URL = "/v1/batches"


def line(number: int, **more: Any) -> dict[str, Any]:
    """Return a line, one and the same for a number."""
    return {"idempotency_key": f"ticket-{number}", "booking_id": f"BOOK-{number}-INS", **more}


def lines(*numbers: int) -> list[dict[str, Any]]:
    """Return a line for each number."""
    return [line(number) for number in numbers]


class Bulk:
    """A gateway that is asked about batches."""

    def __init__(self, database: RecordingDatabase, **settings: Any) -> None:
        self.database = database
        self.gateway = Gateway(database, **settings)

    def post(self, path: str = "", body: Any = None, *, token: str = SHOP, key: str | None = None) -> TestResponse:
        """POST below /v1/batches; `key` is its Idempotency-Key."""
        headers = bearer(token) | ({"Idempotency-Key": key} if key else {})
        return self.gateway.client.post(URL + path, json=body, headers=headers)

    def get(self, path: str = "", *, token: str = SHOP) -> TestResponse:
        """GET below /v1/batches."""
        return self.gateway.client.get(URL + path, headers=bearer(token))

    def open(self, *numbers: int, key: str = "batch-1", token: str = SHOP) -> str:
        """Open a batch with these lines and return its id."""
        body = {"name": "show.csv", "expected": 3, "cancellations": lines(*numbers)}
        answer = self.post("", body, key=key, token=token)
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["id"])

    def add(self, batch: str, sent: Sequence[Any], **more: Any) -> TestResponse:
        """Ask to add lines."""
        return self.post(f"/{batch}/cancellations", {"cancellations": sent, **more})

    def taken(self, batch: str, sent: Sequence[Any], **more: Any) -> tuple[int, int, list[tuple[int, str]]]:
        """Add lines, and return how many were accepted and repeated, and which were refused for what."""
        answer = self.add(batch, sent, **more)
        assert answer.status_code == 200, answer.text
        told = answer.get_json()
        refused = [(item["line"], item["problem"]["type"].removeprefix("/problems/")) for item in told["refused"]]
        assert [at for at, found in enumerate(told["ids"], 1) if found is None] == [at for at, _ in refused]
        return told["accepted"], told["repeated"], refused

    def rows(self, table: Any = Cancellation) -> list[Any]:
        """Return every row of a table."""
        with self.database.reading() as session:
            return list(session.scalars(select(table).order_by(table.id)))

    def begin(self, number: int) -> None:
        """Begin one of the rows, as a worker does."""
        with self.database.transaction() as tx:
            assert begin_step(tx, self.rows()[number].id, Step.LOOK_UP) is not None
