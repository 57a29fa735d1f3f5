"""How each place is brought about: the booking, what is asked for, and what the world outside does on the way."""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from shared import broker, caller_actions, intake, webhook_events
from shared.cancellation_request import parse
from shared.lifecycle import TaskName
from shared.models import Cancellation, Claim
from tests.crash_matrix.boundaries import Boundary
from tests.crash_matrix.cases import Case, Death
from tests.crash_matrix.deployment import Deployment
from tests.crash_matrix.dooms import Doom
from tests.simulator import SimBooking

CALLER = "shop"
REFUND = {"amount": "22.40", "currency": "EUR", "reference": "re_1"}
SKIP: dict[str, Any] = {"refund": {"mode": "skip"}}
NOW: dict[str, Any] = {"journey": "cancel_now"}
CLAIM_FIRST: dict[str, Any] = {"journey": "claim_then_cancel", "claim": {}, **SKIP}
PREMIUM_REFUND = {"event": "claim.status-update", "category": "Payment Processing", "name": "premium_refund"}
ASKED_FOR: dict[str, dict[str, Any]] = {
    "look_up": NOW,
    "preview": SKIP,
    "refund-wait": {"refund": {"mode": "wait"}},
    "refund-skip": SKIP,
    "refund-call": {"refund": {"mode": "call"}},
    "confirm": SKIP,
    "cancel": NOW,
    "claim": {"journey": "claim", "claim": {}},
    "await_premium_refund": CLAIM_FIRST,
    "webhook-event": CLAIM_FIRST,
    "webhook-answer": {"journey": "claim", "claim": {}},
    TaskName.REQUEST: NOW,
    TaskName.REPORT_REFUND: {"refund": {"mode": "wait"}},
    TaskName.ABORT: {"refund": {"mode": "wait"}},
    "sweep": NOW,
}
EVENT_AT = {"webhook-event": "awaiting_premium_refund", "webhook-answer": "completed"}
"""Where the event finds its cancellation: waiting for it, or so that nobody else asks for the claim meanwhile."""
ACTS = {Death.KILLED: "kill", Death.STOPPED: "stop"}


@dataclass
class Life:
    """One case as it is played."""

    case: Case
    booking: SimBooking
    key: str
    victim: str = ""
    row_id: UUID | None = None
    delivery_id: UUID | None = None
    has_arrived: bool = False
    """Its process is at the boundary, or was."""
    is_struck: bool = False
    """Its process has got the signal."""
    is_aged: bool = False
    """What it held has been made to run out."""
    told: set[str] = field(default_factory=set)
    """What the world outside has done already."""

    @property
    def sent(self) -> dict[str, Any]:
        """What the caller asks for."""
        return {"booking_id": self.booking.id, **ASKED_FOR[self.case.place.name]}


def begin(world: Deployment, case: Case) -> Life:
    """Have the cancellation asked for; the doom is there before anybody can run its task."""
    booking = world.simulator.control.add_booking(**_booking(case))
    life = Life(case=case, booking=booking, key=f"key-{case.name}")
    if case.place.task is TaskName.REQUEST:
        life.victim = life.key
        world.dooms.write(doom_of(life))
        send(world, TaskName.REQUEST, life, **life.sent)
        return life
    wanted = parse(life.sent, settings=world.settings)
    with world.database.transaction() as tx:
        life.row_id, _ = intake.accept(tx, wanted, sent=life.sent, caller=CALLER, key=life.key)
        if case.place.step is not None:
            life.victim = str(life.row_id)
            world.dooms.write(doom_of(life))
        if case.place.task is TaskName.SWEEP:  # its message is lost, and has been for a while
            tx.messages.clear()
            lost = update(Cancellation).where(Cancellation.id == life.row_id)
            tx.session.execute(lost.values(ring_after=None))
            life.victim = f"sweep-{case.boundary}"
            world.dooms.write(doom_of(life))
    if case.place.task is TaskName.SWEEP:
        ring_the_sweeper(world)
    return life


def go_on(world: Deployment, life: Life, status: str) -> None:
    """Do what the partner, XClaim or a producer does next; harmless to ask again and again."""
    place = life.case.place
    if status == "awaiting_refund" and place.task in {TaskName.REPORT_REFUND, TaskName.ABORT}:
        life.victim = life.key
        if _first(life, "doomed message"):
            world.dooms.write(doom_of(life))
            send(world, place.task, life, **(REFUND if place.task is TaskName.REPORT_REFUND else {}))
    elif status == "awaiting_refund" and _first(life, "refund reported"):
        report_refund(world, life)
    elif status == EVENT_AT.get(place.name) and _first(life, "premium refund"):
        _bring_event(world, life)


