"""Story: the attacks on refund calls and rulings. Money must not go out twice, stale, or for a policy that stays."""

import json
from datetime import timedelta
from decimal import Decimal
from threading import Thread
from uuid import UUID

import pytest

from shared import caller_actions, claims, clock, webhook_events
from shared.lifecycle import TaskName
from shared.rulings import Evidence
from tests.simulator import REFUND_SECRET, SimBooking
from tests.simulator.caller import Caller
from tests.world import World

DAY = 24 * 3600.0
CALL = {"mode": "call"}
SKIP = {"mode": "skip"}
UNREACHABLE = "http://127.0.0.1:9/refunds"

pytestmark = pytest.mark.key_mode("honoured")  # what XCover does with keys decides none of these


@pytest.fixture(autouse=True)
def _partner(world: World) -> None:
    _partner_is_at(world, world.simulator.refund_url)


def _partner_is_at(world: World, url: str) -> None:
    world.configure(refund_url=url, refund_secret=REFUND_SECRET)


def _slug(world: World, row_id: UUID) -> str:
    return str((world.row(row_id).problem or {}).get("type", "")).rpartition("/")[2]


def _decline(world: World, row_id: UUID) -> None:
    """XClaim declines the claim; its webhook is stored, not yet handled."""
    _arrive(world, row_id, "claim.status-category-update", category="Declined")


def _arrive(world: World, row_id: UUID, event: str, **status: str) -> None:
    claim = world.claim(row_id)
    world.control.send_event(str(claim.reference), event=event, send=False, **status)
    raw = json.dumps({"event": event, "payload": {"id": claim.claim_id, "status": status}}).encode()
    with world.database.transaction() as tx:
        webhook_events.record(tx, raw, source="xclaim", token=claim.webhook_token, key_id="first", headers={})


def _handle_webhooks(world: World) -> None:
    """Let webhooks be handled before everything else that waits in the queues."""
    for message in [message for message in world.database.published if message[0] == TaskName.HANDLE_WEBHOOK]:
        world.database.published.remove(message)
        world.run(*message)


def _paid(world: World, booking: SimBooking) -> list[str]:
    return [paid["amount"] for kind in ("refund", "refund_promised") for paid in world.effects(kind, booking)]


def _offers_less(world: World, booking: SimBooking, refund: str = "11.20") -> None:
    world.control.patch_booking(booking.id, policies=[{"refund": refund}])


def _second_round(world: World, fault: str) -> tuple[SimBooking, UUID]:
    """Return one whose first offer of 22.40 lapsed unasked, and whose call for the second, 11.20, met a fault."""
    _partner_is_at(world, UNREACHABLE)
    booking = world.booking()
    row_id = world.accept(booking, refund=CALL)
    world.drain()
    _offers_less(world, booking)
    world.later(25 * 3600)
    world.control.patch_booking(booking.id, faults=[{"on": "refund", "do": fault}])
    _partner_is_at(world, world.simulator.refund_url)
    world.sweep()
    world.drain()
    return booking, row_id


# --- a policy must not pass into other hands while its refund is on its way ------------------------------------------


@pytest.mark.parametrize(("answer", "faults"), [("paid", ["act_then_drop"]), ("accepted", [])])
def test_a_policy_whose_refund_was_asked_for_stays_in_hand_although_its_claim_is_declined(
    world: World, answer: str, faults: list[str]
) -> None:
    spec = {"refund_answer": answer, "faults": [{"on": "refund", "do": fault} for fault in faults]}
    booking = world.booking(claim_story=[], **spec)
    first = world.accept(booking, claim={}, refund=CALL)
    world.drain()
    assert len(_paid(world, booking)) == 1
    _decline(world, first)
    _handle_webhooks(world)

    second = world.accept(booking, refund=CALL)
    world.settle()

    assert len(_paid(world, booking)) == 1
    assert _slug(world, second) == "already-in-hand"


