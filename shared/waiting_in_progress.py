"""What a cancellation in progress waits for: a worker, a turn, an answer, a proof, or somebody who has stopped it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from shared import calls, claims, pauses, turns
from shared.batch_models import Batch
from shared.breaker_models import BreakerState
from shared.cancellations import MAX_ABANDONED, MAX_TRIES
from shared.config import AcceptingSettings
from shared.lifecycle import Step
from shared.models import Call, Cancellation, Transition
from shared.operations_models import Pause, ProcessSeen
from shared.transitions import MESSAGE_PATIENCE
from shared.waiting_words import XCOVER, ended, insurer_of, moment, since, span, times

COUNTED = 10_000
"""Those ahead in line that are counted at most."""
WORKER_SILENT_AFTER = timedelta(seconds=60)
"""A worker that lives is heard of every ten seconds."""
OVERDUE = timedelta(minutes=2)
"""The sweeper rings every few seconds: what is due for longer waits for workers."""
_CLASSES = {turns.PROMISED: "what has begun", turns.SINGLE: "single requests", turns.BULK: "batches"}


@dataclass(frozen=True, kw_only=True)
class Look:
    """One cancellation, and what is needed to say why it stands there."""

    session: Session
    row: Cancellation
    now: datetime
    """By the database's clock."""
    settings: AcceptingSettings
    """Its partner's."""
    is_partner_known: bool


def is_in_hand(look: Look) -> bool:
    """Tell whether a worker holds its lease."""
    return look.row.lease_until is not None and look.row.lease_until >= look.now


def why_in_progress(look: Look) -> str:
    """Return why one stands that the service itself will act on."""
    if is_in_hand(look):
        return _in_hand(look)
    pause = pause_of(look)
    stopped = _partner_unknown(look) or (f"It is paused: {pause}" if pause else None) or _batch_paused(look)
    if stopped is not None:
        return stopped
    waits = _breaker(look) or _in_line(look) or _crashed(look) or _claim_pending(look) or _postponed(look) or _due(look)
    unsettled = _unsettled(look)
    return waits if unsettled is None else f"{unsettled} {waits}"


def pause_of(look: Look) -> str | None:
    """Return who has stopped it, since when and why; None where nobody has."""
    ours = [pause for pause in pauses.in_force(look.session) if _is_about(pause, look.row)]
    if not ours:
        return None
    first = ours[0]
    note = f" ({first.note})" if first.note else ""
    also = f"; {len(ours) - 1} more pauses hold it too" if len(ours) > 1 else ""
    return (
        f"{first.paused_by} has paused {_paused(first)} since {since(first.paused_at, look.now)}{note}{also}."
        " It stands still until that is resumed, and then goes on where it is."
    )


def _is_about(pause: Pause, row: Cancellation) -> bool:
    return pause.partner in {pauses.ALL, row.partner} and pause.step in {pauses.ALL, row.next_step}


def _paused(pause: Pause) -> str:
    what = f"the step {pause.step}" if pause.step else "everything"
    return f"{what} of partner {pause.partner}" if pause.partner else what


def _in_hand(look: Look) -> str:
    row = look.row
    begun = "" if row.begun_at is None else f" since {since(row.begun_at, look.now)}"
    until = "" if row.lease_until is None else f" If that worker dies, another takes over by {_takeover(row)}."
    return f"A worker is at its step {row.next_step}{begun}: try {row.tries} of {MAX_TRIES}.{until}"


def _takeover(row: Cancellation) -> str:
    return "soon" if row.lease_until is None else moment(row.lease_until + timedelta(seconds=MESSAGE_PATIENCE))


def _partner_unknown(look: Look) -> str | None:
    if look.is_partner_known:
        return None
    return (
        f"The settings do not name its partner {look.row.partner} (any more): at its next try it goes to needs_review."
        " Put the partner back into PARTNERS_FILE and restart."
    )


def _batch_paused(look: Look) -> str | None:
    row = look.row
    if row.batch_id is None or row.turn_class != turns.HELD:
        return None
    batch = look.session.get(Batch, row.batch_id)
    if batch is None or batch.status != "paused":
        return None
    return (
        f"Its batch {batch.name!r} is paused since {since(batch.updated_at, look.now)}. It begins once the batch is"
        " resumed, and ends if the batch is called off."
    )


def _breaker(look: Look) -> str | None:
    insurer = insurer_of(look.row.next_step)
    if insurer is None:
        return None
    found = look.session.get(BreakerState, (look.row.partner, insurer.lower()))
    if found is None or found.opened_at is None or found.probe_after is None:
        return None
    error = f" ({found.last_error})" if found.last_error else ""
    return (
        f"{insurer} has answered nobody since {since(found.opened_at, look.now)}{error}. One request asks at"
        f" {moment(found.probe_after)} whether it does again; until then nothing is sent, and no try is used up."
    )


