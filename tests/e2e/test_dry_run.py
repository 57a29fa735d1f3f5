"""Story: someone wants to know what a cancellation would do, and nothing is done."""

import json
import time
from typing import Any
from uuid import UUID

import pytest

from shared.lifecycle import TaskName
from shared.models import Call
from tests.gateway import Gateway
from tests.simulator import PARTNER_CODE
from tests.terminal import Terminal
from tests.world import World
from webhook_gateway.resources import CancellationResource, shown

DEEDS = ("confirm", "cancel", "claim", "refund")


def seen(world: World, row_id: UUID) -> CancellationResource:
    return shown(world.row(row_id), None)


def assert_nothing_was_done(world: World, row_id: UUID) -> None:
    row = world.row(row_id)
    assert [effect for effect in world.control.effects() if effect["kind"] in DEEDS] == []
    assert (row.irreversible_at, row.next_attempt_at, row.next_step) == (None, None, None)
    assert {call.step for call in world.calls(row_id)} <= {"preview"}


@pytest.mark.key_mode("honoured")
def test_a_dry_run_shows_each_policys_refund_and_the_total_and_until_when(world: World) -> None:
    booking = world.booking(policies=[{"price": 22.4}, {"price": 10, "refund": 7.5}], currency="EUR")
    row_id = world.accept(booking, dry_run=True)

    world.drain()

    item = seen(world, row_id)
    assert (item.status, item.journey, item.done_steps) == ("completed", "dry_run", ["look_up", "preview"])
    assert [(quote.id, quote.refund) for quote in item.quotes] == list(
        zip(booking.quote_ids, ["22.40", "7.50"], strict=True)
    )
    assert item.preview is not None
    assert (item.preview.total_refund, item.preview.currency) == ("29.90", "EUR")
    assert item.preview.confirm_before is not None
    assert_nothing_was_done(world, row_id)
    assert world.held_policies() == []


@pytest.mark.key_mode("honoured")
@pytest.mark.parametrize(
    ("asked", "steps", "cancelled", "claimed"),
    [
        ({}, "look_up preview refund confirm", [0, 1], None),
        ({"journey": "cancel_now"}, "look_up cancel", [0, 1], None),
        ({"claim": 1}, "look_up preview refund confirm claim", [0], 1),
        ({"claim": 1, "quotes": [0, 1]}, "look_up preview claim refund confirm", [0, 1], 1),
        ({"claim": 1, "quotes": [0], "when": "before_confirm"}, "look_up preview claim refund confirm", [0], 1),
        ({"journey": "claim", "claim": 1}, "look_up claim", [], 1),
        (
            {"journey": "claim_then_cancel", "claim": 1, "refund": {"mode": "wait"}},
            "look_up claim await_premium_refund preview refund confirm",
            [0, 1],
            1,
        ),
    ],
    ids=["cancel", "cancel_now", "cancel_and_claim", "claim_first", "before_confirm", "claim", "claim_then_cancel"],
)
def test_a_dry_run_shows_what_the_same_request_would_cancel_and_claim_and_in_which_order(
    world: World, asked: dict[str, Any], steps: str, cancelled: list[int], claimed: int | None
) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 20}])
    body: dict[str, Any] = {name: asked[name] for name in ("journey", "refund") if name in asked}
    if "quotes" in asked:
        body["quotes"] = [{"id": booking.quote_ids[place]} for place in asked["quotes"]]
    if claimed is not None:
        body["claim"] = {"quote_id": booking.quote_ids[claimed]}
        body["claim"] |= {"when": asked["when"]} if "when" in asked else {}
    row_id = world.accept(booking, dry_run=True, **body)

    world.drain()

    item = seen(world, row_id)
    assert item.status == "completed"
    assert item.dry_run is not None
    assert item.dry_run.journey == asked.get("journey", "cancel_and_claim" if claimed else "cancel")
    assert item.dry_run.steps == steps.split()
    assert item.dry_run.claimed_quote_id == (None if claimed is None else booking.quote_ids[claimed])
    assert [quote.id for quote in item.quotes] == [booking.quote_ids[place] for place in cancelled]
    assert_nothing_was_done(world, row_id)


def test_a_real_cancellation_right_after_is_carried_out(world: World) -> None:
    booking = world.booking()
    world.accept(booking, dry_run=True)
    world.drain()

    real = world.accept(booking, refund={"mode": "skip"})
    world.drain()

    assert world.row(real).status == "completed"
    assert [quote.refund for quote in seen(world, real).quotes] == ["22.40"]
    assert len(world.effects("confirm", booking)) == 1


@pytest.mark.key_mode("honoured", "ignored")
def test_a_dry_run_stands_in_nobodys_way_and_gives_way_to_nobody(world: World) -> None:
    booking = world.booking()
    real = world.accept(booking)
    world.drain()
    offer = world.row(real).preview_cancellation_id

    dry = world.accept(booking, dry_run=True)
    world.drain()
    assert world.row(dry).status == "completed"
    assert world.held_policies() == booking.quote_ids
    assert world.row(real).preview_cancellation_id == offer

    preview = seen(world, real).preview
    assert preview is not None
    world.report_refund(real, preview.total_refund, preview.currency)
    world.drain()
    assert world.row(real).status == "completed"


