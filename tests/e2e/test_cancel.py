"""Story: a policy is cancelled, and the partner refunds its customer."""

from decimal import Decimal

import pytest

from shared import caller_actions
from shared.lifecycle import TaskName
from shared.problems import Problem
from tests.world import World, connections

STEPS = ["cancellation.look_up", "cancellation.preview", "cancellation.refund", "cancellation.confirm"]


def test_a_cancellation_goes_from_look_up_to_confirm(world: World) -> None:
    booking = world.booking(policies=[{"price": 22.4}], currency="EUR")
    row_id = world.accept(booking, quotes=[{"id": booking.quote_id, "reason_for_cancellation": "No longer travelling"}])

    world.drain()
    waiting = world.row(row_id)

    assert (waiting.status, waiting.next_step) == ("awaiting_refund", "refund")
    assert waiting.done_steps == ["look_up", "preview"]
    assert waiting.preview_total == Decimal("22.4")

    assert world.report_refund(row_id, "22.40", "EUR").status == 200
    world.drain()
    ended = world.row(row_id)

    assert (ended.status, ended.next_step) == ("completed", None)
    assert ended.done_steps == ["look_up", "preview", "refund", "confirm"]
    assert len(world.effects("confirm", booking)) == 1
    assert world.ran == STEPS


def test_a_cancellation_is_never_confirmed_before_its_refund(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()

    world.run(TaskName.CONFIRM, row_id)
    world.run(TaskName.REFUND, row_id)

    assert world.row(row_id).status == "awaiting_refund"
    assert world.effects("confirm", booking) == []


def test_with_refund_skip_it_goes_straight_on(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, refund={"mode": "skip"})

    world.drain()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_a_refund_of_zero_passes_by_itself(world: World) -> None:
    booking = world.booking(policies=[{"price": 10, "refund": 0}])
    row_id = world.accept(booking)

    world.drain()

    assert world.row(row_id).status == "completed"


def test_only_the_named_policies_are_cancelled(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 20}, {"price": 30.1}])
    first, _, third = booking.quote_ids
    row_id = world.accept(booking, quotes=[{"id": first}, {"id": third}], refund={"mode": "skip"})

    world.drain()

    assert world.row(row_id).preview_total == Decimal("40.1")
    (confirm,) = world.effects("confirm", booking)
    assert sorted(confirm["quotes"]) == sorted([first, third])


@pytest.mark.parametrize(
    ("policy", "slug"),
    [
        ({"can_be_cancelled": False}, "policy-cannot-be-cancelled"),
        ({"can_be_cancelled": None}, "policy-cannot-be-cancelled"),
        ({"status": "CANCELLED"}, "policy-already-cancelled"),
        ({"status": "SOMETHING_NEW", "can_be_cancelled": False}, "policy-cannot-be-cancelled"),
    ],
)
def test_a_policy_that_cannot_be_cancelled_is_rejected_before_anything_happens(
    world: World, policy: dict[str, object], slug: str
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 5, **policy}])
    row_id = world.accept(booking)

    world.drain()
    row = world.row(row_id)

    assert row.status == "rejected"
    assert row.problem is not None
    assert row.problem["type"].endswith(slug)
    assert booking.quote_ids[1] in row.problem["detail"]
    assert world.control.summary(booking.id)["previews"] == 0


def test_an_unknown_booking_is_rejected(world: World) -> None:
    row_id = world.accept("AAAAA-BBBBB-INS")

    world.drain()

    assert world.row(row_id).status == "rejected"
    assert (world.row(row_id).problem or {})["type"].endswith("booking-not-found")


def test_a_policy_the_booking_does_not_have_is_rejected(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, quotes=[{"id": "not-in-there"}])

    world.drain()

    assert (world.row(row_id).problem or {})["type"].endswith("policy-not-in-booking")


def test_an_aborted_cancellation_is_not_confirmed_and_frees_its_policies(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking)
    world.drain()
    assert world.held_policies() == list(booking.quote_ids)

    with world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")
    world.run(TaskName.REFUND, row_id)
    world.run(TaskName.CONFIRM, row_id)

    assert world.row(row_id).status == "aborted"
    assert world.held_policies() == []
    assert world.effects("confirm", booking) == []


