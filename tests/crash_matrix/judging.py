"""What must be true of a case however its process died; each check tells what it found."""

from itertools import pairwise

from shared.lifecycle import UNFINISHED, Status, Step, check_transition
from tests.crash_matrix.boundaries import Boundary
from tests.crash_matrix.cases import HONOURED, Case, Death
from tests.crash_matrix.evidence import Evidence
from tests.crash_matrix.web_runs import WebCase

DEEDS = {
    "look_up": {"cancelled": 1},
    "preview": {"cancelled": 1},
    "refund-wait": {"cancelled": 1},
    "refund-skip": {"cancelled": 1},
    "refund-call": {"cancelled": 1, "refunded": 1},
    "confirm": {"cancelled": 1},
    "cancel": {"cancelled": 1},
    "claim": {"claimed": 1},
    "await_premium_refund": {"cancelled": 1, "claimed": 1},
    "webhook-event": {"cancelled": 1, "claimed": 1},
    "webhook-answer": {"claimed": 1},
    "cancellations.request": {"cancelled": 1},
    "cancellations.report_refund": {"cancelled": 1},
    "cancellations.abort": {},
    "sweep": {"cancelled": 1},
}
"""What the insurer and the partner have done in the end: exactly so often."""
KINDS = {"cancelled": ("confirm", "cancel"), "claimed": ("claim",), "refunded": ("refund", "refund_promised")}
LOST_WITH_ITS_PROCESS = frozenset({Boundary.INSURER_ACTED, Boundary.ANSWERED, Boundary.COMMITTING})
"""Where nobody but the process that died had the insurer's answer."""


def expected_ending(case: Case) -> tuple[Status, str | None]:
    """Return how a case ends: its status and, where a person must decide, the problem's name."""
    if case.place.name == "cancellations.abort":
        return Status.ABORTED, None
    if case.place.name == "cancel" and _is_refund_lost(case):
        return Status.NEEDS_REVIEW, "refund-unknown"
    return Status.COMPLETED, None


def judge(case: Case, found: Evidence) -> list[str]:
    """Return everything that is wrong with what is left of a case."""
    if not found.has_died:
        return ["its boundary was never reached"]
    if found.row is None:
        return ["it is lost: there is no row"]
    wrong = [
        *_ended_as(found, *expected_ending(case)),
        *_story(found),
        *_done_exactly(found, DEEDS[case.place.name]),
        *_calls(case, found),
        *_hands(found),
    ]
    if case.death is Death.STOPPED:
        wrong += _late_return(found)
    if case.death is Death.TERMINATED:
        wrong += _polite_end(found)
    return wrong


WEB_DEEDS = {
    "abort": {},
    "webhook": {"cancelled": 1, "claimed": 1},
    "webhook-bare": {"cancelled": 1, "claimed": 1},
    "booking-hint": {},
}
WEB_ENDINGS: dict[str, tuple[Status, str | None]] = {
    "abort": (Status.ABORTED, None),
    "booking-hint": (Status.NEEDS_REVIEW, "cancelled-by-someone-else"),
}
"""How a request's cancellation ends, with the problem's name, where it is not completed."""
ONCE = {"refund": "refund_reported", "abort": "aborted", "resolve": "resolved", "accept": "accepted"}
"""The line of the timeline that a request leaves, however often it is sent."""


def judge_web(case: WebCase, found: Evidence, statuses: tuple[int, ...]) -> list[str]:
    """Return everything that is wrong with what is left after the gateway's process died."""
    if not found.has_died:
        return ["its boundary was never reached"]
    if found.row is None:
        return ["it is lost: there is no row"]
    wrong = [
        *_ended_as(found, *WEB_ENDINGS.get(case.story, (Status.COMPLETED, None))),
        *_story(found),
        *_done_exactly(found, WEB_DEEDS.get(case.story, {"cancelled": 1})),
        *_hands(found),
    ]
    line = ONCE.get(case.story)
    times = sum(entry.event == line for entry in found.transitions)
    if line is not None and times != 1:
        wrong.append(f"{line} {times} times")
    if statuses[-1] not in {200, 202, 409} or (case.story in {"accept", "refund", "abort"} and statuses[-1] == 409):
        wrong.append(f"its caller was answered {statuses}")
    if case.death is Death.TERMINATED and statuses[0] not in {200, 202}:
        wrong.append(f"its caller was not answered by the process that was asked to stop: {statuses}")
    if case.death is Death.STOPPED:
        wrong += _late_return(found)
    return wrong


