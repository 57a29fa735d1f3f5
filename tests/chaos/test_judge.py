"""The judge of a run: it must see each thing that must not happen, or its silence means nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.jobs import KINDS, Job
from tests.chaos.judge import Evidence, Row, Verdict, claimed_anew, hasty, judge, true_time

BEGUN = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOOKING, QUOTE = "CHAOS-00001-INS", "q-1"


def job(kind: str = "cancel, skip", **more: Any) -> Job:
    (found,) = (one for one in KINDS if one.name == kind)
    return Job(kind=found, key="k-1", booking_id=BOOKING, body={}, door="http", **{"id": "id-1", **more})


def row(status: str = "completed", **more: Any) -> Row:
    values: dict[str, Any] = {
        "id": "id-1", "key": "k-1", "status": status, "journey": "cancel", "steps": [], "next_step": None,
        "problem": None, "abandoned": 0, "quotes": [QUOTE], "created_at": BEGUN,
        "updated_at": BEGUN + timedelta(seconds=60),
    }  # fmt: skip
    return Row(**{**values, **more})


def effect(kind: str, *, after: float = 30, **more: Any) -> dict[str, Any]:
    at = (BEGUN + timedelta(seconds=after)).isoformat()
    return {"kind": kind, "booking": BOOKING, "quotes": [QUOTE], "cancellation": "id-1", "at": at, **more}


def verdict(
    one: Job,
    *rows: Row,
    effects: Sequence[Mapping[str, Any]] = (),
    jumps: Sequence[tuple[float, float]] = (),
    requests: Sequence[Mapping[str, Any]] = (),
    down: Sequence[tuple[float, float]] = (),
    unfinished: Sequence[str] = (),
) -> Verdict:
    return judge(
        Evidence(
            jobs=[one],
            rows={found.id: found for found in rows},
            effects=effects,
            jumps=jumps,
            requests=lambda booking: requests,
            process_faults=down,
            unfinished=unfinished,
        )
    )


def test_a_completed_one_with_its_one_effect_is_as_it_should_be() -> None:
    found = verdict(job(), row(), effects=[effect("confirm")])

    assert (found.findings, found.ended) == (0, {"completed": 1})


def test_an_accepted_one_without_a_row_is_lost() -> None:
    assert len(verdict(job()).lost) == 1


def test_a_row_under_another_key_is_not_the_accepted_one() -> None:
    assert len(verdict(job(), row(key="another")).lost) == 1


TWICE = [
    ("confirm", "confirm"),
    ("claim", "claim"),
    ("cancel", "confirm"),
    ("refund", "refund"),
    ("refund", "refund_promised"),
]


@pytest.mark.parametrize("kinds", TWICE)
def test_what_is_done_twice_to_a_policy_is_doubled(kinds: tuple[str, str]) -> None:
    assert len(verdict(job(), row(), effects=[effect(kind) for kind in kinds]).doubled) == 1


@pytest.mark.parametrize("status", ["in_progress", "awaiting_refund", "awaiting_premium_refund"])
def test_one_that_has_not_ended_is_stuck(status: str) -> None:
    assert len(verdict(job(), row(status)).stuck) == 1


def test_one_that_ended_too_late_was_stuck() -> None:
    found = verdict(job(), row(), effects=[effect("confirm")], unfinished=["id-1"])

    assert (len(found.stuck), found.ended) == (1, {"completed": 1})


def test_a_completed_one_without_its_effect_was_guessed() -> None:
    assert len(verdict(job(), row()).wrong) == 1


def test_an_aborted_one_with_an_effect_is_wrong() -> None:
    aborted = job("cancel, aborted")

    assert verdict(aborted, row("aborted")).findings == 0
    assert len(verdict(aborted, row("aborted"), effects=[effect("claim")]).wrong) == 1


def test_only_a_rival_may_be_rejected() -> None:
    rejected = row("rejected", problem="already-in-hand")

    assert verdict(job("cancel, two at once"), rejected, effects=[effect("confirm")]).findings == 0
    assert len(verdict(job(), rejected).wrong) == 1


def test_a_confirm_before_the_reported_refund_is_wrong() -> None:
    reported = BEGUN.timestamp() + 20

    assert verdict(job("cancel, wait", reported_at=reported), row(), effects=[effect("confirm")]).findings == 0
    for too_late in (None, reported + 11):
        early = verdict(job("cancel, wait", reported_at=too_late), row(), effects=[effect("confirm")])
        assert early.wrong == [f"{BOOKING} (cancel, wait, id-1) was confirmed before its refund"]


def test_a_confirm_before_the_called_refund_is_wrong() -> None:
    effects = [effect("refund"), effect("confirm")]

    assert verdict(job("cancel, call"), row(), effects=effects).findings == 0
    assert len(verdict(job("cancel, call"), row(), effects=effects[::-1]).wrong) == 1


def test_the_ledgers_time_is_told_from_the_clocks_jumps() -> None:
    jumps = [(BEGUN.timestamp() + 10, 90_000.0), (BEGUN.timestamp() + 20, 260_000.0)]

    for after, offset in ((5, 0), (15, 90_000), (25, 260_000)):
        shown = (BEGUN + timedelta(seconds=after + offset)).isoformat()
        assert true_time(shown, jumps) == BEGUN.timestamp() + after


def test_a_review_is_explained_by_a_fault_that_met_the_job() -> None:
    review = row("needs_review", problem="outcome-unsettled", next_step="claim")

    assert len(verdict(job(), review).wrong) == 1
    assert verdict(job(), review, requests=[{"fault": "act_then_drop"}]).findings == 0
    assert verdict(job(), review, down=[(BEGUN.timestamp() + 1, BEGUN.timestamp() + 2)]).findings == 0
    assert len(verdict(job(), review, down=[(BEGUN.timestamp() + 61, BEGUN.timestamp() + 62)]).wrong) == 1


def test_an_unknown_refund_is_explained_only_by_a_cancel_that_was_done() -> None:
    review, lost = row("needs_review", problem="refund-unknown"), [{"fault": "act_then_drop"}]

    assert verdict(job("cancel now"), review, requests=lost, effects=[effect("cancel")]).findings == 0
    assert len(verdict(job("cancel now"), review, requests=lost).wrong) == 1


def test_another_hand_is_seen_only_where_the_clock_has_jumped() -> None:
    review, lost = row("needs_review", problem="cancelled-by-someone-else"), [{"fault": "act_then_drop"}]

    assert len(verdict(job(), review, requests=lost).wrong) == 1
    assert verdict(job(), review, jumps=[(BEGUN.timestamp() + 10, 90_000.0)]).findings == 0


def test_an_error_nobody_foresaw_is_never_explained() -> None:
    review, lost = row("needs_review", problem="internal-error"), [{"fault": "act_then_drop"}]

    assert len(verdict(job(), review, requests=lost).wrong) == 1


@pytest.mark.parametrize(
    ("status", "apart", "is_hasty"), [(503, 1, True), (None, 1, True), (503, 9, False), (429, 1, False)]
)
def test_a_second_claim_soon_after_an_unknown_outcome_is_a_guess(
    status: int | None, apart: float, is_hasty: bool
) -> None:
    asked: list[Mapping[str, Any]] = [
        {"booking": BOOKING, "at": BEGUN.isoformat(), "status": status},
        {"booking": BOOKING, "at": (BEGUN + timedelta(seconds=apart)).isoformat(), "status": 201},
    ]

    assert bool(hasty(claimed_anew(asked), patience=5)) == is_hasty
