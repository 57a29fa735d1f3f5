"""All writes to a claim's row: opened before the claim is sent, then kept at what XClaim says."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.orm import Session

from shared import calls, claim_polls, milestones, reservations
from shared.columns import new_id
from shared.db import Transaction, clock_lead, insert_or_ignore, now_plus
from shared.lifecycle import Status, Step
from shared.models import Cancellation, Claim
from shared.transitions import lock
from shared.xclaim import claims as xclaim

CLOCK_ALLOWANCE = timedelta(seconds=10)
"""A claim reported this little before our intent may still be ours: clocks are read to the second, over a network."""

MilestoneMapping = Mapping[str, Sequence[str]] | None


@dataclass(frozen=True, kw_only=True)
class News:
    """What was not known of a claim: milestones, and columns with what they were and are. False when nothing."""

    claim: Claim
    reached: tuple[str, ...]
    changes: Mapping[str, tuple[Any, Any]]

    def __bool__(self) -> bool:
        return bool(self.reached or self.changes)


class NotOurClaim(Exception):
    """What XClaim showed is a claim for another booking or policy than the row's: nothing may be taken from it."""


def open_claim(tx: Transaction, held: Cancellation, *, claim_type_id: str) -> Claim | None:
    """Return this cancellation's claim, opened now if it has none; None when another cancellation has one open.

    A claim of its own that was closed is returned too: a retry must never claim a second time.
    """
    own = of_cancellation(tx.session, held.id)
    if own is not None:
        return own
    _insert(tx, held, claim_type_id=claim_type_id)
    return of_cancellation(tx.session, held.id)


def note_webhook_key(tx: Transaction, claim: Claim, key_id: str) -> None:
    """Write which configured key the claim's own address is about to be signed with: it must stay configured."""
    tx.session.execute(update(Claim).where(Claim.id == claim.id).values(webhook_key_id=key_id))


def start_over(tx: Transaction, row: Cancellation, *, claim_type_id: str | None = None) -> bool:
    """Make room for another claim of a locked cancellation by an operator's word; False when another has one open.

    A claim that has a name or was closed is left behind as it is; one that never got so far is used again.
    """
    own = of_cancellation(tx.session, row.id)
    if own is None:
        return False
    wanted = claim_type_id or own.claim_type_id
    if wanted == own.claim_type_id and own.claim_id is None and own.reference is None and own.closed_at is None:
        return True
    if reservations.take(tx, row, own.quote_id) is not None:
        return False
    own.closed_at = own.closed_at or now_plus(0)
    tx.session.flush()
    return _insert(tx, row, claim_type_id=wanted)


def name_by_hand(tx: Transaction, row: Cancellation, *, claim_id: str | None, reference: str | None) -> bool:
    """Give a cancellation's claim the name an operator found; False without a claim, or when it is another's."""
    own = of_cancellation(tx.session, row.id)
    names = [name for name in (claim_id, reference) if name]
    if own is None or _others_named(tx.session, names, but=own):
        return False
    was = {own.claim_id, own.reference} - {None}
    if was and not was & set(names):  # what is known so far is about another claim
        if reservations.take(tx, row, own.quote_id) is not None:
            return False
        own.is_processed, own.milestones, own.status, own.status_name, own.polls = False, {}, None, None, 0
        own.fetched_at = own.closed_at = own.next_poll_at = None
    own.claim_id, own.reference = claim_id, reference
    tx.session.flush()
    return True


def lock_of_cancellation(tx: Transaction, cancellation_id: UUID) -> None:
    """Lock a cancellation's claims."""
    of_it = select(Claim.id).where(Claim.cancellation_id == cancellation_id).order_by(Claim.id)
    tx.session.execute(of_it.with_for_update()).all()


def is_current(session: Session, claim: Claim) -> bool:
    """Tell whether this is the claim its cancellation goes by, and not one that was left behind."""
    newest = of_cancellation(session, claim.cancellation_id)
    return newest is not None and newest.id == claim.id


