"""Webhooks at once: the same one many times, and one that meets the answer to our own request in every order."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.lifecycle import TaskName
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.xclaim.signature import derive_key, sign
from tests.gateway import Gateway
from tests.integration.test_gateway_server import served
from tests.simulator import SimBooking
from tests.world import WEBHOOK_KEY, World

TIMES = 32
HANDLERS = 8
PREMIUM_REFUND = {"category": "Payment Processing", "name": "premium_refund", "label": "Premium Refund"}
JOURNEY: dict[str, Any] = {"journey": "claim_then_cancel", "refund": {"mode": "skip"}}


def _post(url: str, token: str | None, raw: bytes) -> int:
    key = WEBHOOK_KEY if token is None else derive_key(WEBHOOK_KEY, token)
    path = "/webhooks/xclaim" if token is None else f"/webhooks/xclaim/{token}"
    return httpx.post(url + path, content=raw, headers={"XClaim-Signature": sign(raw, key)}, timeout=60).status_code


def _event(**payload: Any) -> bytes:
    return json.dumps({"event": "claim.status-update", "payload": {"status": PREMIUM_REFUND, **payload}}).encode()


def _refunded(world: World, claim: str) -> None:
    """Let XClaim's claim report its Premium Refund, and nobody be told."""
    world.control.send_event(claim, event="claim.status-update", send=False, **PREMIUM_REFUND)


def _told(world: World, row_id: UUID) -> list[list[str]]:
    return [line.details["milestones"] for line in world.timeline(row_id) if line.event == "claim_milestone"]


def test_the_same_webhook_32_times_at_once_has_one_effect(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, **JOURNEY)
    world.settle()
    claim = world.claim(row_id)
    _refunded(world, claim.reference or "")
    raw = _event(id=claim.claim_id, claimReference=claim.reference)

    gateway = Gateway(world.database, xclaim_webhook_keys=WEBHOOK_KEY)
    with served(gateway) as url, ThreadPoolExecutor(TIMES) as senders:
        answers = list(senders.map(lambda _: _post(url, claim.webhook_token, raw), range(TIMES)))
    rung = [message for message in world.database.published if message[0] is TaskName.HANDLE_WEBHOOK]
    world.database.published.clear()
    with ThreadPoolExecutor(HANDLERS) as handlers:  # each message twice, as Redis may hand it out
        list(handlers.map(lambda message: world.run(*message), [twice for one in rung for twice in (one, one)]))
    world.settle()

    assert answers == [200] * TIMES
    assert [body.raw for body in world.all(WebhookBody)] == [raw]
    deliveries = world.all(WebhookDelivery)
    assert {delivery.tries for delivery in deliveries} == {1}
    outcomes = Counter(delivery.outcome for delivery in deliveries)
    assert outcomes.keys() == {"applied", "unchanged"}
    assert sum(outcomes.values()) == TIMES
    assert outcomes["applied"] <= 2  # one may latch the milestone and another be first to store the reading
    assert _told(world, row_id) == [["premium_refund"]]
    assert list(world.claim(row_id).milestones) == ["premium_refund"]
    assert [line.event for line in world.timeline(row_id)].count("hurried") == 1
    assert (world.row(row_id).status, len(world.effects("confirm", booking))) == ("completed", 1)


