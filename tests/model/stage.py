"""Where an example plays: gateway, steps, database, insurer and a letter box for its webhooks; reset for each."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exc, select

from shared import clock
from shared.db import now_plus
from shared.lifecycle import TaskName
from shared.models import Call, Cancellation, Reservation, Transition
from shared.webhook_models import WebhookDelivery
from tests.gateway import Gateway
from tests.model.asking import Doom, Interruption
from tests.model.interruptions import (
    Act,
    BreakableDatabase,
    Killed,
    TakenAway,
    away,
    die,
    in_no_transaction,
    lose_the_database,
    watch,
)
from tests.recording import removable
from tests.simulator import CLAIM_TYPE_ID, PARTNER_CODE, REFUND_SECRET, SimBooking, SimulatorServer
from tests.simulator.receiver import Arrived, Receiver
from tests.simulator.records import Claim as InsurersClaim
from tests.world import WEBHOOK_KEY, World, connections
from workers.runtime import runtime

SHOP = "shop"
A_MOMENT = 4.0
"""Seconds of a lease within which nobody else may take it."""


class Stage(World):
    """A world whose messages, letters and clock are moved by the machine alone."""

    def __init__(self, database: BreakableDatabase, simulator: SimulatorServer, letters: Receiver) -> None:
        self.letters = letters
        self.interruptions = database.interruptions
        self.elapsed = 0.0
        self.ended: Counter[str] = Counter()
        self._settings = {
            "public_url": letters.url.removesuffix("/hook"),
            "refund_url": simulator.refund_url,
            "refund_secret": REFUND_SECRET,
            "API_TOKENS": f"{SHOP}:token",
        }
        super().__init__(database, simulator, **self._settings)
        self.gateway = Gateway(
            database, xcover_partner_code=PARTNER_CODE, xclaim_claim_type_id=CLAIM_TYPE_ID,
            xclaim_webhook_keys=WEBHOOK_KEY, refund_url=simulator.refund_url,
        )  # fmt: skip

    def begin(self, insurer: dict[str, Any]) -> None:
        """Forget the example before."""
        self.ended["examples"] += 1
        self._put_time_back()
        self.database.published.clear()
        self.letters.arrived.clear()
        self.interruptions.calm()
        self.interruptions.struck.clear()
        with self.database.transaction() as tx:
            for table in removable():
                tx.session.execute(delete(table))
        self.control.reset()
        self.control.settings(webhook_tries=1, **insurer)
        self.configure(**self._settings)
        watch(connections(), runtime().database, self.interruptions)

    def _put_time_back(self) -> None:
        for moved in reversed(self._time):
            moved.__exit__(None, None, None)
        self._time.clear()
        self.elapsed = 0.0

    def later(self, seconds: float) -> None:
        """Move our clock and the insurer's, without asking it over HTTP."""
        moved = clock.travel(timedelta(seconds=seconds))
        moved.__enter__()
        self._time.append(moved)
        self.elapsed += seconds
        state = self.simulator.state
        with state.lock:
            state.settings.clock_offset_seconds += seconds

    def perform(self, task: TaskName, row_id: Any) -> None:
        """Run a task in a process of its own; where that comes to grief, the message was not acknowledged."""
        with self._process() as is_fine, self.interruptions.during(task, str(row_id)), self._a_lease_is_kept(row_id):
            self.run(task, row_id)
            is_fine.append(task)
        if not is_fine:
            self.database.published.append((task, row_id))

    @contextmanager
    def _a_lease_is_kept(self, row_id: Any) -> Iterator[None]:
        """See to it that a task leaves a row alone while somebody else's lease on it is live."""
        live = self._lease_of(row_id, Cancellation.lease_until >= now_plus(A_MOMENT))
        came, since = self.interruptions.came.total(), time.monotonic()
        try:
            yield
        finally:
            # Only where nothing else happened meanwhile: time, callers and operators may end a lease.
            is_plain = self.interruptions.came.total() == came and time.monotonic() - since < A_MOMENT
            if live is not None and is_plain:
                after = self._lease_of(row_id)
                assert after == live, f"lease {live} was live, and yet {after} was taken"

    def _lease_of(self, row_id: Any, *where: Any) -> int | None:
        with self.database.reading() as session:
            return session.scalar(select(Cancellation.lease).where(Cancellation.id == row_id, *where))

    def sweep(self) -> None:
        """Let the sweeper look once, in a process of its own."""
        with self._process(), self.interruptions.during(TaskName.SWEEP, ""):
            super().sweep()

    def wait_for_work(self, *, at_most: float) -> None:
        """Let time pass until a row is due and a lost message is missed, and let the sweeper ring."""
        wait = self._seconds_to_next()
        if wait is not None:
            self.later(min(max(wait, 0.0), at_most) + 10.1)
            self.sweep()

    @contextmanager
    def _process(self) -> Iterator[list[TaskName]]:
        """Survive that a process dies, or finds its database away."""
        try:
            yield []
        except Killed:
            pass
        except exc.OperationalError as error:
            if not isinstance(error.orig, TakenAway):
                raise

    @contextmanager
    def interrupted(self, by: Interruption | None, meanwhile: Act) -> Iterator[None]:
        """Let the block be interrupted; `meanwhile` is what happens while it sleeps."""
        if by is None:
            yield
            return
        fits: dict[str, Callable[[str], bool]] = {"dies": bool, "away": away, "sleeps": in_no_transaction}
        with self.interruptions.at(by, _act_of(by, meanwhile), fits=fits[by.how]):
            yield

    def lie_in_wait(self, doom: Doom, meanwhile: Act) -> None:
        """Let a task be interrupted, when one reaches the moment."""
        self.interruptions.lie_in_wait(doom, _act_of(doom, meanwhile))

    def statistics(self) -> str:
        """Return what happened in all examples, for whoever runs many of them with `-s`."""
        came = self.interruptions.came
        lines = [f"{times:6} {what}" for what, times in sorted((self.ended + came).items())]
        return "\n".join(["", *lines, f"{came.total()} of {self.interruptions.meant} interruptions came", ""])

    def rows_by_id(self) -> dict[str, Cancellation]:
        """Return every cancellation by its id."""
        return {str(row.id): row for row in self.all(Cancellation)}

    def intended(self, cancellation_id: str) -> set[str]:
        """Return the steps whose call is in the timeline that callers see."""
        told = self.gateway.get(f"/{cancellation_id}/events").get_json()["items"]
        return {item["step"] for item in told if item["kind"] == "call"}

    def calls_by_key(self) -> dict[str, Call]:
        """Return every committed intent by its key."""
        return {call.key: call for call in self.all(Call)}

    def all_calls(self, cancellation_id: str) -> list[Call]:
        """Return a cancellation's intents."""
        return self.calls(UUID(cancellation_id))

    def settle_webhooks(self) -> None:
        """Let time pass until every stored webhook is handled."""
        for _ in range(40):
            if not self.unhandled():
                return
            self.later(400)
            self.sweep()
            self.drain()
        raise AssertionError(f"never handled: {[vars(delivery) for delivery in self.unhandled()]}")

    def transitions(self) -> list[Transition]:
        """Return every line of history, oldest first."""
        return self.all(Transition)

    def unhandled(self) -> list[WebhookDelivery]:
        """Return the webhooks that wait to be handled."""
        return self.all(WebhookDelivery, WebhookDelivery.handled_at.is_(None))

    def holders(self) -> list[tuple[str, str]]:
        """Return (policy, cancellation) for every policy in hand."""
        held = self.all(Reservation, Reservation.released_at.is_(None))
        return [(reservation.quote_id, str(reservation.cancellation_id)) for reservation in held]

    def ledger(self) -> list[dict[str, Any]]:
        """Return what the insurer and the partner did, in order."""
        return self.simulator.state.effects()

    def insurers_claims(self, booking_id: str) -> list[InsurersClaim]:
        """Return the claims that exist at the insurer's, oldest first."""
        return self.simulator.state.claims_of(booking_id)

    def repair(self, booking: SimBooking) -> None:
        """End a booking's faults."""
        state = self.simulator.state
        with state.lock:
            state.bookings[booking.id].faults.clear()

    def take_letter(self, letter: Arrived, *, signature: str | None = None) -> int:
        """Bring a webhook to the gateway; returns how it was answered."""
        headers = {"Content-Type": "application/json", "XClaim-Signature": letter.headers["XClaim-Signature"]}
        if signature is not None:
            headers["XClaim-Signature"] = signature
        return self.gateway.client.post(letter.path, data=letter.body, headers=headers).status_code


def _act_of(by: Interruption, meanwhile: Act) -> Act:
    acts: dict[str, Act] = {"dies": die, "away": lose_the_database, "sleeps": meanwhile}
    return acts[by.how]
