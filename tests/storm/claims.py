"""The storm's claims: made at the simulated XClaim by its own rules, written to our tables as a journey leaves them.

A journey each would take longer than the storm. Nothing is judged here.
"""

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared import claims, reservations
from shared.columns import new_id
from shared.db import Database, Transaction, now_plus
from shared.insurer.answers import Answer
from shared.lifecycle import Journey, Status, Step, steps_of
from shared.models import Cancellation
from shared.xclaim import claims as xclaim
from shared.xclaim import wire
from shared.xclaim.auth import StaticToken
from shared.xclaim.client import XClaimClient
from tests.chaos.stack import Stack
from tests.simulator import credentials

AT_ONCE = 4
LONG = timedelta(days=1).total_seconds()
"""Seconds: the waiting journeys look at their claims only when they are woken."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A claim at XClaim, and the token of the address that our row gets."""

    answer: Answer[xclaim.Claim]
    claim_id: str
    reference: str
    booking_id: str
    quote_id: str
    token: str
    is_awaited: bool
    """Its cancellation waits for the Premium Refund; any other's is completed."""


@contextmanager
def opened(stack: Stack) -> Iterator[Database]:
    """Give the service's database; messages are the service's own business."""
    url = stack.postgresql.url.replace("postgresql://", "postgresql+psycopg://", 1)
    database = Database(url, publish=lambda _messages: None)
    try:
        yield database
    finally:
        database.close()


def make(stack: Stack, awaited: Sequence[bool]) -> list[Made]:
    """Make as many bookings with a claim each at the insurer, in order."""
    base_url = f"{stack.insurer_url}/xclaim"
    client = XClaimClient(
        base_url=base_url, partner_code=credentials.PARTNER_CODE, tokens=StaticToken(credentials.XCLAIM_TOKEN)
    )
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda is_awaited: _made(stack, client, is_awaited=is_awaited), awaited))
    finally:
        client.close()


def write(tx: Transaction, made: Made) -> None:
    """Write our rows for a claim: its cancellation, its reservation where that still acts, and the claim itself."""
    row = Cancellation(**_cancellation(made))
    tx.session.add(row)
    tx.session.flush()
    if made.is_awaited:
        taken_by = reservations.take(tx, row, made.quote_id)
        assert taken_by is None, taken_by
    claim = claims.open_claim(tx, row, claim_type_id=credentials.CLAIM_TYPE_ID)
    assert claim is not None
    claim.webhook_token = made.token
    claims.apply_answer(
        tx, claim.id, made.answer.value, asked_at=claim.created_at, insurer_time=None, is_answer_to_create=True
    )


def _made(stack: Stack, client: XClaimClient, *, is_awaited: bool) -> Made:
    booking = stack.insurer.add_booking(claim_story=[])
    token = secrets.token_urlsafe(24)
    body = wire.claim_request(
        claim_type_id=credentials.CLAIM_TYPE_ID,
        booking_id=booking.id,
        quote_id=booking.quote_id,
        language="en",
        section_fields=[],
        webhook_url=f"{stack.gateway}/webhooks/xclaim/{token}",
        webhook_key="the-storm-signs-by-itself",
    )
    answer = client.create_claim(body, idempotency_key=token)
    assert answer.value.id is not None
    assert answer.value.reference is not None
    return Made(
        answer=answer,
        claim_id=answer.value.id,
        reference=answer.value.reference,
        booking_id=booking.id,
        quote_id=booking.quote_id,
        token=token,
        is_awaited=is_awaited,
    )


def _cancellation(made: Made) -> dict[str, Any]:
    journey = Journey.CLAIM_THEN_CANCEL if made.is_awaited else Journey.CLAIM
    values: dict[str, Any] = {
        "id": new_id(),
        "partner": credentials.PARTNER_CODE,
        "caller": "shop",
        "idempotency_key": made.claim_id,
        "fingerprint": "0" * 64,
        "booking_id": made.booking_id,
        "journey": journey.value,
        "request": {"booking_id": made.booking_id},
        "metadata_": {},
        "steps": [step.value for step in steps_of(journey)],
        "claim_quote_id": made.quote_id,
        "refund_mode": "skip",
        "irreversible_at": now_plus(0),
    }
    if not made.is_awaited:
        return values | {"status": Status.COMPLETED, "done_steps": values["steps"], "quotes": [], "next_step": None}
    return values | {
        "status": Status.AWAITING_PREMIUM_REFUND,
        "done_steps": [Step.LOOK_UP.value, Step.CLAIM.value],
        "next_step": Step.AWAIT_PREMIUM_REFUND,
        "quotes": [{"id": made.quote_id}],
        "waiting_since": now_plus(0),
        "next_attempt_at": now_plus(LONG),
    }
