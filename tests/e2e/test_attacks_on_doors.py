"""Story: webhooks in awkward moments, operators and doors that race: nothing is lost, locked or done twice."""

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import permutations
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest

from shared import transitions, webhook_events
from shared.db import Transaction
from shared.insurer.errors import OutcomeUnknown
from shared.lifecycle import TaskName
from shared.models import Claim
from shared.problems import Problem
from tests.simulator import REFUND_SECRET
from tests.world import World, connections

CALL = {"mode": "call"}
JOURNEY: dict[str, Any] = {"journey": "claim_then_cancel", "refund": {"mode": "skip"}}
SAYS = {
    "premium": {"event": "claim.status-update", "category": "Payment Processing", "label": "Premium Refund"},
    "paid": {"event": "claim.status-category-update", "category": "Payment Complete"},
    "closed": {"event": "claim.status-category-update", "category": "Declined"},
}

pytestmark = pytest.mark.key_mode("honoured")  # what XCover does with keys decides none of these


@pytest.fixture(autouse=True)
def _partner(world: World) -> None:
    world.control.settings(duplicates="accept")
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)


def _arrive(world: World, row_id: UUID, what: str) -> None:
    """Let XClaim's claim become so, and its webhook be stored."""
    claim, said = world.all(Claim, Claim.cancellation_id == row_id)[-1], SAYS[what]
    world.control.send_event(str(claim.reference), **said, send=False)
    status = {name: said[name] for name in ("category", "name", "label") if name in said}
    raw = json.dumps({"event": said["event"], "payload": {"id": claim.claim_id, "status": status}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})


def _handle_webhooks(world: World) -> None:
    for message in [message for message in world.database.published if message[0] == TaskName.HANDLE_WEBHOOK]:
        world.database.published.remove(message)
        world.run(*message)


# --- the wait for the Premium Refund --------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("order", list(permutations(SAYS)))
def test_webhooks_in_every_order_lead_to_the_confirm_only_when_the_premium_refund_came_first(
    world: World, order: tuple[str, ...]
) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, **JOURNEY)
    world.settle()
    for what in order:
        _arrive(world, row_id, what)
        world.drain()

    row = world.row(row_id)
    assert row.status == ("completed" if order[0] == "premium" else "needs_review"), row.problem
    assert len(world.effects("confirm", booking)) == (1 if order[0] == "premium" else 0)


@pytest.mark.parametrize("fault", [None, "error_before"])
@pytest.mark.parametrize("what", list(SAYS))
def test_a_webhook_during_the_waiting_steps_own_look_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str, fault: str | None
) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, **JOURNEY)
    world.settle()
    client = connections().xclaim
    real, looks = client.get_claim, 0

    def interrupted(**asked: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks > 1:
            return real(**asked)
        answer = real(**asked)
        _arrive(world, row_id, what)
        _handle_webhooks(world)
        if fault:
            raise OutcomeUnknown("look at the claim", status=500)
        return answer

    monkeypatch.setattr(client, "get_claim", interrupted)
    world.later(120)
    world.sweep()
    world.drain()
    world.later(90)
    world.sweep()
    world.settle()

    assert world.row(row_id).status == ("completed" if what == "premium" else "needs_review"), world.row(row_id).problem
    assert len(world.effects("confirm", booking)) == (1 if what == "premium" else 0)


def test_claims_switched_off_while_waiting_stop_nothing_for_good(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, **JOURNEY)
    world.settle()
    world.configure(claims_enabled=False)
    _arrive(world, row_id, "premium")
    world.drain()
    assert world.effects("confirm", booking) == []
    assert (world.row(row_id).problem or {}).get("type") == "/problems/claims-disabled"

    world.configure()
    world.retry(row_id)
    world.settle()

    assert world.row(row_id).status == "completed"


# --- operators ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["refund", "claim"])
def test_not_done_does_not_send_anew_what_was_sent_a_moment_ago_and_may_still_arrive(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    faults = [{"on": "refund", "do": "refuse", "status": 409}, {"on": "list_claims", "do": "refuse"}]
    booking = world.booking(claim_story=[], faults=faults)
    asked = {"refund": CALL} if what == "refund" else {"journey": "claim"}
    row_id = world.accept(booking, **asked)
    client = connections().refunds if what == "refund" else connections().xclaim
    name = "ask" if what == "refund" else "create_claim"
    late: list[tuple[Any, Any]] = []
    real = getattr(client, name)

    def slow(*args: Any, **more: Any) -> Any:
        if not late:
            late.append((args, more))
            raise OutcomeUnknown("wait for an answer")
        return real(*args, **more)

    monkeypatch.setattr(client, name, slow)
    while world.row(row_id).status == "in_progress":
        world.drain()
        world.later(3)
        world.sweep()
    assert world.row(row_id).status == "needs_review"

    world.resolve(row_id, "not_done")
    world.drain()
    ((args, more),) = late
    with suppress(Exception):
        real(*args, **more)

    assert len(world.effects(what, booking)) == 1


@pytest.mark.claims_again
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_ruling_a_webhook_a_report_and_a_running_step_lock_in_one_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking(claim_story=[], claim_fails="The document is missing.")  # it comes back to a person
    row_id = world.accept(booking, claim={}, refund={"mode": "wait"})
    world.settle()
    failures: list[BaseException] = []
    stop, lock = Event(), transitions.lock

    def lock_and_dawdle(tx: Transaction, cancellation_id: UUID) -> Any:
        row = lock(tx, cancellation_id)
        stop.wait(0.1)  # time for the others to lock what this one wants next
        return row

    monkeypatch.setattr("shared.resolutions.lock", lock_and_dawdle)

    def again(act: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                act()
            except Problem:
                continue
            except BaseException as error:
                failures.append(error)
                return

    def webhook() -> None:
        if world.all(Claim, Claim.cancellation_id == row_id)[-1].reference:
            _arrive(world, row_id, "premium")
            _handle_webhooks(world)

    acts: list[Callable[[], object]] = [
        webhook, lambda: world.run(TaskName.CLAIM, row_id),
        lambda: world.resolve(row_id, "not_done"), lambda: world.report_refund(row_id, "2.00", "EUR"),
    ]  # fmt: skip
    threads = [Thread(target=again, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    stop.wait(2)
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    events = {line.event for line in world.timeline(row_id)}
    assert {"resolved", "needs_review", "refund_report_refused"} <= events
