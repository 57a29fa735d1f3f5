"""What is left of each life: its row, its story, what the insurer did, and what is still in hand."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.models import Call, Cancellation, Claim, Reservation, Transition
from shared.webhook_models import WebhookDelivery
from tests.crash_matrix.deployment import Deployment
from tests.simulator import SimBooking


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything a judge needs of one case; `before` is as it was when the process got its chance to spoil it."""

    has_died: bool
    """Its process was at the boundary when it got the signal."""
    has_ended: bool
    """Its try came to its own end after all."""
    row: Cancellation | None
    transitions: list[Transition]
    calls: list[Call]
    held_policies: list[str]
    deliveries: list[WebhookDelivery]
    effects: list[dict[str, Any]]
    quotes: list[str]
    before: "Evidence | None" = field(default=None, repr=False)

    def count(self, *kinds: str) -> int:
        """Return how often the insurer or the partner did these things."""
        return sum(effect["kind"] in kinds for effect in self.effects)

    def summary(self) -> tuple[Any, ...]:
        """Return what a process that comes back too late must not change."""
        row = self.row
        standing = (row.status, row.next_step, tuple(row.done_steps), row.lease) if row else None
        story = [(line.event, line.from_step, line.to_status, line.reason) for line in self.transitions]
        deeds = [effect["kind"] for effect in self.effects if effect["kind"] != "webhook"]
        return standing, story, [(call.key, call.outcome) for call in self.calls], deeds, self.held_policies


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom to look at."""

    name: str
    row_id: UUID | None
    booking: SimBooking
    has_died: bool
    has_ended: bool


def gather(
    world: Deployment, subjects: Sequence[Subject], *, before: Mapping[str, Evidence] | None = None
) -> dict[str, Evidence]:
    """Look at many in a handful of queries."""
    ids = [subject.row_id for subject in subjects if subject.row_id is not None]
    effects = defaultdict(list)
    for effect in world.simulator.state.effects():
        effects[effect["booking"]].append(effect)
    with world.database.reading() as session:
        rows = {row.id: row for row in session.scalars(select(Cancellation).where(Cancellation.id.in_(ids)))}
        of: dict[Any, Any] = {}
        for table in (Transition, Call, Claim, Reservation):
            found = defaultdict(list)
            for entry in session.scalars(select(table).where(table.cancellation_id.in_(ids)).order_by(table.id)):
                found[entry.cancellation_id].append(entry)
            of[table] = found
        deliveries = _deliveries(session)
    return {
        subject.name: Evidence(
            has_died=subject.has_died,
            has_ended=subject.has_ended,
            row=rows.get(subject.row_id) if subject.row_id else None,
            transitions=of[Transition][subject.row_id],
            calls=of[Call][subject.row_id],
            held_policies=[held.quote_id for held in of[Reservation][subject.row_id] if held.released_at is None],
            deliveries=[
                delivery
                for claim in of[Claim][subject.row_id]
                for delivery in [*deliveries[claim.webhook_token], *deliveries[claim.id]]
            ],
            effects=effects[subject.booking.id],
            quotes=subject.booking.quote_ids,
            before=(before or {}).get(subject.name),
        )
        for subject in subjects
    }


def _deliveries(session: Session) -> dict[Any, list[WebhookDelivery]]:
    """Return deliveries by the token of their address; those of the bare address by the claim they are about."""
    found = defaultdict(list)
    for delivery in session.scalars(select(WebhookDelivery)):
        found[delivery.token or delivery.claim_id].append(delivery)
    return found
