"""A call of the largest size is taken by the web process as the Procfile starts it."""

import json
from typing import Any

import httpx

from tests.gateway import SHOP, bearer
from webhook_gateway.bodies import MAX_BATCH_BYTES


def call(size: int) -> bytes:
    """Return a call of 200 lines that has exactly so many bytes."""
    lines = [{"idempotency_key": f"t-{n}", "booking_id": "B-1", "metadata": {"note": ""}} for n in range(200)]
    room = size - len(json.dumps({"name": "a", "cancellations": lines}))
    notes: list[Any] = [line["metadata"] for line in lines]
    for number, note in enumerate(notes):
        note["note"] = "x" * (room // 200 + (number < room % 200))
    raw = json.dumps({"name": "a", "cancellations": lines}).encode()
    assert len(raw) == size
    return raw


def test_the_largest_call_is_taken_and_a_larger_one_refused(gunicorn: str) -> None:
    headers = bearer(SHOP) | {"Content-Type": "application/json", "Idempotency-Key": "k-1"}
    larger, largest = (
        httpx.post(f"{gunicorn}/v1/batches", content=call(size), headers=headers, timeout=60)
        for size in (MAX_BATCH_BYTES + 1, MAX_BATCH_BYTES)
    )

    assert (larger.status_code, larger.json()["type"]) == (413, "/problems/body-too-large")
    assert (largest.status_code, largest.json()["taken"]["accepted"]) == (201, 200)
