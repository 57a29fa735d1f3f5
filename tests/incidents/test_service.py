"""Incidents of our own making."""

import json

import pytest

from shared.cancellations import begin_step
from shared.lifecycle import Step, TaskName
from tests.gateway import Gateway
from tests.incidents.ward import Ward
from tests.integration.test_gateway_webhooks import signed
from tests.world import WEBHOOK_KEY
from webhook_gateway import current

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

SKIP = {"mode": "skip"}


def test_poison_row_that_the_insurer_fails_on(ward: Ward) -> None:
    poison = ward.booking(faults=[{"on": "get_booking", "do": "error_before", "times": 100}])
    row_id = ward.accept(poison, refund=SKIP)
    for _ in range(6):
        ward.drain()
        ward.later(1_000)  # so seldom that nobody takes it for an outage
        ward.sweep()
    healthy = ward.accept(ward.booking(), refund=SKIP)
    ward.drain()
    ward.work()
    assert set(ward.troubles()) == {"poison-row"}
    assert str(row_id) in ward.troubles()["poison-row"]
    assert ward.row(healthy).status == "completed"

    ward.control.patch_booking(poison.id, faults=[])
    ward.settle()
    ward.work()
    assert (ward.row(row_id).status, ward.troubles()) == ("completed", {})


def test_poison_row_that_kills_its_worker(ward: Ward) -> None:
    row_id = ward.accept(ward.booking(), refund=SKIP)
    for _ in range(3):
        die_over(ward, row_id)
    ward.work()
    assert "2 dead workers" in ward.troubles()["poison-row"]  # what became of the third shows at the next try
    for _ in range(4):
        die_over(ward, row_id)
    ward.work()
    assert ward.wrong() == {"poison-row"}
    assert "worker-crashed" in ward.troubles()["poison-row"]

    ward.resolve(row_id, "close")
    assert ward.troubles() == {}


def die_over(ward: Ward, row_id: object) -> None:
    """Take the row as a worker does that is killed before it writes another word."""
    with ward.database.transaction() as tx:
        begin_step(tx, row_id, Step.LOOK_UP)  # type: ignore[arg-type]  # an id
    ward.database.published.clear()
    ward.later(10)


def test_wrong_webhook_key(ward: Ward) -> None:
    row_id = ward.accept(ward.booking(), journey="claim", claim={})
    ward.drain()
    token = ward.claim(row_id).webhook_token

    ward.web["xclaim_webhook_keys"] = "a-key-that-replaced-the-other"
    assert "1 open claim still uses it" in ward.troubles()["wrong-webhook-key"]
    assert post_event(ward, token) == 401
    assert "3 webhook(s)" in ward.troubles()["wrong-webhook-key"]
    assert ward.wrong() == {"wrong-webhook-key"}

    ward.web["xclaim_webhook_keys"] = f"a-key-that-replaced-the-other,{WEBHOOK_KEY}"
    assert post_event(ward, token) == 200
    ward.settle()
    ward.work()
    assert ward.troubles() == {}


def post_event(ward: Ward, token: str) -> int:
    """Send an event as XClaim does, three times, and return how the last was answered."""
    gateway = Gateway(ward.database, **ward.web)
    body = json.dumps({"event": "claim.updated", "payload": {}}).encode()
    for _ in range(3):
        answer = gateway.client.post(f"/webhooks/xclaim/{token}", **signed(body, WEBHOOK_KEY, token=token))
    with gateway.app.app_context():
        current.tally().write()
    return answer.status_code


def test_beat_stuck(ward: Ward) -> None:
    ward.later(120)
    ward.work(TaskName.CHECK_INSURER)  # somebody asked for it: a worker lives, and no sweep comes
    assert ward.wrong() == {"beat-stuck"}
    ward.work(TaskName.SWEEP)
    assert ward.troubles() == {}


def test_without_any_worker_beat_is_not_blamed(ward: Ward) -> None:
    ward.later(300)
    assert (ward.wrong(), set(ward.troubles())) == ({"no-worker"}, {"no-worker"})
