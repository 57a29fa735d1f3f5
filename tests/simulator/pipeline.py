"""The way every request takes: faults, idempotency key, the endpoint's own rules, the answer."""

import json
from collections.abc import Callable

from flask import Response, g, request

from tests.simulator import faults
from tests.simulator.answers import Answer, RefusedError, send
from tests.simulator.faults import Fault
from tests.simulator.keys import Keys
from tests.simulator.state import State

KEY_HEADER = "x-idempotency-key"


def serve(
    state: State,
    operation: str,
    act: Callable[[], Answer],
    *,
    booking_id: str | None = None,
    keys: Keys | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Answer one request; `keys` is given where the idempotency key is looked at."""
    fault = state.take_fault(booking_id, operation)
    g.entry.update(operation=operation, booking=booking_id, fault=fault.do if fault else None)
    if state.settings.latency:
        state.stopping.wait(state.settings.latency)
    answer = faults.instead(fault, request.path)
    if fault is not None and fault.do == "hold_before":  # on the way to us: not even the key has been seen
        state.holds.wait(booking_id or "")
    if answer is None:
        answer = _carry_out(state, fault, act, keys, booking_id=booking_id)
        if fault is not None and fault.do == "hold_after":
            state.holds.wait(booking_id or "")
        answer = faults.on_the_way_back(fault, answer, json.dumps(answer.body).encode())
    return send(answer.with_headers(headers or {}))


def _carry_out(
    state: State, fault: Fault | None, act: Callable[[], Answer], keys: Keys | None, *, booking_id: str | None
) -> Answer:
    key = request.headers.get(KEY_HEADER)
    if keys is None or not key:
        return _perform(state, fault, act)
    stores_errors = state.key_mode(booking_id) == "storing_errors"
    fingerprint = f"{request.method} {request.path}\n".encode() + request.get_data()
    remembered = keys.begin(key, fingerprint)
    if remembered is not None:
        return faults.failure(fault) or remembered
    kept = None
    try:
        answer = _perform(state, fault, act)
        if stores_errors:
            kept = faults.gateway_error(fault) or answer
        elif answer.is_success:
            kept = answer
    finally:
        keys.finish(key, kept)
    return answer


def _perform(state: State, fault: Fault | None, act: Callable[[], Answer]) -> Answer:
    if fault is not None and fault.do == "slow":
        state.stopping.wait(fault.seconds)
    failed = faults.failure(fault)
    if failed is not None:
        return failed
    try:
        return faults.rewrite(fault, act())
    except RefusedError as refused:
        return refused.answer
