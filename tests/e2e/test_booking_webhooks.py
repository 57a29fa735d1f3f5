"""Story: XCover hints that something happened to a booking. Nobody signs what it says, so the booking is looked at."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from werkzeug.serving import make_server

from shared import booking_hints
from shared.cancellations import begin_step
from shared.clock import utc_now
from shared.lifecycle import Step, TaskName
from shared.models import Cancellation
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.xcover.webhooks import BookingHint
from tests.gateway import Gateway
from tests.simulator import PARTNER_CODE, REFUND_SECRET, SimBooking, signatures
from tests.world import World
from webhook_gateway import current

SKIP = {"mode": "skip"}
KEY, SECRET = "our-listener", "webhook_secret"
GONE = [{"status": "CANCELLED"}]


def hint(world: World, booking: SimBooking, name: str = "BOOKING_CANCELLED") -> booking_hints.Recorded:
    """Take a hint as the gateway does."""
    told = BookingHint(event=name, booking_id=booking.id)
    return booking_hints.record(world.database, told, partners=[PARTNER_CODE], key_id="k", headers={})


def readings(world: World, booking: SimBooking) -> int:
    return len(world.control.requests(operation="get_booking", booking=booking.id))


def deliveries(world: World) -> list[WebhookDelivery]:
    return world.all(WebhookDelivery)


def slug(world: World, row_id: UUID) -> str:
    return str((world.row(row_id).problem or {}).get("type", "")).rpartition("/")[2]


def events(world: World, row_id: UUID) -> list[str]:
    return [line.event for line in world.timeline(row_id)]


def lost_confirm(world: World) -> tuple[SimBooking, UUID]:
    """Bring one to where its confirm was carried out, and nobody has heard of it."""
    booking = world.booking(faults=[{"on": "confirm", "do": "act_then_drop"}])
    row_id = world.accept(booking, refund=SKIP)
    world.drain()
    row = world.row(row_id)
    assert (row.status, row.next_step) == ("in_progress", "confirm")
    return booking, row_id


def awaiting_refund(world: World, **spec: Any) -> tuple[SimBooking, UUID]:
    booking = world.booking(**spec)
    row_id = world.accept(booking)
    world.drain()
    assert world.row(row_id).status == "awaiting_refund"
    return booking, row_id


@contextmanager
def listening(world: World) -> Iterator[None]:
    """Let XCover send its webhooks to our gateway, over HTTP."""
    gateway = Gateway(world.database, xcover_partner_code=PARTNER_CODE, xcover_webhook_keys=f"{KEY}:{SECRET}")
    server = make_server("127.0.0.1", 0, gateway.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/webhooks/xcover"
    world.control.settings(booking_webhooks={"url": url, "key": KEY, "secret": SECRET})
    try:
        yield
    finally:
        world.control.settings(booking_webhooks=None)
        server.shutdown()
        thread.join()
        server.server_close()
        write_counts(gateway)


def write_counts(gateway: Gateway) -> None:
    """Write what was counted down now: left to its thread it would come to the next test's database."""
    with gateway.app.app_context():
        current.tally().write()


def sent(world: World, booking: SimBooking) -> list[dict[str, Any]]:
    return [effect for effect in world.effects("webhook", booking) if effect["event"].startswith("BOOKING_")]


def test_a_hint_makes_a_lost_confirm_end_at_once(world: World) -> None:
    booking, row_id = lost_confirm(world)

    hint(world, booking)
    world.drain()

    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1
    (delivery,) = deliveries(world)
    assert (delivery.outcome, delivery.next_attempt_at) == ("applied", None)
    assert "hurried" in events(world, row_id)


def test_xcover_tells_us_itself_and_the_lost_confirm_ends(world: World) -> None:
    with listening(world):
        booking = world.booking(faults=[{"on": "confirm", "do": "act_then_drop"}])
        row_id = world.accept(booking, refund=SKIP)
        world.drain()
        world.control.wait_until(lambda: sent(world, booking))  # even while that drain was still under way
    world.drain()

    assert [(effect["event"], effect["outcome"]) for effect in sent(world, booking)] == [("BOOKING_CANCELLED", "taken")]
    assert world.row(row_id).status == "completed"
    assert len(world.effects("confirm", booking)) == 1


def test_a_booking_webhook_is_off_unless_it_is_set_up(world: World) -> None:
    booking = world.booking()
    world.accept(booking, refund=SKIP)
    world.settle()

    assert sent(world, booking) == []


