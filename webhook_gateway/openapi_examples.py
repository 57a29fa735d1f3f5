"""Bodies to copy, by the name the documentation gives each. A test sends every one to the real door."""

from typing import Any

Examples = dict[str, dict[str, Any]]

BOOKING = "8WD8Y-LTEKE-INS"
_POLICY, _CFAR_POLICY = "201eb11b-4494-40e8-97fa-e107c76501bf", "7b0e7a52-5c0c-4a4c-8d2e-6f3f0a3f5a10"
_FIELDS = [{"name": "claim_details", "fields": [{"name": "reason", "value": "No longer travelling"}]}]
_MORE_FIELDS = [{"name": "claim_details", "fields": [{"name": "incident_date", "value": "2026-01-31"}]}]

REQUESTS: Examples = {
    "cancel": {
        "summary": "Cancel one policy; its refund is reported by the caller",
        "value": {
            "booking_id": BOOKING,
            "journey": "cancel",
            "quotes": [{"id": _POLICY, "reason_for_cancellation": "No longer travelling"}],
            "refund": {"mode": "wait"},
            "metadata": {"order": "A-1001"},
        },
    },
    "cancel_and_claim": {
        "summary": "Cancel the ordinary policies, then claim on the Cancel-For-Any-Reason policy",
        "value": {
            "booking_id": BOOKING,
            "journey": "cancel_and_claim",
            "quotes": [{"id": _POLICY}],
            "refund": {"mode": "wait"},
            "claim": {"quote_id": _CFAR_POLICY, "language": "en", "section_fields": _FIELDS, "when": "auto"},
            "metadata": {"order": "A-1002"},
        },
    },
    "claim": {
        "summary": "Claim only; nothing is cancelled",
        "value": {
            "booking_id": BOOKING,
            "journey": "claim",
            "claim": {"quote_id": _CFAR_POLICY, "section_fields": _FIELDS},
        },
    },
    "cancel_now": {
        "summary": "Cancel at once, without a preview; the refund is settled afterwards",
        "value": {
            "booking_id": BOOKING,
            "journey": "cancel_now",
            "quotes": [{"id": _POLICY, "reason_for_cancellation": "No longer travelling"}],
        },
    },
    "claim_then_cancel": {
        "summary": "Claim; cancel only when the claim reports its Premium Refund",
        "value": {
            "booking_id": BOOKING,
            "journey": "claim_then_cancel",
            "refund": {"mode": "skip"},
            "claim": {"quote_id": _CFAR_POLICY, "section_fields": _FIELDS},
        },
    },
    "shortest": {"summary": "Cancel every policy of the booking", "value": {"booking_id": BOOKING}},
    "dry_run": {
        "summary": "See what it would refund and do; nothing is cancelled",
        "value": {"booking_id": BOOKING, "dry_run": True},
    },
}

REFUNDS: Examples = {
    "report": {
        "summary": "The previewed amount, under the caller's own name for the payment",
        "value": {"amount": "22.40", "currency": "EUR", "reference": "re_123"},
    }
}

RETRIES: Examples = {
    "with_a_note": {"summary": "Say why", "value": {"note": "XCover has fixed the booking, ticket 4711"}}
}

RESOLUTIONS: Examples = {
    "done": {
        "summary": "The refund was paid although no report came",
        "value": {
            "resolution": "done",
            "note": "Found in the payment provider's books",
            "evidence": {"amount": "22.40", "currency": "EUR", "reference": "re_123", "seen_by": "Anna"},
        },
    },
    "not_done": {
        "summary": "The confirm never arrived: send it again under a new key",
        "value": {
            "resolution": "not_done",
            "note": "XCover's support sees no confirm for this booking",
            "evidence": "Ticket 4711: the booking is unchanged",
        },
    },
    "amend": {
        "summary": "Claim again with other fields than the refused ones",
        "value": {
            "resolution": "amend",
            "note": "The claim type wants the incident date",
            "claim": {"section_fields": _MORE_FIELDS},
        },
    },
    "close": {
        "summary": "End it; others may cancel or claim its policies",
        "value": {"resolution": "close", "note": "Settled with the customer by telephone", "free_policies": True},
    },
}

REPLAYS_OF_ONE: Examples = {"at_once": {"summary": "Have it handled again", "value": {"dry_run": False}}}

REPLAYS: Examples = {
    "dry_run": {
        "summary": "What would change if all that were given up for the time being were handled again",
        "value": {"outcome": "kept"},
    },
    "time_range": {
        "summary": "Have everything of one morning handled again",
        "value": {"since": "2026-01-31T06:00:00Z", "until": "2026-01-31T12:00:00Z", "dry_run": False},
    },
}