def _is_refund_lost(case: Case) -> bool:
    """cancel_now's answer alone tells the refund; it can be had again only under a key that replays it."""
    if case.answers_error:
        return True
    if case.death is Death.TERMINATED or case.mode != "ignored":
        return False
    return case.boundary is Boundary.REQUEST_LEFT or case.boundary in LOST_WITH_ITS_PROCESS


def _ended_as(found: Evidence, status: Status, slug: str | None) -> list[str]:
    row = found.row
    assert row is not None
    problem = (row.problem or {}).get("type", "").rpartition("/")[2] or None
    wrong = []
    if (row.status, problem) != (status, slug):
        wrong.append(f"it ended as {row.status} ({problem}), not as {status} ({slug}); next is {row.next_step}")
    if row.status in UNFINISHED or row.next_attempt_at is not None or row.lease_until is not None:
        wrong.append(f"it is still in progress: next at {row.next_attempt_at}, lease until {row.lease_until}")
    undone = [delivery.verdict for delivery in found.deliveries if delivery.handled_at is None]
    if undone:
        wrong.append(f"its webhook is not handled: {undone}")
    return wrong


def _story(found: Evidence) -> list[str]:
    """Every line goes on where the one before it ended, is allowed, and no step is done twice."""
    row, wrong = found.row, []
    assert row is not None
    for before, after in pairwise(found.transitions):
        if (before.to_status, before.to_step) != (after.from_status, after.from_step):
            wrong.append(f"{after.event} goes on from {after.from_step}, but {before.event} led to {before.to_step}")
    for line in found.transitions:
        if line.from_status is not None and line.from_status != line.to_status:
            check_transition(Status(line.from_status), Status(line.to_status))
    if len(set(row.done_steps)) != len(row.done_steps):
        wrong.append(f"a step is done twice: {row.done_steps}")
    if row.status == Status.COMPLETED and row.done_steps != row.steps:
        wrong.append(f"completed with {row.done_steps} of {row.steps}")
    if found.transitions and found.transitions[-1].to_status != row.status:
        wrong.append(f"its story ends as {found.transitions[-1].to_status}, its row is {row.status}")
    for step in row.done_steps:
        leaving = [line for line in found.transitions if line.from_step == step and line.to_step != step]
        if len(leaving) != 1 and not any(line.event == "preview_renewed" for line in found.transitions):
            wrong.append(f"{step} was left {len(leaving)} times")
    return wrong


def _done_exactly(found: Evidence, expected: dict[str, int]) -> list[str]:
    done = {what: found.count(*kinds) for what, kinds in KINDS.items()}
    return [
        f"{what} {times} times, not {expected.get(what, 0)}"
        for what, times in done.items()
        if times != expected.get(what, 0)
    ]


def _calls(case: Case, found: Evidence) -> list[str]:
    wrong = []
    rounds = {call.round for call in found.calls if call.step == Step.PREVIEW}
    previews = found.count("preview")
    if case.mode == HONOURED and previews > len(rounds):
        wrong.append(f"previewed {previews} times in {len(rounds)} rounds although keys are honoured")
    if len({call.key for call in found.calls}) != len(found.calls):
        wrong.append("one key stands for two calls")
    unsettled = [call.step for call in found.calls if call.outcome in {"sent", "unknown"} or call.must_read_back]
    if unsettled and found.row is not None and found.row.status == Status.COMPLETED:
        wrong.append(f"completed with calls whose outcome is open: {unsettled}")
    return wrong


def _hands(found: Evidence) -> list[str]:
    """A policy stays in hand once something irreversible was done, and is free after an abort."""
    row = found.row
    assert row is not None
    expected = [] if row.status == Status.ABORTED else found.quotes
    return [] if found.held_policies == expected else [f"in hand are {found.held_policies}, not {expected}"]


def _late_return(found: Evidence) -> list[str]:
    if found.before is None:
        return ["its process was never continued"]
    if found.before.summary() != found.summary():
        return [f"the process that came back changed {found.before.summary()} to {found.summary()}"]
    return []


def _polite_end(found: Evidence) -> list[str]:
    """A worker that was asked to stop has ended the step in hand when it is gone."""
    if found.before is None:
        return ["its worker was never stopped"]
    return [] if found.before.has_ended else ["its step was left in the middle"]