def repeat(world: Deployment, life: Life) -> None:
    """Send a door's message once more, as a producer does that does not see what it asked for."""
    task = life.case.place.task
    fields = life.sent if task is TaskName.REQUEST else REFUND if task is TaskName.REPORT_REFUND else {}
    send(world, task, life, **fields)


def send(world: Deployment, task: TaskName, life: Life, **fields: Any) -> None:
    """Send a producer's message to the Celery door."""
    kwargs = {**fields, "idempotency_key": life.key, "caller": CALLER}
    world.queues.send_task(task.value, kwargs=kwargs, queue=broker.DOOR_QUEUE)


def ring_the_sweeper(world: Deployment) -> None:
    """Have the sweeper look now, beside the looks that beat rings for."""
    world.queues.send_task(TaskName.SWEEP.value, queue=broker.SWEEP_QUEUE, expires=broker.SWEEP_EVERY * 2)


def report_refund(world: Deployment, life: Life) -> None:
    """Report the refund as the partner does."""
    assert life.row_id is not None
    report = caller_actions.RefundReport(
        amount=Decimal(REFUND["amount"]),
        currency=REFUND["currency"],
        reference=REFUND["reference"],
        actor=f"caller:{CALLER}",
    )
    with world.database.transaction() as tx:
        caller_actions.report_refund(tx, life.row_id, report)


def doom_of(life: Life) -> Doom:
    """Return what is to happen to this life's victim."""
    case = life.case
    act = "hold" if case.is_held_by_the_insurer else ACTS.get(case.death, "wait")
    return Doom(
        victim=life.victim,
        task=case.place.task.value,
        boundary=case.boundary.value,
        last=case.place.transactions,
        act=act,
        only_with_messages=case.place.task is TaskName.SWEEP and case.boundary is not Boundary.BEFORE_LEASE,
    )


def _booking(case: Case) -> dict[str, Any]:
    spec: dict[str, Any] = {"key_mode": case.mode, "faults": [], "claim_story": []}
    if case.place.task is not TaskName.HANDLE_WEBHOOK:  # whose faults come with the event
        spec["faults"] += _faults(case)
    if case.place.name == "await_premium_refund":  # it is there before the step asks: this very try goes on
        spec["claim_story"] = [PREMIUM_REFUND]
        spec["faults"].append({"on": "webhook", "do": "before_answer"})
    return spec


def _faults(case: Case) -> list[dict[str, Any]]:
    """Return what the insurer does to the doomed try's request."""
    on, status = case.place.asks, {"status": 502} if case.answers_error else {}
    if case.boundary is Boundary.REQUEST_LEFT:
        return [{"on": on, "do": "hold_before"}]
    if case.boundary is Boundary.INSURER_ACTED:
        return [{"on": on, "do": "hold_after", **status}]
    return [{"on": on, "do": "act_then_error", **status}] if case.answers_error else []


def _bring_event(world: Deployment, life: Life) -> None:
    """Let the claim report its Premium Refund, and deliver the event as the gateway stores it."""
    world.simulator.control.patch_booking(life.booking.id, faults=_faults(life.case))
    (claim,) = world.simulator.control.claims(life.booking.id)
    world.simulator.control.send_event(claim["id"], send=False, **PREMIUM_REFUND)
    body = {
        "event": PREMIUM_REFUND["event"],
        "payload": {
            "id": claim["id"],
            "claimReference": claim["reference"],
            "status": {"category": PREMIUM_REFUND["category"], "name": PREMIUM_REFUND["name"]},
        },
    }
    with world.database.transaction() as tx:
        token = tx.session.scalar(select(Claim.webhook_token).where(Claim.cancellation_id == life.row_id))
        life.delivery_id, _ = webhook_events.record(
            tx, json.dumps(body).encode(), source="xclaim", token=token, key_id="first", headers={}
        )
        if life.case.place.task is TaskName.HANDLE_WEBHOOK:
            life.victim = str(life.delivery_id)
            world.dooms.write(doom_of(life))


def _first(life: Life, what: str) -> bool:
    if what in life.told:
        return False
    life.told.add(what)
    return True