def test_a_policy_kept_at_the_closing_stays_in_hand_although_its_claim_is_declined_later(world: World) -> None:
    booking = world.booking(claim_story=[], faults=[{"on": "confirm", "do": "refuse"}])
    first = world.accept(booking, claim={}, refund=CALL)
    world.settle()
    world.resolve(first, "close", note="the customer keeps the money; nobody may refund this policy again")
    _decline(world, first)
    world.drain()

    second = world.accept(booking, refund=CALL)
    world.settle()

    assert len(_paid(world, booking)) == 1
    assert _slug(world, second) == "already-in-hand"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_policy_stays_in_hand_when_its_claim_is_declined_in_the_moment_of_the_report(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, claim={}, refund={"mode": "wait"})
    world.settle()
    _decline(world, row_id)
    (message,) = world.database.published
    world.database.published.clear()
    report = caller_actions.RefundReport(amount=Decimal("22.40"), currency="EUR", reference="re_1", actor="shop")
    thread = Thread(target=world.run, args=message)
    with world.database.transaction() as tx:
        assert caller_actions.report_refund(tx, row_id, report).status == 200
        thread.start()
        thread.join(1)  # by now it waits for the row, or has judged without it
    thread.join()
    assert world.row(row_id).refund_amount == Decimal("22.40")
    assert world.held_policies() == booking.quote_ids


# --- a retry must not pay what was reported, what lapsed, or for a claim that came to nothing ------------------------


@pytest.mark.parametrize("fault", ["refuse", "drop_before"])
def test_a_retry_does_not_ask_for_money_after_another_rounds_refund_was_reported(world: World, fault: str) -> None:
    booking, row_id = _second_round(world, fault)
    assert world.report_refund(row_id, "22.40", "EUR").status == 202

    world.retry(row_id)
    world.settle()

    assert _paid(world, booking) == []
    assert (world.row(row_id).status, world.row(row_id).refund_amount) == ("needs_review", Decimal("22.40"))


def test_a_report_of_another_round_is_not_overwritten_by_the_answer_of_a_call(world: World) -> None:
    booking, row_id = _second_round(world, "act_then_drop")  # 11.20 was paid, nobody told us
    assert world.report_refund(row_id, "22.40", "EUR").status == 202  # and so was 22.40
    world.retry(row_id)
    world.settle()

    row = world.row(row_id)
    assert (row.status, row.refund_amount, row.refund_reference) == ("needs_review", Decimal("22.40"), "re_1")
    assert world.effects("confirm", booking) == []


def test_a_retry_after_a_no_does_not_pay_once_the_claim_was_declined(world: World) -> None:
    booking = world.booking(claim_story=[], faults=[{"on": "refund", "do": "refuse"}])
    row_id = world.accept(booking, claim={}, refund=CALL)
    world.settle()
    _decline(world, row_id)
    world.drain()

    world.retry(row_id)
    world.settle()

    assert _paid(world, booking) == []
    assert _slug(world, row_id) == "claim-closed-unpaid"


def test_a_retry_after_a_no_does_not_pay_what_the_insurer_does_not_offer_any_more(world: World) -> None:
    booking = world.booking(faults=[{"on": "refund", "do": "refuse"}])
    row_id = world.accept(booking, refund=CALL)
    world.settle()
    _offers_less(world, booking)
    world.later(2 * DAY)

    world.retry(row_id)
    world.settle()

    assert "22.40" not in _paid(world, booking)


# --- settings, promises ---------------------------------------------------------------------------------------------


def test_a_call_that_had_no_address_never_left_so_its_offer_is_renewed_first(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking, refund=CALL)
    world.configure()
    world.settle()
    assert _slug(world, row_id) == "refund-call-disabled"
    _offers_less(world, booking)
    world.later(2 * DAY)
    _partner_is_at(world, world.simulator.refund_url)

    world.retry(row_id)
    world.settle()

    assert _paid(world, booking) == ["11.20"]
    assert world.row(row_id).status == "completed"