def test_xcovers_word_of_what_we_did_ourselves_costs_no_request(world: World) -> None:
    with listening(world):
        booking = world.booking()
        row_id = world.accept(booking, refund=SKIP)
        world.drain()
        world.control.wait_until(lambda: sent(world, booking))
    read = readings(world, booking)
    world.drain()

    assert world.row(row_id).status == "completed"
    (delivery,) = deliveries(world)
    assert (delivery.outcome, delivery.verdict) == ("ignored", "nothing of this booking is under way")
    assert readings(world, booking) == read


def test_a_policy_that_someone_else_cancels_is_not_refunded_by_us_too(world: World) -> None:
    booking, row_id = awaiting_refund(world)
    world.control.patch_booking(booking.id, policies=GONE)

    hint(world, booking)
    world.drain()

    assert (world.row(row_id).status, slug(world, row_id)) == ("needs_review", "cancelled-by-someone-else")
    assert world.timeline(row_id)[-1].actor == "xcover"
    assert world.effects("confirm", booking) == []


def test_of_a_booking_with_two_policies_only_ours_count(world: World) -> None:
    booking = world.booking(policies=[{"price": 10}, {"price": 20}])
    row_id = world.accept(booking, quotes=[{"id": booking.quote_ids[0]}])
    world.drain()
    world.control.patch_booking(booking.id, policies=[{}, *GONE])
    hint(world, booking)
    world.drain()
    assert world.row(row_id).status == "awaiting_refund"

    world.control.patch_booking(booking.id, policies=GONE)
    world.later(61)
    hint(world, booking)
    world.drain()

    assert slug(world, row_id) == "cancelled-by-someone-else"


def test_the_partner_is_not_asked_again_to_refund_what_someone_else_cancelled(world: World) -> None:
    world.configure(refund_url=world.simulator.refund_url, refund_secret=REFUND_SECRET)
    booking = world.booking(faults=[{"on": "refund", "do": "error_before", "times": 50}])
    row_id = world.accept(booking, refund={"mode": "call"})
    world.drain()
    assert (world.row(row_id).status, world.row(row_id).next_step) == ("in_progress", "refund")
    world.control.patch_booking(booking.id, policies=GONE)

    hint(world, booking)
    world.settle()

    assert (world.row(row_id).status, slug(world, row_id)) == ("needs_review", "cancelled-by-someone-else")
    assert world.effects("refund", booking) == []


def test_what_a_hint_says_is_never_believed(world: World) -> None:
    booking, row_id = awaiting_refund(world)
    lines = events(world, row_id)

    for name in ("BOOKING_CANCELLED", "BOOKING_UPDATED", "RENEWAL_DUE"):
        hint(world, booking, name)
        world.drain()
        world.later(61)

    assert world.row(row_id).status == "awaiting_refund"
    assert events(world, row_id) == lines
    assert {delivery.outcome for delivery in deliveries(world)} == {"unchanged"}


def test_a_body_that_lies_changes_nothing(world: World) -> None:
    booking, row_id = awaiting_refund(world)
    gateway = Gateway(world.database, xcover_partner_code=PARTNER_CODE, xcover_webhook_keys=f"{KEY}:{SECRET}")
    lie = {
        "id": booking.quote_id,
        "status": "CANCELLED",
        "cancelled_at": "2026-01-01T00:00:00Z",
        "refund_value": 9999.0,
    }
    payload = {"id": booking.id, "status": "CANCELLED", "total_refund": 9999.0, "quotes": [lie]}
    date = format_datetime(utc_now(), usegmt=True)

    answer = gateway.client.post(
        "/webhooks/xcover",
        json={"event": "BOOKING_CANCELLED", "payload": payload},
        headers={"Date": date, "Authorization": signatures.authorization(KEY, SECRET, date)},
    )
    write_counts(gateway)
    world.drain()

    assert answer.status_code == 200
    row = world.row(row_id)
    assert (row.status, row.problem, row.preview_total) == ("awaiting_refund", None, Decimal("22.40"))
    (body,) = world.all(WebhookBody)
    assert json.loads(body.raw) == {"event": "BOOKING_CANCELLED", "payload": {"id": booking.id}}


def test_fifty_hints_are_one_delivery_and_one_reading_a_minute(world: World) -> None:
    booking, _ = awaiting_refund(world)
    before = readings(world, booking)
    for _ in range(50):
        hint(world, booking)
    assert len(deliveries(world)) == 1
    world.drain()
    assert readings(world, booking) == before + 1

    for _ in range(50):
        hint(world, booking)
        world.drain()
    assert len(deliveries(world)) == 2
    assert readings(world, booking) == before + 1

    world.later(61)
    world.sweep()
    world.drain()
    assert readings(world, booking) == before + 2
    assert all(delivery.handled_at for delivery in deliveries(world))


