"""/v1/doctor in words: what each route answers."""

from typing import Any

from webhook_gateway.openapi_parts import answer, operation

TAG = "Doctor"
_FOUND = (
    "Each check says `ok`, `warning` or `wrong`, why that matters, what to do, and where the runbook tells it step by "
    "step. What does not answer in time is a finding too."
)

ANSWERS: dict[str, Any] = {
    "examination": {
        "summary": "One thing is wrong",
        "value": {
            "state": "wrong",
            "at": "2026-11-21T11:56:03.138000Z",
            "findings": [
                {
                    "check": "beat",
                    "state": "wrong",
                    "said": "the sweeper has not run since 12 minutes",
                    "why": "Whatever waits for a time, a retry or a lost message is not rung for.",
                    "todo": "Restart beat. A second one by accident does no harm.",
                    "runbook": "docs/runbook.md#beat-stuck",
                },
                {"check": "redis", "state": "ok", "said": "answers", "why": "", "todo": "", "runbook": ""},
            ],
        },
    },
}


def paths() -> dict[str, Any]:
    """Return this part of the `paths` object."""
    found = {"200": answer("What was found", "Examination", "examination")}
    return {
        "/v1/doctor": {
            "get": operation(
                "getExamination",
                "Examine the service (operators, viewers)",
                f"{_FOUND} The insurer's part is as a worker last found it.",
                tag=TAG,
                parameters=[],
                answers=found,
                refusals=("operators-only",),
            ),
            "post": operation(
                "examine",
                "Have the insurer asked, and examine the service (operators)",
                f"{_FOUND} A worker asks the insurer first, one harmless question to each of its services; that takes "
                "some seconds, and is left out where no worker lives.",
                tag=TAG,
                parameters=[],
                answers=found,
                refusals=("operators-only",),
            ),
        }
    }
