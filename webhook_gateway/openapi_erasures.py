"""/v1/erasures in words: what the route takes and answers."""

from typing import Any

from webhook_gateway.openapi_examples import BOOKING, Examples
from webhook_gateway.openapi_parts import BODY, answer, operation

TAG = "Erasures"

ANSWERS: Examples = {
    "erased": {
        "summary": "One had ended, one is under way",
        "value": {"dry_run": False, "erased": 1, "when_ended": 1, "before": 0},
    }
}
ERASURES: Examples = {
    "dry_run": {"summary": "What would be erased", "value": {"booking_id": BOOKING}},
    "deed": {
        "summary": "Erase it",
        "value": {"booking_id": BOOKING, "dry_run": False, "note": "asked for by the customer, ticket 4711"},
    },
}


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    return {
        "/v1/erasures": {
            "post": operation(
                "eraseBooking",
                "Remove a customer's personal data (operators)",
                "From every cancellation of a booking: metadata, reasons, claim fields, insurers' answers, webhooks' "
                "bodies. What was asked, refunded and sent under which key stays. One under way is erased within an "
                "hour of its end, since its claim needs the data. Only tells what would be done unless `dry_run` is "
                "false.",
                tag=TAG,
                parameters=[],
                body=("ErasureBody", ERASURES),
                answers={"200": answer("What was erased, or would be", "ErasureShown", "erased")},
                refusals=("operators-only", *BODY),
            )
        }
    }