def test_a_forged_hint_does_not_make_an_unsettled_confirm_be_sent_again(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "drop_before"}])
    row_id = world.accept(booking, refund=SKIP)
    world.drain()
    confirms = len(world.control.requests(operation="confirm"))

    hint(world, booking)
    world.drain()

    assert len(world.control.requests(operation="confirm")) == confirms
    assert "hurried" not in events(world, row_id)
    world.settle()
    assert world.row(row_id).status == "completed"


def test_a_hint_waits_while_a_worker_is_confirming(world: World) -> None:
    booking, row_id = lost_confirm(world)
    world.later(400)
    with world.database.transaction() as tx:
        assert begin_step(tx, row_id, Step.CONFIRM) is not None
    read = readings(world, booking)

    hint(world, booking)
    world.drain()

    (delivery,) = deliveries(world)
    assert delivery.handled_at is None
    assert delivery.verdict is not None
    assert "a worker is cancelling it" in delivery.verdict
    assert readings(world, booking) == read

    with world.database.transaction() as tx:  # that worker gives up
        tx.session.execute(update(Cancellation).where(Cancellation.id == row_id).values(lease_until=None))
    world.later(45)
    world.run(TaskName.HANDLE_WEBHOOK, delivery.id)
    world.drain()
    assert world.row(row_id).status == "completed"


def test_a_hint_that_comes_before_anything_is_looked_up_asks_for_nothing(world: World) -> None:
    booking = world.booking()
    row_id = world.accept(booking)

    hint(world, booking)
    world.run(*world.database.published.pop())

    assert readings(world, booking) == 0
    assert world.row(row_id).done_steps == []


def test_while_xcover_is_away_the_hint_is_put_off(world: World) -> None:
    booking, row_id = awaiting_refund(world)
    world.control.patch_booking(booking.id, policies=GONE)
    world.control.settings(outage=503)
    hint(world, booking)
    world.drain()
    (delivery,) = deliveries(world)
    assert delivery.handled_at is None

    world.control.settings(outage=None)
    for _ in range(3):
        world.later(61)
        world.sweep()
        world.drain()

    assert slug(world, row_id) == "cancelled-by-someone-else"


def test_a_booking_that_xcover_does_not_show_changes_nothing(world: World) -> None:
    looked_up = {"on": "get_booking", "do": "slow", "seconds": 0}
    booking, row_id = awaiting_refund(world, faults=[looked_up, {"on": "get_booking", "do": "refuse", "status": 404}])

    hint(world, booking)
    world.drain()

    (delivery,) = deliveries(world)
    assert (delivery.outcome, delivery.verdict) == ("ignored", "XCover does not show the booking")
    assert world.row(row_id).status == "awaiting_refund"


def test_what_a_later_step_will_find_is_told_once_in_the_timeline(world: World) -> None:
    booking = world.booking(policies=[{"price": 50}], claim_story=[])
    row_id = world.accept(booking, journey="claim_then_cancel", claim={}, refund={"mode": "wait"})
    world.drain()
    assert world.row(row_id).status == "awaiting_premium_refund"
    world.control.patch_booking(booking.id, policies=GONE)

    for _ in range(3):
        hint(world, booking)
        world.drain()
        world.later(61)

    assert world.row(row_id).status == "awaiting_premium_refund"
    assert events(world, row_id).count("booking_changed") == 1
    assert [delivery.outcome for delivery in deliveries(world)] == ["applied", "unchanged", "unchanged"]


def test_a_cancellation_that_may_be_our_own_after_all_is_not_called_someone_elses(world: World) -> None:
    booking = world.booking(faults=[{"on": "confirm", "do": "drop_before", "times": 100}], policies=[{"price": 50}])
    row_id = world.accept(booking)
    world.drain()
    world.report_refund(row_id, "50.00", "EUR")
    world.drain()
    world.control.patch_booking(booking.id, policies=[{"price": 60}])
    for _ in range(20):  # the offer lapses, nothing is proven done, and the next one is another
        if slug(world, row_id) == "refund-amount-changed":
            break
        world.later(24 * 3600 + 60)
        world.sweep()
        world.drain()
    world.resolve(row_id, "not_done")
    world.drain()
    assert world.row(row_id).status == "awaiting_refund"
    world.control.patch_booking(booking.id, policies=GONE)

    hint(world, booking)
    world.drain()

    assert (world.row(row_id).status, slug(world, row_id)) == ("needs_review", "outcome-unsettled")


def test_a_hint_about_an_unknown_booking_is_not_kept(world: World) -> None:
    booking = world.booking()

    assert hint(world, booking) == booking_hints.Recorded.UNKNOWN_BOOKING
    assert deliveries(world) == []
