"""A gateway with a night's worth of cancellations, served for a browser: real rows, made by the steps themselves."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from uuid import UUID

from sqlalchemy import select, update
from werkzeug.serving import make_server

from shared import audit, pauses, webhook_events
from shared.lifecycle import Step
from shared.models import Cancellation, Transition
from shared.xclaim.signature import key_id
from tests import situations
from tests.console import TOKENS
from tests.gateway import Gateway
from tests.recording import RecordingDatabase
from tests.simulator import PARTNER_CODE, SimulatorServer
from tests.world import WEBHOOK_KEY, World

BOOKINGS = ("QX7RM-4TKLP-INS", "ZN2HD-9WVBC-INS", "LK5FT-8JGQE-INS")
"""Of those that are stuck alike, so that people can search for them."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the console is served, and what is there to be found."""

    url: str
    world: World
    stuck: tuple[UUID, ...]
    with_claim: UUID
    webhook: UUID

    def row(self, row_id: UUID) -> Cancellation:
        """Return a cancellation as it is now."""
        return self.world.row(row_id)

    def actions(self) -> list[str]:
        """Return what people have pressed, newest first."""
        with self.world.database.reading() as session:
            return [entry.action for entry in audit.entries(session, limit=100)]


@contextmanager
def staged(template: Path, folder: Path, simulator: SimulatorServer, redis_url: str) -> Iterator[Stage]:
    """Build the rows and serve the console until the end."""
    path = folder / "console.db"
    path.write_bytes(template.read_bytes())
    simulator.control.reset()
    database = RecordingDatabase(f"sqlite:///{path}")
    world = World(database, simulator)
    gateway = Gateway(
        database, api_tokens=TOKENS, redis_url=redis_url, xcover_partner_code=PARTNER_CODE,
        xclaim_webhook_keys=WEBHOOK_KEY,
    )  # fmt: skip
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, gateway.app, threaded=True)
    thread = Thread(target=server.serve_forever, name="console", daemon=True)
    try:
        stuck, with_claim = _night(world)
        webhook = _webhook(world, with_claim)
        _date_back(database)
        thread.start()
        yield Stage(
            url=f"http://127.0.0.1:{server.server_port}", world=world, stuck=stuck, with_claim=with_claim,
            webhook=webhook,
        )  # fmt: skip
    finally:
        if thread.is_alive():
            server.shutdown()
            thread.join()
        server.server_close()
        world.close()
        database.close()
        simulator.control.reset()


def _night(world: World) -> tuple[tuple[UUID, ...], UUID]:
    """Let hours pass in which most goes well, and some does not."""
    with_claim = situations.completed_with_claim(world)
    for hour, count in enumerate((3, 5, 2, 6, 4)):
        for number in range(count):
            situations.completed(world) if number % 3 else situations.awaiting_refund(world)
        if hour % 2:
            situations.rejected(world)
        world.later(3600)
    situations.aborted(world)
    situations.batch_paused(world)
    world.database.published.clear()  # it is held
    stuck = tuple(_stuck(world, booking) for booking in BOOKINGS)
    world.configure()
    situations.postponed(world)
    situations.unknown_confirm(world)
    with world.database.transaction() as tx:
        pauses.pause(tx, step=Step.CANCEL, by="operator:anna", note="immediate cancellations wait for finance")
    situations.no_worker(world)
    return stuck, with_claim


def _stuck(world: World, booking: str) -> UUID:
    """Have the insurer refuse our credentials: what an operator retries once they are mended."""
    world.configure(xcover_api_secret="wrong")
    row_id = world.accept(world.booking(id=booking), key=f"order-{booking[:5]}", refund=situations.SKIP)
    return situations.drained(world, row_id)


def _webhook(world: World, with_claim: UUID) -> UUID:
    """Have XClaim tell something about a claim, and a worker handle it."""
    claim = world.claim(with_claim)
    payload = {"id": claim.claim_id, "reference": claim.reference, "claimant": {"email": "someone@example.com"}}
    raw = json.dumps({"event": "claim.updated", "payload": payload}).encode()
    with world.database.transaction() as tx:
        stored, _ = webhook_events.record(
            tx, raw, source="xclaim", token=claim.webhook_token, key_id=key_id(WEBHOOK_KEY),
            headers={"user-agent": "xclaim/1"},
        )  # fmt: skip
    world.drain()
    world.later(30)
    world.sweep()
    world.drain()
    return UUID(str(stored))


def _date_back(database: RecordingDatabase) -> None:
    """Have each line of a timeline written when its cancellation was: a default does not know of moved clocks."""
    accepted_at = select(Cancellation.created_at).where(Cancellation.id == Transition.cancellation_id)
    with database.transaction() as tx:
        dated = update(Transition).values(at=accepted_at.scalar_subquery())
        tx.session.execute(dated, execution_options={"synchronize_session": False})