def test_a_report_answers_one_that_had_no_address_to_ask(world: World) -> None:
    row_id = world.accept(world.booking(), refund=CALL)
    world.configure()
    world.settle()
    assert _slug(world, row_id) == "refund-call-disabled"

    assert world.report_refund(row_id, "22.40", "EUR").status == 200
    world.settle()

    assert world.row(row_id).status == "completed"


def test_a_promised_refund_is_not_forgotten_when_the_insurer_offers_nothing_any_more(world: World) -> None:
    booking = world.booking(refund_answer="accepted")
    row_id = world.accept(booking, refund=CALL)
    world.drain()
    _offers_less(world, booking, "0")
    world.later(25 * 3600)
    world.sweep()
    world.settle()

    assert world.effects("confirm", booking) == []  # the partner pays 22.40 and would get nothing back
    assert world.report_refund(row_id, "22.40", "EUR").status == 202
    assert world.row(row_id).status == "needs_review"


@pytest.mark.parametrize("mode", ["wait", "call"])
def test_an_earlier_rounds_refund_is_money_that_was_paid_although_nothing_was_offered_in_the_end(
    world: World, mode: str
) -> None:
    _partner_is_at(world, UNREACHABLE)
    booking = world.booking()
    row_id = world.accept(booking, refund={"mode": mode})
    world.drain()
    _offers_less(world, booking, "0")
    world.later(25 * 3600)
    world.sweep()
    world.settle()

    assert world.report_refund(row_id, "22.40", "EUR").status == 202
    assert (world.row(row_id).status, _slug(world, row_id)) == ("needs_review", "refund-of-another-round")


# --- claims named by hand, clocks -----------------------------------------------------------------------------------


@pytest.mark.claims_again
def test_a_claim_named_wrongly_and_then_rightly_is_judged_by_the_right_one(world: World) -> None:
    world.control.settings(duplicates="accept")
    world.configure(xclaim_eligibility_check=False)
    faults = [{"on": "create_claim", "do": "act_then_drop"}, {"on": "list_claims", "do": "refuse"}]
    booking = world.booking(claim_story=[])
    with Caller(world.simulator) as caller:
        old = caller.claim(booking.id, booking.quote_id).json()["data"]["claimReference"]
    world.control.send_event(old, event="claim.status-category-update", category="Declined", send=False)
    world.control.patch_booking(booking.id, faults=faults)
    row_id = world.accept(booking, claim={}, refund=SKIP)
    world.settle()
    (right,) = [claim["reference"] for claim in world.control.claims(booking.id) if claim["reference"] != old]
    world.control.send_event(right, event="claim.status-category-update", category="Under Assessment", send=False)

    world.resolve(row_id, "done", evidence=Evidence(claim_reference=old))  # last year's, which was declined
    world.settle()
    world.resolve(row_id, "done", evidence=Evidence(claim_reference=right))
    world.settle()

    assert world.row(row_id).status == "completed", world.row(row_id).problem


def test_hosts_whose_clocks_differ_agree_that_the_claim_was_paid_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, journey="claim_then_cancel", refund=SKIP)
    world.settle()
    fast = clock.utc_now() + timedelta(minutes=5)
    with monkeypatch.context() as host:
        host.setattr(claims, "utc_now", lambda: fast, raising=False)
        _tell(world, row_id, "Payment Complete", "Paid")
    _tell(world, row_id, "Payment Processing", "Premium Refund")
    world.drain()

    assert _slug(world, row_id) == "claim-paid-first", world.row(row_id).status
    assert world.effects("confirm", booking) == []


def _tell(world: World, row_id: UUID, category: str, label: str) -> None:
    """Let a host handle a webhook, before any worker comes to the step."""
    _arrive(world, row_id, "claim.status-update", category=category, label=label)
    _handle_webhooks(world)
