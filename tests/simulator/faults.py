"""What can go wrong on the way, asked for per booking: which request it hits and what happens to it.

instead of an answer, unseen by the insurer   throttle locked drop_before redirect not_json
the insurer fails before acting               refuse error_before
it acts, and the answer suffers               slow act_then_drop act_then_error garbled
                                              without_cancellation_id with_errors empty
until a test lets it go on, it waits          hold_before hold_after (it acts): `status` is then told instead
a webhook suffers                             twice late out_of_order before_answer dropped bad_signature
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from tests.simulator.answers import Answer, lost, throttled

ON = Literal[
    "get_booking",
    "preview",
    "confirm",
    "cancel",
    "eligibility",
    "create_claim",
    "get_claim",
    "list_claims",
    "refund",
    "webhook",
]
ANSWER_FAULTS = {
    "throttle",
    "locked",
    "drop_before",
    "redirect",
    "not_json",
    "refuse",
    "error_before",
    "slow",
    "hold_before",
    "hold_after",
    "act_then_drop",
    "act_then_error",
    "garbled",
    "without_cancellation_id",
    "with_errors",
    "empty",
}
WEBHOOK_FAULTS = {"twice", "late", "out_of_order", "before_answer", "dropped", "bad_signature"}
REFUSAL = {"type": "validation_error", "message": "An API error occurred.", "errors": ["Refused by a fault"]}
PAGE = b"<!doctype html><title>Just a moment</title><p>Checking your connection.</p>"


class Fault(BaseModel):
    """`times` counts down; the first fault of a booking that fits a request is the one that hits it."""

    model_config = ConfigDict(extra="forbid")

    on: ON
    do: str
    times: int = 1
    seconds: float = 1.0
    status: int | None = None
    body: Any = None
    retry_after: int | None = None

    @model_validator(mode="after")
    def is_known(self) -> "Fault":
        known = WEBHOOK_FAULTS if self.on == "webhook" else ANSWER_FAULTS
        if self.do not in known:
            raise ValueError(f"no fault {self.do!r} on {self.on!r}; there are {sorted(known)}")
        return self


def take(faults: list[Fault], on: str, only: str | None = None) -> Fault | None:
    """Use up one time of the first fault that fits."""
    for fault in faults:
        is_early = fault.do == "before_answer"  # taken by name alone, when the claim is created
        if fault.on == on and fault.times > 0 and (fault.do == only if only else not is_early):
            fault.times -= 1
            return fault
    return None


def instead(fault: Fault | None, path: str) -> Answer | None:
    """The answer of whatever stands between the caller and the insurer."""
    if fault is None:
        return None
    answers = {
        "throttle": throttled(fault.retry_after),
        "locked": Answer(423, {"type": "api_error", "message": "Locked"}),
        "drop_before": lost(),
        "redirect": Answer(301, {}, {"Location": f"/moved{path}"}),
        "not_json": Answer(200, PAGE),
    }
    return answers.get(fault.do)


def failure(fault: Fault | None) -> Answer | None:
    """The insurer's own failure before it acts; a key may remember it."""
    if fault is None:
        return None
    if fault.do == "refuse":
        return Answer(fault.status or 422, REFUSAL if fault.body is None else fault.body)
    if fault.do == "error_before":
        return Answer(fault.status or 503, {} if fault.body is None else fault.body)
    return None


def rewrite(fault: Fault | None, answer: Answer) -> Answer:
    """What the insurer itself says wrongly; a key remembers this version."""
    if fault is None or not isinstance(answer.body, dict):
        return answer
    if fault.do == "without_cancellation_id" and "cancellation_id" in answer.body:
        return Answer(answer.status, {**answer.body, "cancellation_id": None}, answer.headers)
    if fault.do == "with_errors":
        body = {**answer.body, "errors": {"0": {"message": "Quote failed", "type": "quote_failure"}}}
        return Answer(answer.status, body, answer.headers)
    if fault.do == "empty":
        return Answer(answer.status, {"data": []}, answer.headers)
    return answer


def gateway_error(fault: Fault | None) -> Answer | None:
    """What a caller is told about work that was done."""
    if fault is None or not (fault.do == "act_then_error" or (fault.do == "hold_after" and fault.status)):
        return None
    return Answer(fault.status or 502, {} if fault.body is None else fault.body)


def on_the_way_back(fault: Fault | None, answer: Answer, text: bytes) -> Answer:
    if fault is None:
        return answer
    if fault.do == "act_then_drop":
        return lost()
    if fault.do == "garbled":
        return Answer(answer.status, text[: len(text) // 2], {"Content-Type": "application/json"})
    return gateway_error(fault) or answer