class Submission:
    """A claim whose request XClaim has carried out and not answered yet, and a webhook about it."""

    def __init__(self, world: World, booking: SimBooking, row_id: UUID, pool: ThreadPoolExecutor) -> None:
        self._world, self._booking, self._row_id = world, booking, row_id
        self._holds = world.simulator.state.holds
        (first,) = world.database.published
        world.database.published.clear()
        world.run(*first)
        (submit,) = world.database.published
        world.database.published.clear()
        self._asked = pool.submit(world.run, *submit)
        world.control.wait_until(lambda: booking.id in self._holds.held(), timeout=60)
        (self.made,) = world.control.claims(booking.id)

    def answer(self) -> None:
        """The answer to our request arrives and is stored."""
        self._holds.release(self._booking.id)
        self._asked.result()

    def arrive(self, *, is_on_own_address: bool, named: bool) -> None:
        """XClaim reports the Premium Refund; its webhook is stored."""
        _refunded(self._world, self.made["id"])
        names = {"id": self.made["id"], "claimReference": self.made["reference"]}
        raw = _event(**names, **({"bookingReference": self._booking.id} if named else {}))
        token = self._world.claim(self._row_id).webhook_token if is_on_own_address else None
        gateway = Gateway(self._world.database, xclaim_webhook_keys=WEBHOOK_KEY)
        with served(gateway) as url:
            assert _post(url, token, raw) == 200

    def handle(self) -> None:
        """A worker takes the webhook up."""
        (delivery,) = self._world.all(WebhookDelivery)
        self._world.run(TaskName.HANDLE_WEBHOOK, delivery.id)


def _at_once(submission: Submission) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(submission.handle), pool.submit(submission.answer)]:
            done.result()


Order = Callable[[Submission, dict[str, bool]], object]
ORDERS: dict[str, Order] = {
    "webhook, handled, answer": lambda all_, how: (all_.arrive(**how), all_.handle(), all_.answer()),
    "webhook, answer, handled": lambda all_, how: (all_.arrive(**how), all_.answer(), all_.handle()),
    "answer, webhook, handled": lambda all_, how: (all_.answer(), all_.arrive(**how), all_.handle()),
    "webhook, handled and answer at once": lambda all_, how: (all_.arrive(**how), _at_once(all_)),
    "handled by the sweeper's ring alone": lambda all_, how: (all_.arrive(**how), all_.answer()),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"is_on_own_address": True, "named": True}, id="own-address"),
        pytest.param({"is_on_own_address": False, "named": True}, id="bare-path"),
        pytest.param({"is_on_own_address": False, "named": False}, id="bare-path-without-booking"),
    ],
)
def test_a_webhook_and_the_answer_to_our_request_end_alike_in_every_order(
    world: World, order: str, how: dict[str, bool]
) -> None:
    booking = world.booking(claim_story=[], faults=[{"on": "create_claim", "do": "hold_after"}])
    row_id = world.accept(booking, **JOURNEY)

    with ThreadPoolExecutor(1) as pool:
        ORDERS[order](Submission(world, booking, row_id, pool), how)
    for _ in range(4):  # one that matched nothing yet waits a second or two for its next try
        world.settle()
        world.later(15)
        world.sweep()
    world.settle()

    claim = world.claim(row_id)
    assert (claim.status, list(claim.milestones)) == ("Payment Processing", ["premium_refund"])
    assert _told(world, row_id) == [["premium_refund"]]
    (delivery,) = world.all(WebhookDelivery)
    assert delivery.outcome in {"applied", "unchanged"}, delivery.verdict
    assert delivery.claim_id == claim.id
    assert world.row(row_id).status == "completed"
    assert (len(world.effects("claim", booking)), len(world.effects("confirm", booking))) == (1, 1)


def test_a_status_name_does_not_outlive_its_category(world: World) -> None:
    booking = world.booking(claim_story=[])
    row_id = world.accept(booking, journey="claim")
    world.settle()
    claim = world.claim(row_id)
    assert (claim.status, claim.status_name) == ("Submitted", "submitted")
    world.control.send_event(claim.reference or "", category="Under Assessment", send=False)

    raw = json.dumps({"event": "claim.status-category-update", "payload": {"id": claim.claim_id}}).encode()
    with served(Gateway(world.database, xclaim_webhook_keys=WEBHOOK_KEY)) as url:
        assert _post(url, claim.webhook_token, raw) == 200
    world.drain()

    now = world.claim(row_id)
    assert (now.status, now.status_name) in {("Under Assessment", None), ("Under Assessment", "under_assessment")}
