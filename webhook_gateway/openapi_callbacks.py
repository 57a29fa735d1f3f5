"""/v1/cancellations/{id}/callbacks in words: what each route takes and answers."""

from typing import Any

from webhook_gateway import openapi_examples as examples
from webhook_gateway.openapi_parts import BODY, answer, operation, path_id

REPLAYS: examples.Examples = {"everything": {"summary": "Send all that were not delivered again", "value": {}}}
TAG = "Callbacks"
_ID = path_id("cancellation")


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    return {
        "/v1/cancellations/{id}/callbacks": {
            "get": operation(
                "listCallbacks",
                "Show what its caller was told",
                "Every message about this cancellation, in order: when it was sent, how often, and how the endpoint "
                "answered last.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": answer("The messages", "CallbackList", "callbacks")},
                refusals=("not-found",),
            )
        },
        "/v1/cancellations/{id}/callbacks/replay": {
            "post": operation(
                "replayCallbacks",
                "Have its caller told again",
                "Everything that was not delivered is due again, in order; or one message, named by its `id`, also one "
                "that was delivered. A disabled endpoint is enabled. What is being sent right now is left alone. Needs "
                "no body.",
                tag=TAG,
                parameters=[_ID],
                body=("CallbackReplayBody", REPLAYS),
                is_body_required=False,
                answers={"200": answer("The messages, as they stand now", "CallbackReplay", "callbacks_replayed")},
                refusals=("not-found", *BODY),
            )
        },
    }
