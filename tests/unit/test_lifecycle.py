"""Journeys, statuses and what may follow what, against the tables written out from what is promised."""

import pytest

from shared.lifecycle import (
    ALLOWED,
    DRY_RUN,
    TASK_OF,
    UNFINISHED,
    ClaimWhen,
    IllegalTransition,
    Journey,
    Status,
    Step,
    TaskName,
    check_transition,
    is_claim_first,
    next_step,
    steps_of,
)
from shared.models import STATUSES, STEPS
from workers.app import app

PROMISED_STEPS = {
    ("cancel", False): "look_up preview refund confirm",
    ("cancel", True): "look_up preview refund confirm",
    ("cancel_and_claim", False): "look_up preview refund confirm claim",
    ("cancel_and_claim", True): "look_up preview claim refund confirm",
    ("claim", False): "look_up claim",
    ("cancel_now", False): "look_up cancel",
    ("claim_then_cancel", False): "look_up claim await_premium_refund preview refund confirm",
}

MAY_BECOME = {
    # a step ends, waits, is refused, is taken back or needs a person
    "in_progress": {
        *("in_progress", "awaiting_refund", "awaiting_premium_refund"),
        *("completed", "rejected", "aborted", "needs_review"),
    },
    # the report comes or the offer is renewed; the caller takes it back; nobody reports in time; an operator ends it
    "awaiting_refund": {"awaiting_refund", "in_progress", "aborted", "needs_review", "closed"},
    # the milestone comes; the claim goes another way, or nowhere; past the point of no return nobody takes it back
    "awaiting_premium_refund": {"awaiting_premium_refund", "in_progress", "needs_review", "closed"},
    # retry or resolve; abort before the point of no return; more evidence for the person
    "needs_review": {"in_progress", "completed", "aborted", "needs_review", "closed"},
    # money reported as paid after the end, or once more
    "completed": {"needs_review"},
    "rejected": {"needs_review"},
    "aborted": {"needs_review"},
    "closed": {"needs_review"},
}


@pytest.mark.parametrize(("journey", "claim_first"), PROMISED_STEPS)
def test_a_journey_has_the_promised_steps_in_order(journey: str, claim_first: bool) -> None:
    assert list(steps_of(Journey(journey), claim_first=claim_first)) == PROMISED_STEPS[journey, claim_first].split()


@pytest.mark.parametrize("journey", Journey)
def test_a_dry_run_ends_before_anything_is_changed_at_the_insurer(journey: Journey) -> None:
    steps = steps_of(journey, dry_run=True)

    assert list(steps) == (["look_up"] if journey is Journey.CLAIM else ["look_up", "preview"])
    assert DRY_RUN not in {each.value for each in Journey}  # a row that only asked is never taken for another


@pytest.mark.parametrize("journey", Journey)
def test_a_journey_is_one_of_the_promised(journey: Journey) -> None:
    assert (journey.value, False) in PROMISED_STEPS


@pytest.mark.parametrize(("journey", "claim_first"), PROMISED_STEPS)
def test_the_next_step_is_the_first_that_is_not_done(journey: str, claim_first: bool) -> None:
    steps = steps_of(Journey(journey), claim_first=claim_first)
    taken: list[str] = []
    while (step := next_step(steps, taken)) is not None:
        taken.append(step)

    assert taken == list(steps)


@pytest.mark.parametrize(
    ("steps", "done", "following"),
    [
        ("look_up preview claim refund confirm", "look_up claim", "preview"),  # previewed again: the claim stays done
        ("look_up preview claim refund confirm", "look_up claim preview", "refund"),
        ("look_up preview refund confirm claim", "look_up refund", "preview"),
        ("look_up preview refund confirm", "confirm refund preview look_up", None),
        ("look_up preview refund confirm", "", "look_up"),
        ("", "", None),
    ],
)
def test_the_next_step_does_not_mind_the_order_of_what_is_done(steps: str, done: str, following: str | None) -> None:
    assert next_step(steps.split(), done.split()) == following


@pytest.mark.parametrize(
    ("when", "claimed", "cancelled", "claim_first"),
    [
        (ClaimWhen.AUTO, "a", ["a"], True),
        (ClaimWhen.AUTO, "a", ["b", "a"], True),
        (ClaimWhen.AUTO, "a", ["b"], False),
        (ClaimWhen.AUTO, "a", [], False),
        (ClaimWhen.BEFORE_CONFIRM, "a", ["b"], True),
        (ClaimWhen.BEFORE_CONFIRM, "a", ["a"], True),
        (ClaimWhen.AFTER_CONFIRM, "a", ["a"], False),
        (ClaimWhen.AFTER_CONFIRM, "a", ["b"], False),
    ],
)
def test_a_policy_that_is_itself_cancelled_is_claimed_first_unless_the_caller_says(
    when: ClaimWhen, claimed: str, cancelled: list[str], claim_first: bool
) -> None:
    assert is_claim_first(when, claimed_quote=claimed, cancelled_quotes=cancelled) is claim_first


@pytest.mark.parametrize("current", Status)
@pytest.mark.parametrize("new", Status)
def test_a_status_follows_another_only_where_the_table_says(current: Status, new: Status) -> None:
    if new in MAY_BECOME[current]:
        check_transition(current, new)
        return
    with pytest.raises(IllegalTransition) as refused:
        check_transition(current, new)
    assert current.value in str(refused.value)
    assert new.value in str(refused.value)


def test_every_status_has_its_line_in_the_table() -> None:
    assert set(ALLOWED) == set(Status)
    assert set(MAY_BECOME) == {status.value for status in Status}


def test_the_service_takes_nothing_up_again_that_has_ended() -> None:
    for ended in (Status.COMPLETED, Status.REJECTED, Status.ABORTED, Status.CLOSED):
        assert ALLOWED[ended] == {Status.NEEDS_REVIEW}


def test_the_service_acts_by_itself_only_while_something_is_left_to_do() -> None:
    assert {"in_progress", "awaiting_refund", "awaiting_premium_refund"} == UNFINISHED


@pytest.mark.parametrize("status", Status)
def test_the_table_can_hold_every_status(status: Status) -> None:
    assert status.value in STATUSES


@pytest.mark.parametrize("step", Step)
def test_the_table_can_hold_every_step(step: Step) -> None:
    assert step.value in STEPS


@pytest.mark.parametrize("step", Step)
def test_every_step_has_a_task_of_its_own_that_a_worker_knows(step: Step) -> None:
    app.loader.import_default_modules()

    assert TASK_OF[step].value in app.tasks
    assert len(set(TASK_OF.values())) == len(Step)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (TaskName.LOOK_UP, "cancellation.look_up"),
        (TaskName.PREVIEW, "cancellation.preview"),
        (TaskName.REFUND, "cancellation.refund"),
        (TaskName.CONFIRM, "cancellation.confirm"),
        (TaskName.CANCEL, "cancellation.cancel"),
        (TaskName.CLAIM, "claim.submit"),
        (TaskName.HANDLE_WEBHOOK, "webhook.handle"),
        (TaskName.POLL_CLAIM, "claim.poll"),
        (TaskName.REQUEST, "cancellations.request"),
        (TaskName.REPORT_REFUND, "cancellations.report_refund"),
        (TaskName.ABORT, "cancellations.abort"),
    ],
)
def test_a_task_has_the_name_that_is_promised(task: TaskName, name: str) -> None:
    assert task.value == name