def _insert(tx: Transaction, held: Cancellation, *, claim_type_id: str) -> bool:
    quote_id = held.claim_quote_id
    if quote_id is None:
        raise ValueError(f"cancellation {held.id} has no policy to claim; its look-up should have named one")
    values = {
        "id": new_id(),
        "partner": held.partner,
        "cancellation_id": held.id,
        "booking_id": held.booking_id,
        "quote_id": quote_id,
        "claim_type_id": claim_type_id,
        "webhook_token": secrets.token_urlsafe(24),
        "is_processed": False,
        "milestones": {},
        "created_at": now_plus(0),
    }
    key = ("partner", "booking_id", "quote_id", "claim_type_id")
    return insert_or_ignore(tx.session, Claim, values, conflict=key, where=text("closed_at IS NULL"))


def of_cancellation(session: Session, cancellation_id: UUID) -> Claim | None:
    """Return the newest claim of a cancellation."""
    of_it = select(Claim).where(Claim.cancellation_id == cancellation_id)
    return session.scalars(of_it.order_by(Claim.id.desc()).limit(1)).first()


def find_for_event(
    session: Session, *, partners: Sequence[str], token: str | None, event: xclaim.ClaimEvent, key_id: str | None
) -> Claim | None:
    """Return the claim of one of these partners that an event is about: by its own URL's token, else by id, by
    reference, by booking. On its own URL the key counts too that it was opened with, whoever has that now.

    A booking decides only when it has exactly one claim, and one that the event does not contradict.
    """
    ours = select(Claim).where(Claim.partner.in_(partners))
    if token is not None:
        is_ours = or_(Claim.partner.in_(partners), Claim.webhook_key_id == key_id)
        return session.scalars(select(Claim).where(Claim.webhook_token == token, is_ours)).first()
    for column, value in ((Claim.claim_id, event.claim_id), (Claim.reference, event.reference)):
        if value and (found := session.scalars(ours.where(column == value)).first()):
            return found
    if not event.booking_id:
        return None
    of_booking = session.scalars(ours.where(Claim.booking_id == event.booking_id).limit(2)).all()
    return of_booking[0] if len(of_booking) == 1 and not contradicts(event, of_booking[0]) else None


def contradicts(event: xclaim.ClaimEvent, row: Claim) -> bool:
    """Tell whether an event names another claim or booking than the row's."""
    pairs = ((event.claim_id, row.claim_id), (event.reference, row.reference), (event.booking_id, row.booking_id))
    return any(theirs and ours and theirs != ours for theirs, ours in pairs)


def names(event: xclaim.ClaimEvent, row: Claim) -> bool:
    """Tell whether an event names the row's own claim."""
    by_id = event.claim_id is not None and event.claim_id == row.claim_id
    return by_id or (event.reference is not None and event.reference == row.reference)


def is_second(session: Session, said: xclaim.Claim, row: Claim) -> bool:
    """Tell whether XClaim shows a claim for the row's policy that is neither this one nor another of ours."""
    is_same_policy = said.booking_id == row.booking_id and said.quote_id == row.quote_id
    return is_same_policy and not known_to_us(session, [said], but=row)


def known_to_us(session: Session, claims: Sequence[xclaim.Claim], *, but: Claim) -> set[str]:
    """Return the ids and references among these that belong to other claims of ours."""
    return _others_named(session, {name for claim in claims for name in (claim.id, claim.reference) if name}, but=but)


def _others_named(session: Session, names: Collection[str], *, but: Claim) -> set[str]:
    others = select(Claim.claim_id, Claim.reference).where(
        Claim.id != but.id, or_(Claim.claim_id.in_(names), Claim.reference.in_(names))
    )
    return {name for row in session.execute(others) for name in row if name}


def apply_answer(
    tx: Transaction,
    claim_row_id: UUID,
    said: xclaim.Claim,
    *,
    asked_at: datetime,
    insurer_time: datetime | None,
    is_answer_to_create: bool = False,
    mapping: MilestoneMapping = None,
) -> News:
    """Store what XClaim answered and return what is new.

    `asked_at` is by the database's clock: an answer that was asked for before the one already stored latches
    milestones and changes nothing else. Raises NotOurClaim when the answer is about another claim.
    """
    row = _locked(tx, claim_row_id)
    _must_be_ours(tx, row, said, insurer_time=insurer_time, is_told=is_answer_to_create)
    before = _told(row)
    if row.fetched_at is None or asked_at >= row.fetched_at:
        row.claim_id = said.id or row.claim_id
        row.reference = said.reference or row.reference
        row.status_name = said.status_name or (row.status_name if said.category in {None, row.status} else None)
        row.status = said.category or row.status
        row.is_processed = row.is_processed or said.is_processed
        row.fetched_at = asked_at
    reached = _latch(tx, row, [said.category, said.status_name, said.status_label], mapping)
    return _news(row, before, reached)


