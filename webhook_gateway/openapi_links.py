"""What may be asked next with what an answer holds: `components.links`, each by the operation that it leads to."""

from typing import Any

OF_CANCELLATION = (
    *("getCancellation", "listCancellationEvents", "reportRefund", "abortCancellation", "retryCancellation"),
    *("resolveCancellation", "listCallbacks", "replayCallbacks"),
)
OF_CANCELLATIONS = ("listMoreCancellations", "getFirstCancellation")
OF_BATCH = ("getBatch", "addBatchLines", "pauseBatch", "resumeBatch", "callOffBatch", "listBatchCancellations")
OF_LINES = ("getFirstAcceptedCancellation",)
OF_BATCHES = ("listMoreBatches", "getFirstBatch")
OF_WEBHOOK = ("replayWebhook",)
OF_WEBHOOKS = ("listMoreWebhooks", "getFirstWebhook")

_BY_OTHER_MEMBERS: dict[str, tuple[str, dict[str, str]]] = {
    "listMoreCancellations": ("listCancellations", {"cursor": "/next_cursor"}),
    "getFirstCancellation": ("getCancellation", {"id": "/items/0/id"}),
    "getFirstAcceptedCancellation": ("getCancellation", {"id": "/ids/0"}),
    "listBatchCancellations": ("listCancellations", {"batch_id": "/id"}),
    "listMoreBatches": ("listBatches", {"cursor": "/next_cursor"}),
    "getFirstBatch": ("getBatch", {"id": "/items/0/id"}),
    "listMoreWebhooks": ("listWebhooks", {"cursor": "/next_cursor"}),
    "getFirstWebhook": ("getWebhook", {"id": "/items/0/id"}),
}


def links() -> dict[str, Any]:
    """Return every link; those not told otherwise hand on the `id` of the answer."""
    by_id: dict[str, tuple[str, dict[str, str]]] = {
        name: (name, {"id": "/id"}) for name in (*OF_CANCELLATION, *OF_BATCH, *OF_WEBHOOK)
    }
    return {
        name: {
            "operationId": operation,
            "parameters": {parameter: f"$response.body#{place}" for parameter, place in places.items()},
        }
        for name, (operation, places) in (by_id | _BY_OTHER_MEMBERS).items()
    }


def linked(names: tuple[str, ...]) -> dict[str, Any]:
    """Return references to these links, for one answer."""
    return {name: {"$ref": f"#/components/links/{name}"} for name in names}
