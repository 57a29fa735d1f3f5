"""/v1/batches in words: what each route takes and answers."""

from typing import Any

from webhook_gateway import openapi_examples as examples
from webhook_gateway import openapi_links as links
from webhook_gateway.batches import ListQuery
from webhook_gateway.openapi_parts import BODY, answer, idempotency_key, operation, path_id, query_parameters

LINES: examples.Examples = {
    "two_tickets": {
        "summary": "Two cancellations, each with a key of its own",
        "value": {
            "cancellations": [
                {"idempotency_key": "ticket-1", "booking_id": examples.BOOKING},
                {"idempotency_key": "ticket-2", "booking_id": "WFISE-5W4QR-INS", "metadata": {"order": "A-1002"}},
            ]
        },
    }
}
BATCHES: examples.Examples = {
    "announced": {
        "summary": "Open a batch; its cancellations follow in calls of up to 500",
        "value": {"name": "show-4711.csv", "expected": 20000},
    },
    "at_once": {
        "summary": "Open a batch with its first cancellation; a wrong line does not stop the others",
        "value": {
            "name": "show-4711.csv",
            "expected": 1,
            "cancellations": [{"idempotency_key": "ticket-1", "booking_id": examples.BOOKING}],
            "skip_invalid": True,
        },
    },
}
TAG = "Batches"
_ID = path_id("batch")
_KEY = idempotency_key("Of the batch: 1 to 255 visible characters, bare or as a quoted structured-field string")


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    return {**_collection(), **_one(), **_steering()}


def _collection() -> dict[str, Any]:
    created = answer("Opened", "BatchOpened", "batch_opened", links=links.OF_BATCH, headers=("Location",))
    known = answer(
        "The key was used before with this body", "BatchOpened", "batch_opened", links=links.OF_BATCH,
        headers=("Location",),
    )  # fmt: skip
    return {
        "/v1/batches": {
            "post": operation(
                "createBatch",
                "Hand many cancellations over together",
                "Opens a batch, with up to 500 cancellations (2 MiB) or none yet. Each has a key of its own, which "
                "means what it means for one that is sent alone. They get their turn after those sent alone.",
                tag=TAG,
                parameters=[_KEY],
                body=("BatchBody", BATCHES),
                answers={"201": created, "200": known},
                refusals=("idempotency-key-missing", *BODY, "idempotency-key-reused", "batch-called-off"),
            ),
            "get": operation(
                "listBatches",
                "List batches, newest first",
                "A caller sees its own, an operator everyone's. Follow `next_cursor` until it is null.",
                tag=TAG,
                parameters=query_parameters(ListQuery),
                answers={"200": answer("A page", "BatchList", "page_of_batches", links=links.OF_BATCHES)},
                refusals=("invalid-parameter",),
            ),
        }
    }


def _one() -> dict[str, Any]:
    return {
        "/v1/batches/{id}": {
            "get": operation(
                "getBatch",
                "Show one batch",
                "How many of its cancellations stand where; `GET /v1/cancellations?batch_id=` lists them.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": answer("The batch", "BatchResource", "batch", links=links.OF_BATCH)},
                refusals=("not-found",),
            )
        },
        "/v1/batches/{id}/cancellations": {
            "post": operation(
                "addBatchLines",
                "Add cancellations to a batch",
                "Up to 500 (2 MiB) in one transaction; sending them again is harmless. If a line is invalid nothing "
                "of the call is stored, unless `skip_invalid` is true. A key that stands for another body is refused "
                "for its line alone.",
                tag=TAG,
                parameters=[_ID],
                body=("LinesBody", LINES),
                answers={"200": answer("What became of each line", "LinesTaken", "lines_taken", links=links.OF_LINES)},
                refusals=("not-found", *BODY, "batch-called-off"),
            )
        },
    }


def _steering() -> dict[str, Any]:
    resource = answer("The batch as it is now", "BatchResource", "batch")
    said = {
        "pause": ("Hold a batch", "What has not begun waits until the batch is resumed, and so do lines added later."),
        "resume": ("Go on with a batch", "What was held has its turn again."),
        "call_off": (
            "Call a batch off",
            "Aborts what has not begun and takes no more lines; what has begun goes on. If it is cut short, repeat it.",
        ),
    }
    names = {"pause": "pauseBatch", "resume": "resumeBatch", "call_off": "callOffBatch"}
    refusals = {"pause": ("batch-called-off",), "resume": ("batch-called-off",), "call_off": ()}
    return {
        f"/v1/batches/{{id}}/{action}": {
            "post": operation(
                names[action],
                summary,
                f"{description} Repeating it is harmless.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": resource},
                refusals=("not-found", *refusals[action]),
            )
        }
        for action, (summary, description) in said.items()
    }
