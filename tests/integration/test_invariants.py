"""What must always hold: every breach is found, blocked and told once, and nothing that is right is."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete

from shared.clock import utc_now
from shared.invariant_checks import check_all
from shared.invariants import INVARIANTS, MOVING
from shared.lifecycle import ALLOWED, Status
from shared.models import Cancellation, Claim, Reservation
from shared.rulings import Evidence
from tests.breaches import BREACHES, add_call, add_claim, blocks_of, change, check, forget_checks, pair
from tests.every_ending import EARLIER, STATES, write
from tests.gateway import Gateway
from tests.world import World

SEEN = Evidence(stated={"text": "seen at XCover"})
UNPAID = {"claim_closed_unpaid": "2026-01-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def _nothing_is_remembered(broker: str) -> Iterator[None]:
    """Each test's first check knows of none before it."""
    forget_checks()
    yield
    forget_checks()


def problem_of(world: World, row_id: UUID) -> dict[str, Any]:
    found = world.row(row_id).problem
    assert found is not None
    return found


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_found_blocked_told_once_and_exported(world: World, breach: str) -> None:
    name = breach.partition(":")[0]
    bystander = write(world, STATES["completed/-!"])
    concerned = BREACHES[breach](world)

    logs = check()

    assert {UUID(line["cancellation_id"]) for line in logs} == concerned
    assert {(line["log_level"], *line["broken"]) for line in logs} == {("error", name)}
    for row_id in concerned:
        row = world.row(row_id)
        assert (row.status, row.next_attempt_at, row.lease_until) == ("needs_review", None, None)
        assert problem_of(world, row_id)["type"] == "/problems/invariant-broken"
        assert problem_of(world, row_id)["broken"][name]
        (told,) = blocks_of(world, row_id)
        assert (told.to_status, told.details["broken"]) == ("needs_review", problem_of(world, row_id)["broken"])
    assert world.row(bystander).status == "completed"
    metrics = Gateway(world.database).client.get("/metrics").text
    assert f'cfar_invariant_broken{{invariant="{name}"}} {float(len(concerned))}' in metrics

    assert check() == []
    assert [len(blocks_of(world, row_id)) for row_id in concerned] == [1] * len(concerned)


def test_every_invariant_that_blocks_can_be_broken() -> None:
    named = [invariant.name for invariant in INVARIANTS]

    assert {breach.partition(":")[0] for breach in BREACHES} == set(named) - {MOVING}
    assert len(named) == len(set(named))


def test_every_status_may_be_blocked() -> None:
    assert all(Status.NEEDS_REVIEW in ALLOWED[status] for status in Status)


def test_no_state_of_the_contract_breaks_anything(world: World) -> None:
    for state in STATES.values():
        write(world, state)

    assert dict(check_all(world.database)) == {}
    assert check() == []


def test_what_was_looked_at_is_not_blocked_again_whatever_was_decided(world: World) -> None:
    ended, at_work = BREACHES["one_cancel: by one that ended and one at work"](world), set()
    at_work = {row_id for row_id in ended if world.row(row_id).next_step is not None}
    check()

    for row_id in ended - at_work:
        world.resolve(row_id, "done", evidence=SEEN)
    for row_id in at_work:
        world.retry(row_id)

    assert check() == []
    assert {world.row(row_id).status for row_id in ended} == {"completed", "in_progress"}


def test_what_was_closed_after_a_look_stays_closed_and_out_of_the_figures(world: World) -> None:
    (row_id,) = BREACHES["refunded_as_confirmed: another amount"](world)
    check()

    world.resolve(row_id, "close")

    assert check() == []
    assert world.row(row_id).status == "closed"
    metrics = Gateway(world.database).client.get("/metrics").text
    assert 'cfar_invariant_broken{invariant="refunded_as_confirmed"} 0.0' in metrics


def test_closing_frees_what_was_held_for_nothing(world: World) -> None:
    (row_id,) = BREACHES["one_holder: rejected and still holding"](world)
    check()

    world.resolve(row_id, "close")

    assert world.held_policies() == []
    assert dict(check_all(world.database)) == {}