@pytest.mark.key_mode("honoured")
@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"price": 10, "can_be_cancelled": False}, "policy-cannot-be-cancelled"),
        ({"price": 10, "status": "CANCELLED"}, "policy-already-cancelled"),
    ],
)
@pytest.mark.parametrize("journey", ["cancel", "claim_then_cancel"])
def test_what_cannot_be_cancelled_is_rejected_with_the_reason(
    world: World, policy: dict[str, Any], problem: str, journey: str
) -> None:
    booking = world.booking(policies=[policy])
    refund: dict[str, Any] = {"refund": {"mode": "wait"}} if journey == "claim_then_cancel" else {}
    row_id = world.accept(booking, dry_run=True, journey=journey, **refund)

    world.drain()

    item = seen(world, row_id)
    assert item.status == "rejected"
    assert item.problem is not None
    assert item.problem["type"] == f"/problems/{problem}"
    assert_nothing_was_done(world, row_id)


@pytest.mark.key_mode("honoured")
def test_figures_that_disagree_reject_a_dry_run_and_bother_nobody(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}], total_refund=9)
    row_id = world.accept(booking, dry_run=True)

    world.drain()

    row = world.row(row_id)
    assert (row.status, (row.problem or {})["type"]) == ("rejected", "/problems/figures-disagree")


@pytest.mark.key_mode("honoured")
def test_nothing_of_it_wakes_up_and_no_preview_is_renewed(world: World) -> None:
    booking = world.booking()
    world.control.settings(preview_validity=30)
    row_id = world.accept(booking, dry_run=True)
    world.drain()
    assert world.row(row_id).status == "completed"

    for seconds in (60, 86_400):
        world.later(seconds)
        world.sweep()
        world.drain()

    assert world.row(row_id).round == 1
    assert len(world.all(Call, Call.cancellation_id == row_id)) == 1
    assert len(world.effects("preview", booking)) == 1


@pytest.mark.key_mode("honoured")
@pytest.mark.parametrize("step", [TaskName.REFUND, TaskName.CONFIRM, TaskName.CANCEL, TaskName.CLAIM])
def test_no_message_makes_more_of_it(world: World, step: TaskName) -> None:
    row_id = world.accept(world.booking(), claim={}, dry_run=True)
    world.drain()

    world.run(step, row_id)

    assert_nothing_was_done(world, row_id)


@pytest.mark.key_mode("honoured")
def test_nobody_is_told_of_it(world: World) -> None:
    world.configure(
        callback_urls="shop=https://shop.example/told", callback_secrets="shop:whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2Vj"
    )
    row_id = world.accept(world.booking(), dry_run=True)

    told = world.drain()

    assert world.row(row_id).callback_url is None
    assert [task for task, _ in told] == [TaskName.LOOK_UP, TaskName.PREVIEW]


@pytest.fixture
def terminal(world: World) -> Terminal:
    return Terminal(Gateway(world.database, xcover_partner_code=PARTNER_CODE))


@pytest.fixture
def _works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker works whenever the command line waits."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: world.drain())


@pytest.mark.key_mode("honoured")
@pytest.mark.usefixtures("_works")
def test_the_command_line_shows_what_each_policy_would_come_to(world: World, terminal: Terminal) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 22.4}], currency="EUR")
    first, second = booking.quote_ids

    result = terminal.run("cancel", booking.id, "--dry-run", "--claim-quote", second)

    assert result.exit_code == 0, result.stderr
    _, nothing, _, _, *rows, _, steps, until = result.stdout.splitlines()
    assert nothing == "Nothing was cancelled, claimed or refunded. The insurer allows it now."
    wanted = [[first, "cancelled", "10.00", "EUR"], [second, "claimed"], ["total", "10.00", "EUR"]]
    assert [row.split() for row in rows] == wanted
    assert steps == "steps: look_up → preview → refund → confirm → claim"
    assert until.startswith("Previewed now, it could be confirmed until 20")
    assert world.control.effects("claim", booking.id) == []


@pytest.mark.key_mode("honoured")
@pytest.mark.usefixtures("_works")
def test_the_command_line_says_why_it_would_be_rejected_and_exits_1(world: World, terminal: Terminal) -> None:
    booking = world.booking(policies=[{"price": 10, "can_be_cancelled": False}])

    result = terminal.run("cancel", booking.id, "--dry-run")
    as_json = terminal.run("cancel", booking.id, "--dry-run", "--json")

    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert f"policy-cannot-be-cancelled: XCover denies that policy {booking.quote_id}" in result.stdout
    assert json.loads(as_json.stdout)["problem"]["type"] == "/problems/policy-cannot-be-cancelled"


@pytest.mark.key_mode("honoured")
@pytest.mark.usefixtures("_works")
def test_the_command_line_gives_the_figures_as_json_and_keeps_the_key_free(world: World, terminal: Terminal) -> None:
    booking = world.booking(policies=[{"price": 22.4}], currency="EUR")

    dry = json.loads(terminal.run("cancel", booking.id, "--dry-run", "--json").stdout)
    refused = terminal.run("cancel", booking.id, "--dry-run", "--key", "k-1")
    real = terminal.run("cancel", booking.id, "--key", "k-1", "--refund-mode", "skip", "--wait", "--json")

    assert [quote["refund"] for quote in dry["quotes"]] == ["22.40"]
    assert (dry["dry_run"]["journey"], dry["status"]) == ("cancel", "completed")
    assert (refused.exit_code, "a key of its own" in refused.stderr) == (2, True)
    assert (real.exit_code, json.loads(real.stdout)["dry_run"]) == (0, None)
    shown_later = terminal.run("show", dry["id"]).stdout
    assert "completed (dry run)" in shown_later
    assert "dry_run of cancel: nothing is cancelled" in shown_later
    assert "completed (dry run)" in terminal.run("list").stdout
