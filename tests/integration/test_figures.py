"""What /metrics says of cancellations, insurers, webhooks and processes is so."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import null, update

from shared import pauses
from shared.breaker_models import BreakerState
from shared.callback_models import Callback
from shared.clock import utc_now
from shared.columns import new_id
from shared.db import now_plus
from shared.lifecycle import Step
from shared.models import Call, Cancellation, Transition
from shared.operations_models import AuditEntry, InsurerCheck, Pause, ProcessSeen
from shared.webhook_models import WebhookBody, WebhookDelivery, WebhookTally
from tests.breaches import change
from tests.every_ending import STATES, write
from tests.promql import Scrape, scrape, series
from tests.simulator import PARTNER_CODE
from tests.world import World
from webhook_gateway import metrics
from workers.app import app

SKIP = {"mode": "skip"}
Told = Callable[[], Scrape]


@pytest.fixture
def told(world: World, broker: str) -> Told:
    """Scrape a gateway that remembers nothing."""

    def asked() -> Scrape:
        gateway = Flask(__name__)
        metrics.register(gateway, world.database, app)
        return scrape(gateway.test_client().get("/metrics").text)

    return asked


def add(world: World, *rows: Any) -> None:
    with world.database.transaction() as tx:
        for row in rows:  # one after the other, since one may name another
            tx.session.add(row)
            tx.session.flush()


def ago(**spans: float) -> Any:
    return utc_now() - timedelta(**spans)


def of(figures: Scrape, name: str, label: str) -> dict[str, float]:
    """Return a figure by one of its labels, without zeros."""
    return {dict(labels)[label]: value for (named, labels), value in figures.items() if named == name and value}


def test_what_has_not_ended_is_counted_by_status_with_its_oldest(world: World, told: Told) -> None:
    for state in ("in_progress/preview", "in_progress/claim", "awaiting_refund/refund", "completed/-!"):
        row_id = write(world, STATES[state])
        change(world, Cancellation, row_id, created_at=ago(seconds=500))

    figures = told()
    assert of(figures, "cfar_cancellations", "status") == {"in_progress": 2, "awaiting_refund": 1}
    oldest = of(figures, "cfar_oldest_seconds", "status")
    assert oldest.keys() == {"in_progress", "awaiting_refund"}
    assert all(500 <= seconds < 560 for seconds in oldest.values())


def test_what_waits_for_a_person_is_told_by_problem(world: World, told: Told) -> None:
    for state in ("needs_review/look_up", "needs_review/confirm", "needs_review/claim!"):
        write(world, STATES[state])
    row_id = write(world, STATES["needs_review/look_up"])
    change(world, Cancellation, row_id, problem={"type": "/problems/of-another-release"})

    assert of(told(), "cfar_needs_review", "problem") == {"tries-spent": 2, "outcome-unsettled": 1, "other": 1}


def test_a_journey_shows_in_what_was_accepted_done_and_asked(world: World, told: Told) -> None:
    world.accept(world.booking(), refund=SKIP)
    world.settle()
    world.accept("NO-SUCH-BOOKING")
    world.settle()

    figures = told()
    assert figures[series("cfar_accepted_5m", {})] == 2
    assert of(figures, "cfar_ended_5m", "status") == {"completed": 1, "rejected": 1}
    done = {"step": "confirm", "outcome": "done"}
    assert figures[series("cfar_steps_5m", done)] == 1
    assert figures[series("cfar_steps_5m", {"step": "look_up", "outcome": "rejected"})] == 1
    assert figures[series("cfar_calls_5m", {"service": "xcover", **done})] == 1
    assert 0 <= figures[series("cfar_step_seconds", {"step": "confirm", "quantile": "0.5"})] < 60


def test_what_happened_before_the_last_five_minutes_is_not_told(world: World, told: Told) -> None:
    row_id = world.accept(world.booking(), refund=SKIP)
    world.settle()
    before = ago(seconds=301)
    change(world, Cancellation, row_id, created_at=before)
    change(world, Transition, row_id, at=before)
    change(world, Call, row_id, first_sent_at=before)

    figures = told()
    assert figures[series("cfar_accepted_5m", {})] == 0
    for name in ("cfar_steps_5m", "cfar_calls_5m", "cfar_step_seconds"):
        assert of(figures, name, "step") == {}
    assert of(figures, "cfar_ended_5m", "status") == {}


@pytest.mark.parametrize(
    ("fault", "cause"),
    [({"do": "throttle"}, "throttled"), ({"do": "error_before", "status": 503}, "unavailable")],
    ids=["429", "503"],
)
def test_retries_are_told_by_cause(world: World, told: Told, fault: dict[str, Any], cause: str) -> None:
    row_id = world.accept(world.booking(faults=[{"on": "get_booking", **fault}]), refund=SKIP)
    world.drain()

    assert world.row(row_id).status == "in_progress"
    assert of(told(), "cfar_retries_5m", "cause") == {cause: 1}


def test_a_step_counts_from_its_beginning_whatever_it_was_put_off_for(world: World, told: Told) -> None:
    row_id = world.accept(world.booking(), refund=SKIP)
    entered, put_off = {"event": "accepted", "to_step": "look_up"}, {"event": "postponed", "from_step": "look_up"}
    change(world, Transition, row_id, at=ago(seconds=100), **entered)
    add(
        world,
        Transition(
            cancellation_id=row_id, at=ago(seconds=50), to_status="in_progress", to_step="look_up", actor="worker",
            reason="", details={}, **put_off,
        ),
    )  # fmt: skip
    world.drain()

    figures = told()
    assert 100 <= figures[series("cfar_step_seconds", {"step": "look_up", "quantile": "0.99"})] < 160
    assert figures[series("cfar_step_seconds", {"step": "preview", "quantile": "0.99"})] < 60


def test_an_unknown_outcome_is_told_until_it_is_settled(world: World, told: Told) -> None:
    in_doubt = write(world, STATES["needs_review/confirm!"])
    under_way = write(world, STATES["in_progress/confirm!"])
    ended = write(world, STATES["completed/-!"])
    change(world, Call, in_doubt, first_sent_at=ago(seconds=4000), last_sent_at=ago(seconds=300))
    change(world, Call, under_way, last_sent_at=ago(seconds=5))
    change(world, Call, ended, outcome="unknown", last_sent_at=ago(seconds=9000))

    figures = told()
    assert of(figures, "cfar_unknown_outcomes", "step") == {"confirm": 1}
    assert 4000 <= figures[series("cfar_oldest_unknown_outcome_seconds", {})] < 4060


def test_leases_that_ran_out_are_told(world: World, told: Told) -> None:
    lost, held, waiting = (write(world, STATES["in_progress/preview"]) for _ in range(3))
    change(world, Cancellation, lost, lease_until=ago(seconds=1), next_attempt_at=ago(seconds=30), abandoned=2)
    change(world, Cancellation, held, lease_until=ago(seconds=-60), next_attempt_at=ago(seconds=30), abandoned=1)
    change(world, Cancellation, waiting, next_attempt_at=ago(seconds=-60), abandoned=4)

    figures = told()
    assert figures[series("cfar_leases_expired", {})] == 1
    assert figures[series("cfar_leases_abandoned", {})] == 3


def test_those_in_line_are_told_by_partner_and_class(world: World, told: Told) -> None:
    for turn_class in (0, 2, 2):
        change(world, Cancellation, write(world, STATES["in_progress/preview"]), turn_class=turn_class, turn=1)

    assert of(told(), "cfar_line_length", "class") == {"promised": 1, "bulk": 2}
    assert set(of(told(), "cfar_line_length", "partner")) == {PARTNER_CODE}


def test_pauses_and_what_persons_did_are_told(world: World, told: Told) -> None:
    with world.database.transaction() as tx:
        pauses.pause(tx, step=Step.CONFIRM, by="operator:anna", note="a secret reason")
        pauses.pause(tx, by="operator:anna")
        tx.session.execute(update(Pause).where(Pause.step == Step.CONFIRM).values(paused_at=ago(seconds=1000)))
        tx.session.add(AuditEntry(action="retry", actor="operator:anna", at=ago(seconds=301), details={}))

    figures = told()
    assert figures[series("cfar_pauses", {})] == 2
    assert 1000 <= figures[series("cfar_pause_seconds", {"partner": "", "step": "confirm"})] < 1060
    assert of(figures, "cfar_audit_entries_5m", "action") == {"pause": 2}


def test_breakers_and_harmless_questions_are_told(world: World, told: Told) -> None:
    opened = BreakerState(
        partner="ABCDE", service="xcover", opened_at=ago(seconds=400), probe_after=ago(seconds=1), failures=9
    )
    closed = BreakerState(partner="ABCDE", service="xclaim", failures=1)
    refused = InsurerCheck(
        partner="ABCDE", service="xcover", checked_at=ago(seconds=70), verdict="refused", said="401", clock_lead=-3.5
    )
    add(world, opened, closed, refused)

    figures = told()
    xcover = {"partner": "ABCDE", "service": "xcover"}
    assert 400 <= figures[series("cfar_breaker_open_seconds", xcover)] < 460
    assert figures[series("cfar_breaker_open_seconds", {"partner": "ABCDE", "service": "xclaim"})] == 0
    assert 70 <= figures[series("cfar_insurer_check_age_seconds", {**xcover, "verdict": "refused"})] < 130
    assert figures[series("cfar_insurer_clock_lead_seconds", xcover)] == -3.5


def test_webhooks_are_told_by_verdict_and_how_late_they_are_handled(world: World, told: Told) -> None:
    now = utc_now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    body = WebhookBody(id=new_id(), source="xclaim", digest="0" * 64, raw=b"{}")
    tallied = {"source": "xclaim", "verdict": "not_verified", "last_at": now}
    add(
        world,
        WebhookTally(hour=hour, key_id="", count=7, **tallied),
        WebhookTally(hour=hour, key_id="older", count=3, **tallied),
        WebhookTally(hour=hour - timedelta(hours=1), key_id="", count=90, **tallied),
        body,
        WebhookDelivery(body_id=body.id, headers={}, next_attempt_at=ago(seconds=200)),
        WebhookDelivery(
            body_id=body.id, headers={}, received_at=ago(seconds=20), handled_at=ago(seconds=8), next_attempt_at=null()
        ),
    )

    figures = told()
    came = {"source": "xclaim", "verdict": "not_verified"}
    assert figures[series("cfar_webhooks_total", came)] == 10
    assert figures[series("cfar_webhooks_unhandled", {})] == 1
    assert 200 <= figures[series("cfar_webhook_lag_seconds", {})] < 260
    assert 11.5 <= figures[series("cfar_webhook_handling_seconds", {"quantile": "0.95"})] <= 12.5


def test_callbacks_that_wait_are_told(world: World, told: Told) -> None:
    row_id = write(world, STATES["in_progress/preview"])
    add(
        world,
        Callback(
            cancellation_id=row_id,
            sequence=1,
            type="cancellation.completed",
            payload={},
            next_attempt_at=ago(seconds=90),
        ),
    )

    figures = told()
    assert figures[series("cfar_callbacks_pending", {})] == 1
    assert 90 <= figures[series("cfar_callbacks_overdue_seconds", {})] < 150


def test_processes_are_told_by_kind_and_never_by_name(world: World, told: Told) -> None:
    nobody = told()
    assert nobody[series("cfar_process_seen_seconds", {"kind": "beat"})] == float("inf")
    for name, seconds in (("celery@one", 5), ("celery@two", 30), ("celery@gone", 900)):
        add(world, ProcessSeen(name=name, kind="worker", seen_at=now_plus(-seconds), details={}))

    add(world, ProcessSeen(name="celery@slow", kind="worker", details={"clock_lead": -7.5}))
    add(world, ProcessSeen(name="celery@fast", kind="worker", details={"clock_lead": 2}))

    figures = told()
    assert figures[series("cfar_workers", {})] == 4
    assert figures[series("cfar_process_clock_lead_seconds", {"kind": "worker"})] == -7.5
    assert figures[series("cfar_process_seen_seconds", {"kind": "worker"})] < 60


def test_no_label_holds_what_a_caller_chose(world: World, told: Told) -> None:
    booking = world.booking()
    row_id: UUID = world.accept(booking, refund=SKIP, metadata={"order": "qqmark"}, caller="qqcaller", key="qqkey")
    world.settle()

    values = {value for _, labels in told() for _, value in labels}
    assert not any("qq" in value or booking.id in value or str(row_id) in value for value in values)
