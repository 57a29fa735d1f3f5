"""Bulk actions, pauses and the audit log in words: what each route takes and answers. For operators and viewers."""

from typing import Any

from webhook_gateway.openapi_examples import Examples
from webhook_gateway.openapi_parts import BODY, answer, operation, query_parameters
from webhook_gateway.steering_resources import AuditQuery

TAG = "Steering"

_ID = "01a1fdf5-fd9d-750d-bdfb-9093fdd6406a"
_BULK: dict[str, Any] = {
    "action": "retry",
    "dry_run": True,
    "touched": 1,
    "is_capped": False,
    "done": 0,
    "left": 1,
    "by_status": {"needs_review": 1},
    "by_step": {"preview": 1},
    "by_problem": {"credentials-refused": 1},
    "refused": [{"reason": "The cancellation is needs_review without a step to try: resolve it.", "count": 2}],
    "first_ids": [_ID],
}
_PAUSE: dict[str, Any] = {
    "partner": "ABCDE",
    "step": None,
    "paused_at": "2026-11-21T11:56:03.138000Z",
    "paused_by": "operator:anna",
    "note": "XCover changes this partner's keys",
}
_ENTRY: dict[str, Any] = {
    "id": "01a1fe03-393e-71ad-9c94-f983937d09ef",
    "at": "2026-11-21T11:58:41.221000Z",
    "actor": "operator:anna",
    "action": "bulk_retry",
    "cancellation_id": None,
    "note": "the keys are changed",
    "details": {"meant": {"problem": "credentials-refused"}, "touched": 1},
}

ANSWERS: Examples = {
    "bulk_told": {"summary": "What a press would do", "value": _BULK},
    "bulk_done": {"summary": "What a press did", "value": _BULK | {"dry_run": False, "done": 1, "left": 0}},
    "pauses": {"summary": "One partner is paused", "value": {"items": [_PAUSE]}},
    "audit_log": {"summary": "The only press", "value": {"items": [_ENTRY], "next_cursor": None}},
}
BULK: Examples = {
    "dry_run": {
        "summary": "What a retry of all with a problem would do",
        "value": {"action": "retry", "problem": "credentials-refused"},
    },
    "deed": {
        "summary": "Do it, to no more than were told",
        "value": {
            "action": "retry", "problem": "credentials-refused", "dry_run": False, "at_most": 0,
            "note": "the keys are changed",
        },
    },
}  # fmt: skip
PAUSES: Examples = {
    "everything": {"summary": "Everything", "value": {"everything": True, "note": "looking into it"}},
    "a_step": {"summary": "One step of every partner", "value": {"step": "confirm"}},
}


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    return {**_bulk(), **_pauses(), **_audit()}


def _bulk() -> dict[str, Any]:
    return {
        "/v1/cancellations/bulk": {
            "post": operation(
                "steerCancellations",
                "Retry, hurry or abort many (operators)",
                "Those that every given filter fits; at least one must be given. Only tells what would happen unless "
                "`dry_run` is false; then send `touched` back as `at_most`: where it would be more by now, nothing is "
                "done. Small transactions, each row by the rules of a single one: repeat it while `left` is not 0.",
                tag=TAG,
                parameters=[],
                body=("BulkBody", BULK),
                answers={"200": answer("What would be done, or was", "Bulk", "bulk_told", "bulk_done")},
                refusals=("operators-only", *BODY, "more-than-shown"),
            )
        }
    }


def _pauses() -> dict[str, Any]:
    in_force = {"200": answer("Every pause in force", "Pauses", "pauses")}
    return {
        "/v1/pauses": {
            "get": operation(
                "listPauses",
                "Show what is paused (operators, viewers)",
                "The oldest first.",
                tag=TAG,
                parameters=[],
                answers=in_force,
                refusals=("operators-only",),
            ),
            "post": operation(
                "pause",
                "Pause everything, a partner, or a step (operators)",
                "What is named is not begun any more; what is in hand ends first. Reports and webhooks are still "
                "taken. Repeating it changes nothing.",
                tag=TAG,
                parameters=[],
                body=("PauseBody", PAUSES),
                answers=in_force,
                refusals=("operators-only", *BODY),
            ),
        },
        "/v1/pauses/resume": {
            "post": operation(
                "resume",
                "Take one pause back (operators)",
                "Exactly the one that is named: another one that is wider stays. Repeating it changes nothing.",
                tag=TAG,
                parameters=[],
                body=("PauseBody", PAUSES),
                answers=in_force,
                refusals=("operators-only", *BODY),
            )
        },
    }


def _audit() -> dict[str, Any]:
    return {
        "/v1/audit": {
            "get": operation(
                "listPresses",
                "Show who pressed what (operators, viewers)",
                "Newest first; one entry for each press, which nobody can change or remove.",
                tag=TAG,
                parameters=query_parameters(AuditQuery),
                answers={"200": answer("A page", "AuditLog", "audit_log")},
                refusals=("operators-only", "invalid-parameter"),
            )
        }
    }