def test_something_else_that_breaks_later_is_blocked_again_with_what_was_known(world: World) -> None:
    (row_id,) = BREACHES["refunded_as_confirmed: another amount"](world)
    check()
    add_call(world, row_id, "confirm", 2)

    (told,) = check()

    assert list(told["broken"]) == ["one_cancel"]
    assert set(problem_of(world, row_id)["broken"]) == {"one_cancel", "refunded_as_confirmed"}
    assert len(blocks_of(world, row_id)) == 2


def test_the_problem_it_had_before_is_kept(world: World) -> None:
    row_id = write(world, STATES["needs_review/claim!+failed"])
    before = problem_of(world, row_id)
    add_call(world, row_id, "claim", 2)

    check()

    assert problem_of(world, row_id)["was"] == before


def test_a_refund_of_nothing_needs_no_report(world: World) -> None:
    row_id = write(world, STATES["completed/-!+skipped"])
    change(world, Cancellation, row_id, refund_mode="wait", preview_total=Decimal("0.00"))

    assert check() == []


def test_the_same_amount_in_other_digits_is_the_same(world: World) -> None:
    row_id = write(world, STATES["completed/-!"])
    change(world, Cancellation, row_id, refund_amount=Decimal("22.400"))

    assert check() == []


def test_another_amount_that_an_operator_settled_is_no_breach(world: World) -> None:
    row_id = write(world, STATES["needs_review/refund!+changed"])
    world.resolve(row_id, "done", evidence=SEEN)
    change(world, Cancellation, row_id, status="completed", next_step=None, next_attempt_at=None,
           done_steps=["look_up", "preview", "refund", "confirm"])  # fmt: skip

    assert check() == []


def test_another_amount_that_a_person_was_shown_is_no_breach(world: World) -> None:
    row_id = write(world, STATES["completed/-!+skipped"])
    assert world.report_refund(row_id, str(EARLIER), "EUR").status == 202

    assert check() == []
    world.resolve(row_id, "done", evidence=SEEN)
    assert check() == []
    assert world.row(row_id).status == "completed"


def test_a_second_cancel_after_an_operator_freed_the_policy_is_no_breach(world: World) -> None:
    first, _second = pair(world, "completed/-!")
    world.resolve(first, "close", frees_policies=True)

    assert check() == []


def test_a_confirm_that_an_operator_vouched_for_beside_anothers_is_no_breach(world: World) -> None:
    _first, second = pair(world, "completed/-!", "needs_review/confirm!")
    world.resolve(second, "done", evidence=SEEN)

    assert world.row(second).status == "completed"
    assert check() == []


@pytest.mark.parametrize("state", ["completed/-!+claim", "in_progress/claim!+first"])
def test_a_claim_after_one_that_was_closed_unpaid_is_no_breach(world: World, state: str) -> None:
    first, _second = pair(world, "completed/-!+claim", state)
    change(world, Claim, first, milestones=UNPAID, closed_at=utc_now())

    assert check() == []


def test_a_claim_anew_by_an_operators_word_is_no_breach_until_both_are_paid(world: World) -> None:
    row_id = write(world, STATES["needs_review/claim!+failed"])
    world.resolve(row_id, "not_done")
    add_claim(world, row_id, "CLM-2", milestones={"claim_paid": "2026-01-01T00:00:00Z"}, closed_at=utc_now())
    assert check() == []

    first = world.all(Claim, Claim.cancellation_id == row_id)[0]
    with world.database.transaction() as tx:
        tx.session.get_one(Claim, first.id).milestones = {"claim_paid": "2026-01-01T00:00:00Z"}

    assert [list(line["broken"]) for line in check()] == [["one_claim"]]


def test_a_policy_whose_claim_came_to_nothing_need_not_be_held(world: World) -> None:
    row_id = write(world, STATES["awaiting_premium_refund/await_premium_refund!"])
    with world.database.transaction() as tx:
        tx.session.execute(delete(Reservation).where(Reservation.cancellation_id == row_id))
    change(world, Claim, row_id, milestones=UNPAID, closed_at=utc_now())

    assert check() == []
