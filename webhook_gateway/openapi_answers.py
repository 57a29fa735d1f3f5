"""What answers look like: an example of each, to copy into a test of one's own. A test holds them to their schemas."""

from typing import Any

from webhook_gateway.openapi_examples import BOOKING, Examples

_ID, _BATCH, _WEBHOOK = (
    "01a1fdf5-fd9d-750d-bdfb-9093fdd6406a",
    "01a200c2-27d3-7499-8af5-ae33b987523e",
    "01a1fe03-393e-71ad-9c94-f983937d09ef",
)
_ACCEPTED_AT, _PREVIEWED_AT, _REPORTED_AT = (
    "2026-11-21T11:56:03.138000Z",
    "2026-11-21T11:56:03.394000Z",
    "2026-11-21T11:58:41.221000Z",
)
_ACCEPTED: dict[str, Any] = {
    "id": _ID,
    "idempotency_key": "order-A-1001",
    "booking_id": BOOKING,
    "partner": "ABCDE",
    "journey": "cancel",
    "dry_run": None,
    "batch_id": None,
    "callback_url": None,
    "status": "in_progress",
    "steps": ["look_up", "preview", "refund", "confirm"],
    "done_steps": [],
    "next_step": "look_up",
    "quotes": [],
    "preview": None,
    "refund": {"mode": "wait", "amount": None, "currency": None, "reference": None, "reported_at": None},
    "claim": {"id": None, "reference": None, "status": None, "milestones": []},
    "attempts": 0,
    "next_attempt_at": _ACCEPTED_AT,
    "problem": None,
    "metadata": {"order": "A-1001"},
    "created_at": _ACCEPTED_AT,
    "updated_at": _ACCEPTED_AT,
    "completed_at": None,
}
_AWAITING_REFUND = _ACCEPTED | {
    "status": "awaiting_refund",
    "done_steps": ["look_up", "preview"],
    "next_step": "refund",
    "quotes": [
        {
            "id": "201eb11b-4494-40e8-97fa-e107c76501bf",
            "reason_for_cancellation": "No longer travelling",
            "refund": "22.40",
        },
    ],
    "preview": {
        "cancellation_id": "90o3N-fIexx-Zw2bd-CCL",
        "total_refund": "22.40",
        "currency": "EUR",
        "confirm_before": "2026-11-21T12:56:03.228699Z",
    },
    "next_attempt_at": None,
    "updated_at": _PREVIEWED_AT,
}
_REPORTED = _AWAITING_REFUND | {
    "status": "in_progress",
    "done_steps": ["look_up", "preview", "refund"],
    "next_step": "confirm",
    "refund": {
        "mode": "wait",
        "amount": "22.40",
        "currency": "EUR",
        "reference": "re_123",
        "reported_at": _REPORTED_AT,
    },
    "next_attempt_at": _REPORTED_AT,
    "updated_at": _REPORTED_AT,
}
_NEEDS_REVIEW = _REPORTED | {
    "status": "needs_review",
    "attempts": 1,
    "next_attempt_at": None,
    "problem": {
        "type": "/problems/outcome-unsettled",
        "title": "It could not be told whether the insurer acted",
        "status": 502,
        "detail": "The booking shows some of the policies as cancelled and some as not.",
    },
}
_ABORTED = _AWAITING_REFUND | {"status": "aborted", "next_step": None}
_CLOSED = _NEEDS_REVIEW | {"status": "closed", "next_step": None}
_CALLBACK: dict[str, Any] = {
    "id": "01a1fdf5-391c-74ca-a557-55d42c5b13aa",
    "sequence": 1,
    "type": "cancellation.awaiting_refund",
    "payload": {
        "type": "cancellation.awaiting_refund",
        "timestamp": _PREVIEWED_AT,
        "data": {
            "cancellation_id": _ID,
            "idempotency_key": "order-A-1001",
            "booking_id": BOOKING,
            "sequence": 1,
            "status": "awaiting_refund",
            "next_step": "refund",
            "milestone": None,
        },
    },
    "status": "delivered",
    "created_at": _PREVIEWED_AT,
    "tries": 1,
    "next_attempt_at": None,
    "delivered_at": "2026-11-21T11:56:03.512000Z",
    "given_up_at": None,
    "last_status": 204,
    "last_error": None,
}
_CALLBACKS: dict[str, Any] = {
    "url": "https://hooks.example.com/cancellations",
    "failing_since": None,
    "disabled_at": None,
    "items": [_CALLBACK],
}
_SUMMARY: dict[str, Any] = {
    "id": _BATCH,
    "idempotency_key": "show-4711",
    "partner": "ABCDE",
    "name": "show-4711.csv",
    "status": "open",
    "expected": 20000,
    "created_at": _ACCEPTED_AT,
    "updated_at": _ACCEPTED_AT,
}
_COUNTS = {
    **dict.fromkeys(("in_progress", "awaiting_refund", "awaiting_premium_refund", "completed"), 0),
    **dict.fromkeys(("rejected", "aborted", "needs_review", "closed"), 0),
}
_BATCH_SHOWN = _SUMMARY | {"lines": 1, "waiting": 1, "counts": _COUNTS | {"in_progress": 1}}
_TAKEN: dict[str, Any] = {
    "accepted": 1,
    "repeated": 0,
    "refused": [
        {
            "line": 2,
            "idempotency_key": "ticket-2",
            "problem": {
                "type": "/problems/idempotency-key-reused",
                "title": "The Idempotency-Key was used before with another body",
                "status": 422,
                "detail": "This key stands for a request with another body; use a new key for a new request.",
                "id": "01a1fdf5-38c3-747f-a5f2-050133c82f0b",
            },
        }
    ],
    "ids": [_ID, None],
}
_ARRIVAL: dict[str, Any] = {
    "id": _WEBHOOK,
    "source": "xclaim",
    "received_at": "2026-11-21T12:11:24.288000Z",
    "event": "claim.updated",
    "claim": "FAGMD-TSDY4-CLA",
    "cancellation_id": _ID,
    "booking_id": BOOKING,
    "key_id": "2db35aa6fad6",
    "outcome": "applied",
    "verdict": "XClaim shows the claim as Claim Paid",
    "handled_at": "2026-11-21T12:11:24.301000Z",
    "tries": 1,
    "next_attempt_at": None,
    "replays": 0,
}
_REPLAY: dict[str, Any] = {
    "dry_run": False,
    "matched": 1,
    "replayed": 1,
    "waiting": 0,
    "in_hand": 0,
    "forecast": None,
    "items": [_ARRIVAL | {"outcome": "waiting", "handled_at": None, "verdict": None, "replays": 1}],
    "next_cursor": None,
}