def _in_line(look: Look) -> str | None:
    row = look.row
    if row.turn_class is None or row.turn_class >= turns.HELD:
        return None
    ahead = (
        select(Cancellation.id)
        .where(
            Cancellation.partner == row.partner,
            Cancellation.turn_class.is_not(None),
            tuple_(Cancellation.turn_class, Cancellation.turn) < tuple_(row.turn_class, row.turn),
        )
        .limit(COUNTED + 1)
    )
    count = look.session.scalars(select(func.count()).select_from(ahead.subquery())).one()
    rate = look.settings.xcover_rate_limit
    many = f"more than {COUNTED}" if count > COUNTED else str(count)
    about = "more than" if count > COUNTED else "about"
    return (
        f"It waits in line for its turn at {XCOVER}, at the place of {_CLASSES[row.turn_class]}: {many} are ahead of"
        f" it, {about} {span(min(count, COUNTED) / rate)} at {rate:g} requests a second."
    )


def _crashed(look: Look) -> str | None:
    row = look.row
    if row.lease_until is None:
        return None
    begun = "" if row.begun_at is None else f" began its step {row.next_step} at {moment(row.begun_at)} and"
    return (
        f"A worker{begun} has said nothing since {since(row.lease_until, look.now)}: it most likely died. Another takes"
        f" over with the next message. {row.abandoned} died at it before; after {MAX_ABANDONED} a person must look."
    )


def _claim_pending(look: Look) -> str | None:
    if look.row.next_step != Step.CLAIM or look.row.next_attempt_at is None:
        return None
    claim = claims.of_cancellation(look.session, look.row.id)
    if claim is None or claim.is_processed or not (claim.reference or claim.claim_id):
        return None
    asked = look.session.scalars(
        select(func.count()).where(
            Transition.cancellation_id == look.row.id,
            Transition.event == "postponed",
            Transition.from_step == Step.CLAIM,
        )
    ).one()
    return (
        f"XClaim is still processing claim {claim.reference or claim.claim_id}, made at {moment(claim.created_at)}:"
        f" asked {times(asked)} so far, again at {moment(look.row.next_attempt_at)}. A webhook would end that sooner."
    )


def _postponed(look: Look) -> str | None:
    row = look.row
    if row.next_attempt_at is None or row.next_attempt_at <= look.now:
        return None
    last = look.session.scalars(
        select(Transition).where(Transition.cancellation_id == row.id).order_by(Transition.at.desc()).limit(1)
    ).first()
    cause = "" if last is None else f" Why: {ended(last.reason)}"
    return (
        f"It waits for its next try of the step {row.next_step} at {moment(row.next_attempt_at)}; {row.tries} of"
        f" {MAX_TRIES} tries are used up.{cause}"
    )


def _due(look: Look) -> str:
    row = look.row
    due = row.next_attempt_at or look.now
    said = f"Its step {row.next_step} is due since {since(due, look.now)}."
    last_seen = look.session.scalar(select(func.max(ProcessSeen.seen_at)).where(ProcessSeen.kind == "worker"))
    if last_seen is not None and last_seen < look.now - WORKER_SILENT_AFTER:
        return f"{said} No worker has been seen since {since(last_seen, look.now)}: see that workers run (cfar doctor)."
    if row.ring_after is not None and row.ring_after > look.now:
        return (
            f"{said} Its message is on its way to a worker; if it is lost, another is sent at {moment(row.ring_after)}."
        )
    if due < look.now - OVERDUE and row.rings == 0:
        return f"{said} Nobody has sent a message for it: see that beat and workers run (cfar doctor)."
    if due < look.now - OVERDUE:
        return f"{said} Messages were sent {times(row.rings)} in vain: see that workers and beat run (cfar doctor)."
    return f"{said} The sweeper sends a message for it within seconds."


def _unsettled(look: Look) -> str | None:
    row = look.row
    if row.next_step not in {Step.CONFIRM, Step.CANCEL, Step.CLAIM, Step.REFUND}:
        return None
    call = calls.latest(look.session, row.id, Step(row.next_step))
    if call is None or not calls.is_unsettled(call) or call.last_sent_at is None:
        return None
    return f"Nobody knows whether its {row.next_step} was done: {_sent(call)} {_settled_by(look, call)}"


def _sent(call: Call) -> str:
    first = call.first_sent_at or call.last_sent_at
    at = "" if first is None else f", first at {moment(first)}"
    return f"sent {times(call.attempts)} with the same key{at}, and no answer told."


def _settled_by(look: Look, call: Call) -> str:
    insurer = insurer_of(look.row.next_step)
    if insurer is None:
        return "The partner is asked again with the same key, which pays once."
    if not call.must_read_back and look.row.next_step != Step.CLAIM:
        return f"{insurer} is asked again with the same key, which is acted on once."
    since_ = call.absent_since if look.row.next_step == Step.CLAIM and call.absent_since else call.last_sent_at
    believed = "" if since_ is None else f" only from {moment(since_ + look.settings.read_back_after)} on"
    return (
        f"What {insurer} shows is read instead of sending again, and that it shows nothing done is believed{believed}."
    )
