"""The service's steps, a real database and the simulated insurer over HTTP, with time and messages driven by hand."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select

from shared import caller_actions, clock, intake, resolutions, rulings
from shared.cancellation_request import parse
from shared.config import WorkerSettings
from shared.db import Message, now_plus
from shared.lifecycle import TaskName
from shared.models import Call, Cancellation, Claim, Reservation, Transition
from tests.recording import RecordingDatabase
from tests.simulator import (
    CLAIM_TYPE_ID,
    PARTNER_CODE,
    XCLAIM_API_KEY,
    XCLAIM_PASSWORD,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
    SimBooking,
    SimulatorServer,
)
from workers import runtime
from workers.app import app
from workers.partners import Partner

app.loader.import_default_modules()

WEBHOOK_KEY = "first-webhook-master-key"


def worker_settings(simulator: SimulatorServer, **changes: Any) -> WorkerSettings:
    """Return the settings of a worker that talks to the simulator."""
    values: dict[str, Any] = {
        "xcover_base_url": simulator.xcover_url,
        "xcover_partner_code": PARTNER_CODE,
        "xcover_rate_limit": 100_000,  # the insurer here sets none
        "xcover_api_key": XCOVER_API_KEY,
        "xcover_api_secret": XCOVER_API_SECRET,
        "xclaim_base_url": simulator.xclaim_url,
        "xclaim_api_key": XCLAIM_API_KEY,
        "xclaim_password": XCLAIM_PASSWORD,
        "xclaim_claim_type_id": CLAIM_TYPE_ID,
        "xclaim_webhook_keys": WEBHOOK_KEY,
        "public_url": "http://127.0.0.1:9",
        **changes,
    }
    return WorkerSettings(**values)


def connections() -> Partner:
    """Return the clients through which the steps talk to the simulator."""
    return runtime.runtime().partner(PARTNER_CODE)


class World:
    """Accept, let steps run, let time pass, look at rows and at what the insurer did."""

    def __init__(self, database: RecordingDatabase, simulator: SimulatorServer, **settings: Any) -> None:
        self.database = database
        self.simulator = simulator
        self.control = simulator.control
        self.ran: list[str] = []
        self._time: list[AbstractContextManager[None]] = []
        self._connected: runtime.Runtime | None = None
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Run the steps with these settings from now on."""
        self.settings = worker_settings(self.simulator, **settings)
        # Both sides check signatures against true time, which our moved clock is not.
        self._disconnect()
        connected = runtime.connect(
            self.settings, self.database, clock=lambda: datetime.now(UTC), line=f"{PARTNER_CODE}:{uuid4()}"
        )
        self._connected = connected
        runtime.configure(lambda: connected)

    def _disconnect(self) -> None:
        """Close the connections, but not the database's, which is the fixture's."""
        if self._connected is not None:
            self._connected.close_clients()

    def close(self) -> None:
        """Put time back and close connections; the database belongs to its fixture."""
        for moved in reversed(self._time):
            moved.__exit__(None, None, None)
        self._disconnect()
        runtime.forget()

    def booking(self, **spec: Any) -> SimBooking:
        """Add a booking at the insurer."""
        return self.control.add_booking(**spec)

    def accept(self, booking: SimBooking | str, *, key: str | None = None, caller: str = "shop", **body: Any) -> UUID:
        """Accept a cancellation as a door does."""
        sent = {"booking_id": booking if isinstance(booking, str) else booking.id, **body}
        request = parse(sent, settings=self.settings, caller=caller)
        with self.database.transaction() as tx:
            row_id, _ = intake.accept(tx, request, sent=sent, caller=caller, key=key or f"key-{uuid4()}")
        return row_id

    def run(self, task: TaskName, row_id: UUID) -> None:
        """Run one task as a worker would."""
        self.ran.append(task.value)
        app.tasks[task.value](str(row_id))

    def drain(self) -> list[Message]:
        """Run every published message, and those they publish, in order."""
        done = []
        while self.database.published:
            message = self.database.published.pop(0)
            done.append(message)
            self.run(*message)
        return done

    def sweep(self) -> None:
        """Let the sweeper look once."""
        app.tasks[TaskName.SWEEP.value]()

    def later(self, seconds: float) -> None:
        """Move our clock and the insurer's."""
        moved = clock.travel(timedelta(seconds=seconds))
        moved.__enter__()
        self._time.append(moved)
        self.control.shift_clock(seconds)

    def settle(self, *, rounds: int = 200) -> None:
        """Run until nothing is in progress, moving time to each next attempt and ringing by the sweeper."""
        for _ in range(rounds):
            self.drain()
            wait = self._seconds_to_next()
            if wait is None:
                return
            self.later(max(wait, 0.0) + 10.1)  # the sweeper gives a message ten seconds before it rings again
            self.sweep()
        raise AssertionError(f"still in progress after {rounds} rounds: {[vars(row) for row in self.rows()]}")

    def row(self, row_id: UUID) -> Cancellation:
        """Return a cancellation as it is now."""
        with self.database.reading() as session:
            return session.get_one(Cancellation, row_id)

    def rows(self) -> list[Cancellation]:
        """Return every cancellation."""
        return self.all(Cancellation)

    def all(self, table: Any, *where: Any) -> list[Any]:
        """Return rows of a table, oldest first."""
        with self.database.reading() as session:
            return list(session.scalars(select(table).where(*where).order_by(table.id)))

    def calls(self, row_id: UUID) -> list[Call]:
        """Return a cancellation's calls."""
        return self.all(Call, Call.cancellation_id == row_id)

    def claim(self, row_id: UUID) -> Claim:
        """Return a cancellation's only claim."""
        (claim,) = self.all(Claim, Claim.cancellation_id == row_id)
        return claim  # type: ignore[no-any-return]

    def timeline(self, row_id: UUID) -> list[Transition]:
        """Return a cancellation's transitions in order."""
        return self.all(Transition, Transition.cancellation_id == row_id)

    def held_policies(self) -> list[str]:
        """Return the policies in hand."""
        return [held.quote_id for held in self.all(Reservation, Reservation.released_at.is_(None))]

    def report_refund(
        self, row_id: UUID, amount: str, currency: str, reference: str = "re_1"
    ) -> caller_actions.Verdict:
        """Report a refund as the partner."""
        report = caller_actions.RefundReport(
            amount=Decimal(amount), currency=currency, reference=reference, actor="caller:shop"
        )
        with self.database.transaction() as tx:
            return caller_actions.report_refund(tx, row_id, report)

    def retry(self, row_id: UUID) -> None:
        """Take one up again as an operator."""
        with self.database.transaction() as tx:
            caller_actions.retry(tx, row_id, actor="operator:ops")

    def resolve(self, row_id: UUID, resolution: str, *, note: str = "looked into it", **ruling: Any) -> None:
        """Decide as an operator."""
        made = rulings.Ruling(resolution=rulings.Resolution(resolution), actor="operator:ops", note=note, **ruling)
        with self.database.transaction() as tx:
            resolutions.resolve(tx, row_id, made)

    def effects(self, kind: str, booking: SimBooking) -> list[dict[str, Any]]:
        """Return what the insurer's ledger says it did."""
        return self.control.effects(kind, booking.id)

    def _seconds_to_next(self) -> float | None:
        with self.database.reading() as session:
            in_progress = Cancellation.status == "in_progress"
            found = session.execute(
                select(func.min(Cancellation.next_attempt_at), now_plus(0)).where(in_progress)
            ).one()
        return None if found[0] is None else (found[0] - found[1]).total_seconds()
