"""Handling stored webhooks once more: what that would change, and making it so.

Always safe: handling asks XClaim what is so now, and takes from the event itself only milestones, each of which is
reached once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shared import claims, milestones
from shared.config import AcceptingSettings
from shared.db import Database, Transaction, now_plus
from shared.lifecycle import TaskName
from shared.models import Claim
from shared.transitions import MESSAGE_PATIENCE
from shared.webhook_models import WebhookBody, WebhookDelivery
from shared.webhook_selection import source_of
from shared.xclaim.claims import ClaimEvent
from shared.xclaim.wire import NotAClaimEvent, parse_event

REPLAYED_AT_ONCE = 500
"""Deliveries per transaction: others that write wait for milliseconds."""
LOOKED_AT_ONCE = 100
"""Deliveries per reading; a body may have 256 KiB."""


@dataclass(kw_only=True)
class LeftAlone:
    """Deliveries that a replay does not touch, since they are handled anyway."""

    waiting: int = 0
    """Not handled yet."""
    in_hand: int = 0
    """A worker has them right now."""

    def add(self, more: "LeftAlone") -> None:
        """Count these too."""
        self.waiting += more.waiting
        self.in_hand += more.in_hand


@dataclass(kw_only=True)
class Replayed:
    """What a replay did."""

    replayed: int = 0
    left_alone: LeftAlone = field(default_factory=LeftAlone)


@dataclass(kw_only=True)
class Forecast:
    """What a replay would change, as far as that can be told without asking XClaim."""

    left_alone: LeftAlone = field(default_factory=LeftAlone)
    handled: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    """Those that would be handled again, by source and outcome; a release before 0002 wrote no outcome."""
    claims: set[UUID] = field(default_factory=set)
    cancellations: set[UUID] = field(default_factory=set)
    milestones: Counter[str] = field(default_factory=Counter)
    """Milestones that the events themselves would newly reach, and of how many claims."""
    newly_matched: int = 0
    """Events that found no claim of ours when they were handled, and would find one."""


def replay(database: Database, ids: Sequence[UUID], *, by: str) -> Replayed:
    """Let deliveries be handled again from now on, oldest first, and ring for them; `by` is who wants it.

    One that is not handled yet is left alone: it would be handled anyway. Each batch is a transaction of its own, so
    what a crash leaves undone is simply replayed again.
    """
    done = Replayed()
    for batch in _batches(sorted(ids), REPLAYED_AT_ONCE):
        with database.transaction() as tx:
            _replay(tx, batch, done, by=by)
    return done


def forecast(session: Session, ids: Sequence[UUID], *, settings: AcceptingSettings) -> Forecast:
    """Return what a replay of these deliveries would change. Writes nothing and asks nobody."""
    looking = _Looking(session, settings)
    for batch in _batches(sorted(ids), LOOKED_AT_ONCE):
        looking.at(batch)
    return looking.found


def _replay(tx: Transaction, batch: Sequence[UUID], done: Replayed, *, by: str) -> None:
    done.left_alone.add(_left_alone(tx.session, batch))
    handled = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.id.in_(batch), WebhookDelivery.handled_at.is_not(None))
        .order_by(WebhookDelivery.id)  # in one order, so that two replays never wait for each other in a circle
        .with_for_update()
    )
    ids = tx.session.scalars(handled).all()
    again = (
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids))
        .values(
            handled_at=None,
            outcome=None,
            verdict=None,
            tries=0,
            next_attempt_at=now_plus(0),
            rings=0,
            ring_after=now_plus(MESSAGE_PATIENCE),
            replays=WebhookDelivery.replays + 1,
            replayed_at=now_plus(0),
            replayed_by=by,
        )
    )
    tx.session.execute(again, execution_options={"synchronize_session": False})
    for delivery_id in ids:
        tx.enqueue(TaskName.HANDLE_WEBHOOK, delivery_id)
    done.replayed += len(ids)
    if ids:
        tx.log("webhooks_replayed", by=by, count=len(ids), first=str(ids[0]), last=str(ids[-1]))


def _left_alone(session: Session, batch: Sequence[UUID]) -> LeftAlone:
    is_held = select(WebhookDelivery.lease_until > now_plus(0)).where(
        WebhookDelivery.id.in_(batch), WebhookDelivery.handled_at.is_(None)
    )
    in_hand = [bool(held) for held in session.scalars(is_held)]
    return LeftAlone(waiting=in_hand.count(False), in_hand=in_hand.count(True))


class _Looking:
    """Goes through deliveries from the oldest on, as handling would, with what it has read so far."""

    def __init__(self, session: Session, settings: AcceptingSettings) -> None:
        self.found = Forecast()
        self._session = session
        self._settings = settings
        self._events: dict[UUID, ClaimEvent | None] = {}
        self._claims: dict[UUID, Claim] = {}
        self._matched: dict[tuple[str | None, ...], Claim | None] = {}
        self._reached: dict[UUID, set[str]] = {}

    def at(self, batch: Sequence[UUID]) -> None:
        self.found.left_alone.add(_left_alone(self._session, batch))
        handled = select(WebhookDelivery).where(WebhookDelivery.id.in_(batch), WebhookDelivery.handled_at.is_not(None))
        deliveries = self._session.scalars(handled.order_by(WebhookDelivery.id)).all()
        self._read(deliveries)
        for delivery in deliveries:
            self.found.handled[source_of(delivery), delivery.outcome] += 1
            event = self._events[delivery.body_id]
            if source_of(delivery) == "xclaim" and event is not None:
                self._take(delivery, event)

    def _take(self, delivery: WebhookDelivery, event: ClaimEvent) -> None:
        claim = self._claim_of(delivery, event)
        if claim is None:
            return
        self.found.claims.add(claim.id)
        self.found.cancellations.add(claim.cancellation_id)
        if claims.contradicts(event, claim):
            return
        self.found.newly_matched += delivery.claim_id is None
        if delivery.token is None and not claims.names(event, claim):
            return
        already = self._reached.setdefault(claim.id, set(claim.milestones))
        words = (event.event, event.category, event.status_name, event.status_label)
        settings = self._settings.of_partner(claim.partner) or self._settings
        newly = milestones.reached(words, already=dict.fromkeys(already), mapping=settings.claim_milestones)
        self.found.milestones.update(newly)
        already.update(newly)

    def _claim_of(self, delivery: WebhookDelivery, event: ClaimEvent) -> Claim | None:
        if delivery.claim_id is not None:
            return self._claims[delivery.claim_id]
        names = (delivery.key_id, delivery.token, event.claim_id, event.reference, event.booking_id)
        if names not in self._matched:
            self._matched[names] = claims.find_for_event(
                self._session,
                partners=self._settings.signing_with(delivery.key_id),
                token=delivery.token,
                event=event,
                key_id=delivery.key_id,
            )
        return self._matched[names]

    def _read(self, deliveries: Sequence[WebhookDelivery]) -> None:
        """Read what these need and no other did: repeats of one body are read once."""
        bodies = {delivery.body_id for delivery in deliveries} - self._events.keys()
        for body_id, raw in self._session.execute(
            select(WebhookBody.id, WebhookBody.raw).where(WebhookBody.id.in_(bodies))
        ):
            self._events[body_id] = _event(raw)
        wanted = {delivery.claim_id for delivery in deliveries if delivery.claim_id} - self._claims.keys()
        for claim in self._session.scalars(select(Claim).where(Claim.id.in_(wanted))):
            self._claims[claim.id] = claim


def _event(raw: bytes) -> ClaimEvent | None:
    try:
        return parse_event(raw)
    except NotAClaimEvent:  # it was one when it was stored; an older release may have read it otherwise
        return None


def _batches(ids: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