ANSWERS: Examples = {
    "accepted": {"summary": "Accepted; nothing is done yet", "value": _ACCEPTED},
    "awaiting_refund": {"summary": "Previewed; refund the customer and report it", "value": _AWAITING_REFUND},
    "refund_reported": {"summary": "Reported; to be confirmed next", "value": _REPORTED},
    "needs_review": {"summary": "A person must decide", "value": _NEEDS_REVIEW},
    "aborted": {"summary": "Taken back", "value": _ABORTED},
    "closed": {"summary": "Ended by an operator", "value": _CLOSED},
    "page_of_cancellations": {
        "summary": "One cancellation, and more to come",
        "value": {"items": [_AWAITING_REFUND], "next_cursor": "AaIBITjncwmy-g8JT4uZoA"},
    },
    "why": {
        "summary": "It waits for its caller",
        "value": {
            "id": _ID,
            "status": "awaiting_refund",
            "why": "It waits for its caller to report that the customer got 22.40 EUR back, since 2026-11-21 11:56:03 "
            "UTC (2 min). If nothing is reported by 2026-12-05 11:56:03 UTC, a person must decide.",
        },
    },
    "timeline": {
        "summary": "Accepted, then previewed",
        "value": {
            "items": [
                {
                    "kind": "transition",
                    "at": _ACCEPTED_AT,
                    "event": "accepted",
                    "from_status": None,
                    "to_status": "in_progress",
                    "from_step": None,
                    "to_step": "look_up",
                    "actor": "caller:shop",
                    "reason": "accepted",
                    "details": {},
                },
                {
                    "kind": "call",
                    "at": _PREVIEWED_AT,
                    "step": "preview",
                    "round": 1,
                    "key": "2646cfc8-b67e-5091-bb98-47232b5b0996",
                    "attempts": 1,
                    "outcome": "done",
                    "is_doubtful": False,
                    "first_sent_at": _PREVIEWED_AT,
                    "last_sent_at": _PREVIEWED_AT,
                    "request": {},
                    "answer_status": 200,
                    "answer": None,
                },
            ]
        },
    },
    "callbacks": {"summary": "One message, delivered", "value": _CALLBACKS},
    "callbacks_replayed": {"summary": "Nothing was left to send", "value": _CALLBACKS | {"replayed": 0}},
    "batch_opened": {"summary": "One line stored, one refused", "value": _BATCH_SHOWN | {"taken": _TAKEN}},
    "batch": {"summary": "One line, not begun", "value": _BATCH_SHOWN},
    "page_of_batches": {"summary": "The only batch", "value": {"items": [_SUMMARY], "next_cursor": None}},
    "lines_taken": {"summary": "One line stored, one refused", "value": _TAKEN},
    "page_of_webhooks": {"summary": "The only webhook", "value": {"items": [_ARRIVAL], "next_cursor": None}},
    "webhook": {
        "summary": "With its body",
        "value": _ARRIVAL
        | {
            "replayed_at": None,
            "replayed_by": None,
            "headers": {"content-type": "application/json", "content-length": "106"},
            "digest": "b5980cc5114713ec074132c94a722610c2f9ce4302b65eff5c76ac0fa70c4c5b",
            "deliveries": 1,
            "body": {"event": "claim.updated", "payload": {"id": "c-1", "status": {"category": "Claim Paid"}}},
        },
    },
    "replayed": {"summary": "One webhook is handled again", "value": _REPLAY},
    "webhook_keys": {
        "summary": "One key, in use",
        "value": {
            "items": [
                {
                    "partner": "ABCDE",
                    "source": "xclaim",
                    "key_id": "2db35aa6fad6",
                    "position": 1,
                    "first_used_at": None,
                    "last_used_at": None,
                    "events": 0,
                    "open_claims": 0,
                    "said": "in use for new claims; nothing signed with it yet",
                }
            ]
        },
    },
    "webhook_tallies": {
        "summary": "Two that nobody we know has signed",
        "value": {
            "items": [
                {
                    "hour": "2026-11-21T11:00:00.000000Z",
                    "source": "xclaim",
                    "verdict": "not_verified",
                    "key_id": None,
                    "count": 2,
                    "last_at": "2026-11-21T11:58:41.221000Z",
                    "sample": {"why": "no key matches", "content-length": "106"},
                }
            ],
            "is_complete": True,
        },
    },
}