def test_after_the_refund_is_reported_abort_is_refused(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")

    with pytest.raises(Problem) as refused, world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")

    assert refused.value.slug == "point-of-no-return"
    assert refused.value.status == 409
    world.drain()
    assert world.row(row_id).status == "completed"


def test_a_wrong_refund_report_is_refused_and_stays_in_the_timeline(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()

    verdict = world.report_refund(row_id, "9.99", "EUR")

    assert verdict.problem is not None
    assert verdict.problem.slug == "refund-mismatch"
    assert world.row(row_id).status == "awaiting_refund"
    (noted,) = [line for line in world.timeline(row_id) if line.event == "refund_report_refused"]
    assert noted.details["amount"] == "9.99"


def test_repeating_a_refund_report_changes_nothing(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()

    assert world.report_refund(row_id, "10.0", "EUR").status == 200
    other = world.report_refund(row_id, "10.00", "EUR", reference="re_2")

    assert other.problem is not None
    assert other.problem.slug == "refund-already-reported"
    assert len(world.effects("confirm", booking)) == 1


def test_money_reported_after_an_abort_is_stored_for_a_person(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    with world.database.transaction() as tx:
        caller_actions.abort(tx, row_id, actor="caller:shop")

    assert world.report_refund(row_id, "10.00", "EUR").status == 202

    row = world.row(row_id)
    assert row.status == "needs_review"
    assert (row.problem or {})["type"].endswith("refund-after-end")
    assert row.refund_amount == Decimal(10)


def test_a_second_cancellation_for_a_policy_in_hand_is_rejected_naming_the_holder(world: World) -> None:
    booking = world.booking()
    first = world.accept(booking)
    second = world.accept(booking)

    world.drain()

    assert world.row(first).status == "awaiting_refund"
    assert world.row(second).status == "rejected"
    problem = world.row(second).problem or {}
    assert problem["type"].endswith("already-in-hand")
    assert problem["holder"] == str(first)


def test_figures_that_do_not_add_up_need_review(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 5}], total_refund=15.01)
    row_id = world.accept(booking)

    world.drain()

    assert world.row(row_id).status == "needs_review"
    assert (world.row(row_id).problem or {})["type"].endswith("figures-disagree")


def test_more_digits_than_the_currency_has_need_review(world: World) -> None:
    booking = world.booking(policies=[{"price": 100.5, "refund": 100.5}], currency="JPY")
    row_id = world.accept(booking)

    world.drain()

    assert (world.row(row_id).problem or {})["type"].endswith("figures-disagree")


def test_amounts_that_floats_get_wrong_are_exact(world: World) -> None:
    booking = world.booking(policies=[{"price": 0.1}, {"price": 0.2}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()

    assert world.report_refund(row_id, "0.30", "EUR").status == 200
    world.drain()

    assert world.row(row_id).status == "completed"


def test_a_product_that_refuses_reasons_is_previewed_without_them(world: World) -> None:
    booking = world.booking(reject_reasons=True)
    row_id = world.accept(
        booking, quotes=[{"id": booking.quote_id, "reason_for_cancellation": "Sold"}], refund={"mode": "skip"}
    )

    world.settle()

    assert world.row(row_id).status == "completed"
    assert [call.round for call in world.calls(row_id) if call.step == "preview"] == [1, 2]


def test_each_change_leaves_a_line_with_who_and_why(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "10.00", "EUR")
    world.drain()

    lines = [(line.event, line.to_step, line.actor) for line in world.timeline(row_id)]

    assert lines == [
        ("accepted", "look_up", "caller:shop"),
        ("step_done", "preview", "worker"),
        ("step_done", "refund", "worker"),
        ("awaiting_refund", "refund", "worker"),
        ("refund_reported", "confirm", "caller:shop"),
        ("step_done", None, "worker"),
    ]


def test_a_refund_reported_while_the_refund_step_runs_is_not_overlooked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 50}], currency="EUR")
    row_id = world.accept(booking, claim={"quote_id": booking.quote_ids[1]})
    xclaim = connections().xclaim
    asked = xclaim.eligibility

    def report_meanwhile(booking_id: str, quote_id: str) -> object:
        if world.row(row_id).next_step == "refund":
            world.report_refund(row_id, "10.00", "EUR")
        return asked(booking_id, quote_id)

    monkeypatch.setattr(xclaim, "eligibility", report_meanwhile)
    world.settle()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_a_refund_reported_while_a_preview_is_renewed_turns_its_refusal_into_a_persons_decision(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking(policies=[{"price": 10}], currency="EUR")
    row_id = world.accept(booking)
    world.drain()
    world.control.patch_booking(booking.id, faults=[{"on": "preview", "do": "refuse"}])
    xcover = connections().xcover
    asked = xcover.preview

    def report_meanwhile(*args: object, **more: object) -> object:
        world.report_refund(row_id, "10.00", "EUR")
        return asked(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(xcover, "preview", report_meanwhile)
    world.later(23.5 * 3600)
    world.sweep()
    world.drain()

    assert world.row(row_id).status == "needs_review"
    assert world.row(row_id).refund_amount == Decimal(10)
