"""What a cancellation waits for, and what may be done about it, in words. The service decides; this only tells."""

from collections.abc import Sequence
from typing import Any

Hint = tuple[str, str]
"""What is said, and the command to copy, if there is one."""

_RULINGS = {
    "preview": "not_done|close",
    "refund": "done|not_done|close",
    "confirm": "done|not_done|close",
    "cancel": "done|not_done|close",
    "claim": "done|not_done|amend|close",
    "await_premium_refund": "done|not_done|close",
}
_REPORT = "cfar refund {id} --amount {total_refund} --currency {currency} --reference <your payment's name>"


def hints(item: dict[str, Any], events: Sequence[dict[str, Any]]) -> list[Hint]:
    """Return what to say about a cancellation that someone must do something about, or that someone ended."""
    match item["status"]:
        case "awaiting_refund":
            return _awaiting_refund(item)
        case "awaiting_premium_refund":
            return [(_awaiting_premium_refund(item), "")]
        case "needs_review":
            return _needs_review(item)
        case "closed":
            return _closed(events)
        case "completed" if item["journey"] == "cancel_now" and item["preview"]:
            return [("Refund the customer {total_refund} {currency}: nobody else does.".format(**item["preview"]), "")]
    return []


def _awaiting_refund(item: dict[str, Any]) -> list[Hint]:
    if not item["preview"]:
        return []
    command = _REPORT.format(id=item["id"], **item["preview"])
    if item["refund"]["mode"] == "call":
        return [("The refund endpoint was asked to pay and will report. If it never does:", command)]
    return [("Refund the customer, then:", command)]


def _awaiting_premium_refund(item: dict[str, Any]) -> str:
    name = item["claim"]["reference"] or item["claim"]["id"] or "the claim"
    return (
        f"Waits until XClaim reports the Premium Refund of {name}, and asks now and then; only then are the policies "
        "cancelled. Nobody need do anything."
    )


def _needs_review(item: dict[str, Any]) -> list[Hint]:
    step, is_done = item["next_step"], set(item["steps"]) <= set(item["done_steps"])
    rulings = "done|close" if step is None and is_done else _RULINGS.get(step, "close")
    evidence = " [--evidence NAME=VALUE]" if rulings.startswith("done") else ""
    resolve = ("An operator decides:", f"cfar resolve {item['id']} {rulings} --note <why>{evidence}")
    return [resolve] if step is None else [(f"To try {step} again:", f"cfar retry {item['id']}"), resolve]


def _closed(events: Sequence[dict[str, Any]]) -> list[Hint]:
    closing = [event for event in events if event["kind"] == "transition" and event["event"] == "closed"]
    return [(f"Closed by {closing[-1]['actor']}: {closing[-1]['reason']}", "")] if closing else []
