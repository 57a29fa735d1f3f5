"""/v1/webhooks in words: what each route takes and answers. For operators only."""

from typing import Any

from webhook_gateway import openapi_examples as examples
from webhook_gateway import openapi_links as links
from webhook_gateway.openapi_parts import BODY, answer, operation, path_id, query_parameters
from webhook_gateway.webhook_counts import TalliesQuery
from webhook_gateway.webhook_listing import ListQuery

TAG = "Webhooks"
_ID = path_id("webhook")


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    return {**_seeing(), **_replaying(), **_figures()}


def _seeing() -> dict[str, Any]:
    return {
        "/v1/webhooks": {
            "get": operation(
                "listWebhooks",
                "List webhooks, newest first (operators)",
                "Verified ones, each arrival by itself. Follow `next_cursor` until it is null: a page looks through at "
                "most 50,000 webhooks, so with filters it may be short, or empty, before the last.",
                tag=TAG,
                parameters=query_parameters(ListQuery),
                answers={"200": answer("A page", "WebhookList", "page_of_webhooks", links=links.OF_WEBHOOKS)},
                refusals=("operators-only", "invalid-parameter"),
            )
        },
        "/v1/webhooks/{id}": {
            "get": operation(
                "getWebhook",
                "Show one webhook (operators)",
                "What came, what became of it, and its body without personal data.",
                tag=TAG,
                parameters=[_ID],
                answers={"200": answer("The webhook", "WebhookResource", "webhook", links=links.OF_WEBHOOK)},
                refusals=("operators-only", "not-found"),
            )
        },
    }


def _replaying() -> dict[str, Any]:
    return {
        "/v1/webhooks/{id}/replay": {
            "post": operation(
                "replayWebhook",
                "Have one webhook handled again (operators)",
                "Always safe: XClaim is asked what is so now. What is not handled yet is left alone. Needs no body.",
                tag=TAG,
                parameters=[_ID],
                body=("ReplayOneBody", examples.REPLAYS_OF_ONE),
                is_body_required=False,
                answers={"200": answer("What was replayed", "Replay", "replayed")},
                refusals=("operators-only", "not-found", *BODY),
            )
        },
        "/v1/webhooks/replay": {
            "post": operation(
                "replayWebhooks",
                "Have many webhooks handled again (operators)",
                "Those that every given filter fits, newest first, at most `limit`; at least one filter must be given. "
                "Only tells what would change unless `dry_run` is false. The same with `next_cursor`: the rest.",
                tag=TAG,
                parameters=[],
                body=("ReplayBody", examples.REPLAYS),
                answers={"200": answer("What was replayed, or would be", "Replay", "replayed")},
                refusals=("operators-only", *BODY),
            )
        },
    }


def _figures() -> dict[str, Any]:
    return {
        "/v1/webhooks/keys": {
            "get": operation(
                "listWebhookKeys",
                "Tell which webhook keys are in use (operators)",
                "Every configured key by its id, and each that open claims need although it is configured no more.",
                tag=TAG,
                parameters=[],
                answers={"200": answer("The keys, never themselves", "WebhookKeys", "webhook_keys")},
                refusals=("operators-only",),
            )
        },
        "/v1/webhooks/tallies": {
            "get": operation(
                "listWebhookTallies",
                "Tell how many webhooks came, hour by hour (operators)",
                "By source, answer and key, with one sample of each: also of those that nobody we know has signed.",
                tag=TAG,
                parameters=query_parameters(TalliesQuery),
                answers={"200": answer("The counts, newest hour first", "WebhookTallies", "webhook_tallies")},
                refusals=("operators-only", "invalid-parameter"),
            )
        },
    }
