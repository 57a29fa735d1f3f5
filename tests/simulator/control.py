"""The tests' side of the simulator, under `/_control`: make bookings, throw switches, read what happened."""

import random
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.simulator import claim_payloads
from tests.simulator.records import Booking, Policy, StoryEvent
from tests.simulator.state import State
from tests.simulator.webhooks import Sender

PREFIX = "/_control"


class MissingError(Exception):
    """There is no such booking or claim."""


class Event(StoryEvent):
    send: bool = True  # false: the claim changes and nobody is told


class Forgetting(BaseModel):
    model_config = ConfigDict(extra="forbid")

    share: float = Field(ge=0, le=1)
    seed: int


class Notification(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    key: str
    secret: str
    event: str = "BOOKING_CANCELLED"


def blueprint(state: State, sender: Sender) -> Blueprint:
    routes = Blueprint("control", __name__, url_prefix=PREFIX)

    @routes.errorhandler(ValidationError)
    def wrong(error: ValidationError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    @routes.errorhandler(MissingError)
    def missing(error: MissingError) -> tuple[Response, int]:
        return jsonify(error=f"there is no {error}"), 404

    @routes.get("/health")
    def health() -> Response:
        return jsonify(ok=True, now=state.now().isoformat())

    @routes.post("/reset")
    def reset() -> Response:
        sender.clear()
        state.reset()
        return jsonify(ok=True)

    @routes.route("/settings", methods=["GET", "POST"])
    def settings() -> Response:
        if request.method == "POST":
            with state.lock:
                merged = {**state.settings.model_dump(), **request.get_json()}
                state.settings = type(state.settings).model_validate(merged)
        return jsonify(state.settings.model_dump(mode="json"))

    @routes.post("/forget_keys")
    def forget_keys() -> Response:
        wanted = Forgetting.model_validate(request.get_json())
        chance = random.Random(wanted.seed)
        return jsonify(
            forgotten=sum(keys.forget(wanted.share, chance) for keys in (state.xcover_keys, state.xclaim_keys))
        )

    _add_bookings(routes, state, sender)
    _add_claims(routes, state, sender)
    _add_records(routes, state)
    return routes


def _add_bookings(routes: Blueprint, state: State, sender: Sender) -> None:
    @routes.post("/bookings")
    def add_booking() -> tuple[Response, int]:
        booking = Booking.model_validate(request.get_json())
        with state.lock:
            booking.fill_dates(state.now())
            state.bookings[booking.id] = booking
            return jsonify(_summary(state, booking)), 201

    @routes.get("/bookings/<booking_id>")
    def show_booking(booking_id: str) -> Response:
        with state.lock:
            return jsonify(_summary(state, _booking(state, booking_id)))

    @routes.patch("/bookings/<booking_id>")
    def patch_booking(booking_id: str) -> Response:
        with state.lock:
            booking = _booking(state, booking_id)
            _patch(booking, request.get_json())
            booking.fill_dates(state.now())
            sender.tell_of_booking(booking)
            return jsonify(_summary(state, booking))

    @routes.post("/bookings/<booking_id>/notify")
    def notify(booking_id: str) -> Response:
        wanted = Notification.model_validate(request.get_json())
        sender.notify(_booking(state, booking_id), **wanted.model_dump())
        return jsonify(ok=True)


def _add_claims(routes: Blueprint, state: State, sender: Sender) -> None:
    @routes.get("/claims")
    def every_claim() -> Response:
        with state.lock:
            found = state.claims_of(request.args.get("booking"))
            return jsonify(claims=[claim_payloads.summary(claim) for claim in found])

    @routes.post("/claims/<claim_id>/events")
    def send_event(claim_id: str) -> Response:
        event = Event.model_validate(request.get_json())
        claim = state.find_claim(claim_id)
        if claim is None:
            raise MissingError(f"claim {claim_id}")
        sender.happen(claim, event, is_sent=event.send)
        return jsonify(claim_payloads.summary(claim))


def _add_records(routes: Blueprint, state: State) -> None:
    @routes.get("/ledger")
    def ledger() -> Response:
        booking_id = request.args.get("booking")
        return jsonify(effects=state.effects(booking_id), summary=state.summary(booking_id))

    @routes.get("/random_faults")
    def random_faults() -> Response:
        with state.lock:
            thrown = [{"on": on, "do": do, "times": times} for (on, do), times in state.dice.thrown.items()]
        return jsonify(random_faults=thrown)

    @routes.get("/request_counts")
    def request_counts() -> Response:
        with state.lock:
            return jsonify(request_counts=state.dice.counts())

    @routes.get("/requests")
    def requests() -> Response:
        with state.lock:
            found = [dict(entry) for entry in state.requests]
        for name in ("booking", "operation", "method"):
            wanted = request.args.get(name)
            found = [entry for entry in found if wanted in (None, entry[name])]
        return jsonify(requests=found)


def _booking(state: State, booking_id: str) -> Booking:
    booking = state.bookings.get(booking_id)
    if booking is None:
        raise MissingError(f"booking {booking_id}")
    return booking


def _patch(booking: Booking, changes: dict[str, Any]) -> None:
    """Set what is named; policies are found by id, or by position when they name none."""
    checked = Booking.model_validate({**changes, "policies": [{}]})
    for number, change in enumerate(changes.get("policies", [])):
        policy = booking.policy(change["id"]) if "id" in change else booking.policies[number]
        if policy is None:
            raise MissingError(f"policy {change['id']}")
        typed = Policy.model_validate(change)
        for name in change:
            setattr(policy, name, getattr(typed, name))
    for name in changes.keys() - {"policies", "id"}:
        setattr(booking, name, getattr(checked, name))


def _summary(state: State, booking: Booking) -> dict[str, Any]:
    shown = booking.model_dump(mode="json")
    return {
        **shown,
        "status": booking.status,
        "quote_ids": [policy.id for policy in booking.policies],
        "cancellation_ids": list(booking.cancellations),
        "claim_ids": [claim.id for claim in state.claims_of(booking.id)],
    }