def apply_event(
    tx: Transaction,
    claim_row_id: UUID,
    event: xclaim.ClaimEvent,
    *,
    sets_status: bool,
    mapping: MilestoneMapping = None,
) -> News:
    """Latch the milestones of a verified event; take its category too where XClaim could not be asked."""
    row = _locked(tx, claim_row_id)
    before = _told(row)
    if sets_status and event.category:
        row.status_name = event.status_name or (row.status_name if event.category == row.status else None)
        row.status = event.category
    words = [event.event, event.category, event.status_name, event.status_label]
    return _news(row, before, _latch(tx, row, words, mapping))


def _told(row: Claim) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("claim_id", "reference", "status", "status_name", "is_processed")}


def _news(row: Claim, before: dict[str, Any], reached: tuple[str, ...]) -> News:
    changes = {name: (before[name], now) for name, now in _told(row).items() if now != before[name]}
    news = News(claim=row, reached=reached, changes=changes)
    if news:
        claim_polls.start_anew(row)
    return news


def _must_be_ours(
    tx: Transaction, row: Claim, said: xclaim.Claim, *, insurer_time: datetime | None, is_told: bool
) -> None:
    """Refuse another booking's, policy's, type's or name's claim, and one that was there before we asked for ours.

    Until a claim has a name it is recognised by booking and policy, so both must be told; the answer to our own
    request (`is_told`) need not repeat them.
    """
    pairs = (
        (said.booking_id, row.booking_id),
        (said.quote_id, row.quote_id),
        (said.claim_type_id, row.claim_type_id),
        (said.id, row.claim_id),
        (said.reference, row.reference),
    )
    is_other = any(theirs and ours and theirs.casefold() != ours.casefold() for theirs, ours in pairs)
    is_named = row.claim_id is not None or row.reference is not None
    if not is_other and not is_named and not is_told:
        is_other = said.booking_id is None or said.quote_id is None or _is_older(tx, row, said, insurer_time)
    if not is_other and row.claim_id is None:
        is_other = bool(known_to_us(tx.session, [said], but=row))
    if is_other:
        raise NotOurClaim(f"XClaim shows claim {said.reference or said.id}, which is not the one asked for here")


def _is_older(tx: Transaction, row: Claim, said: xclaim.Claim, insurer_time: datetime | None) -> bool:
    opened_at = row.created_at + clock_lead(tx.session, insurer_time)
    return said.reported_at is not None and said.reported_at < opened_at - CLOCK_ALLOWANCE


def _latch(tx: Transaction, row: Claim, words: Sequence[str | None], mapping: MilestoneMapping) -> tuple[str, ...]:
    new = milestones.reached(words, already=row.milestones, mapping=mapping)
    if new:
        now = tx.session.scalars(select(now_plus(0))).one()
        at = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        row.milestones = {**row.milestones, **dict.fromkeys(new, at)}
    if row.closed_at is None and row.milestones.keys() & {
        milestones.CLAIM_PAID,
        milestones.CLAIM_CLOSED_UNPAID,
    }:
        row.closed_at = now_plus(0)
    if milestones.CLAIM_CLOSED_UNPAID in new and is_current(tx.session, row) and not _moves_money(tx, row):
        reservations.release(tx, row.cancellation_id, row.quote_id)
    tx.session.flush()
    return new


def _moves_money(tx: Transaction, row: Claim) -> bool:
    """Tell whether the policy is being refunded or cancelled right now: it must not pass into other hands then."""
    holder = lock(tx, row.cancellation_id)
    if holder is None:
        return False
    is_cancelled_too = any(quote["id"] == row.quote_id for quote in holder.quotes)
    asked = calls.latest(tx.session, holder.id, Step.REFUND)
    is_asked_for = asked is not None and (calls.is_unsettled(asked) or asked.outcome == "done")
    has_begun = holder.refund_reported_at is not None or Step.REFUND in holder.done_steps or is_asked_for
    return is_cancelled_too and has_begun and holder.status != Status.COMPLETED


def _locked(tx: Transaction, claim_row_id: UUID) -> Claim:
    locked = select(Claim).where(Claim.id == claim_row_id).with_for_update()
    return tx.session.scalars(locked, execution_options={"populate_existing": True}).one()
