"""Why a cancellation waits, told in one table: each situation is brought about by the steps themselves."""

import re
from collections.abc import Callable
from uuid import UUID

import pytest

from shared.models import Cancellation
from shared.waiting import why
from tests import situations
from tests.world import World

MASKS = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
    (r"\((?:just now|\d+ (?:min|h|days))\)", "(AGO)"),
    (r"\b[A-Z0-9]{5}-[A-Z0-9]{5}-(?:INS|CLA)\b", "REFERENCE"),
    (r"\b\w{5}-\w{5}-\w{5}-CCL\b", "PREVIEW"),
)


def said(world: World, row_id: UUID) -> str:
    """Return the sentences without what differs each time."""
    with world.database.reading() as session:
        text = why(session, session.get_one(Cancellation, row_id), settings=world.settings)
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text


TOLD: dict[Callable[[World], UUID], str] = {
    situations.just_accepted: (
        "Its step look_up is due since TIME (AGO). Its message is on its way to a worker; if it is lost, another "
        "is sent at TIME."
    ),
    situations.message_lost: (
        "Its step look_up is due since TIME (AGO). The sweeper sends a message for it within seconds."
    ),
    situations.nobody_rings: (
        "Its step look_up is due since TIME (AGO). Nobody has sent a message for it: see that beat and workers run "
        "(cfar doctor)."
    ),
    situations.no_worker: (
        "Its step look_up is due since TIME (AGO). No worker has been seen since TIME (AGO): see that workers run "
        "(cfar doctor)."
    ),
    situations.in_hand: (
        "A worker is at its step confirm since TIME (AGO): try 1 of 100. If that worker dies, another takes over "
        "by TIME."
    ),
    situations.rung_in_vain: (
        "Its step look_up is due since TIME (AGO). Messages were sent once in vain: see that workers and beat run "
        "(cfar doctor)."
    ),
    situations.crashed: (
        "A worker began its step confirm at TIME and has said nothing since TIME (AGO): it most likely died. "
        "Another takes over with the next message. 0 died at it before; after 5 a person must look."
    ),
    situations.postponed: (
        "It waits for its next try of the step look_up at TIME; 2 of 100 tries are used up. Why: could not read "
        "booking REFERENCE (answered 503): no usable answer to a question; ask again later."
    ),
    situations.unknown_confirm: (
        "Nobody knows whether its confirm was done: sent once with the same key, first at TIME, and no answer "
        "told. XCover is asked again with the same key, which is acted on once. It waits for its next try of the "
        "step confirm at TIME; 1 of 100 tries are used up. Why: could not confirm PREVIEW on booking REFERENCE: it "
        "may have been done and there is no usable answer; it must be settled."
    ),
    situations.unknown_claim: (
        "Nobody knows whether its claim was done: sent once with the same key, first at TIME, and no answer told. "
        "What XClaim shows is read instead of sending again, and that it shows nothing done is believed only from "
        "TIME on. It waits for its next try of the step claim at TIME; 1 of 100 tries are used up. Why: no such "
        "claim yet; read again later."
    ),
    situations.claim_pending: (
        "XClaim is still processing claim REFERENCE, made at TIME: asked once so far, again at TIME. A webhook "
        "would end that sooner."
    ),
    situations.in_line: (
        "It waits in line for its turn at XCover, at the place of single requests: 3 are ahead of it, about 1 s at "
        "2 requests a second."
    ),
    situations.nobody_answers: (
        "XCover has answered nobody since TIME (AGO) (answered 503). One request asks at TIME whether it does "
        "again; until then nothing is sent, and no try is used up."
    ),
    situations.paused_everything: (
        "It is paused: operator:anna has paused everything since TIME (AGO) (looking into it). It stands still "
        "until that is resumed, and then goes on where it is."
    ),
    situations.paused_step_of_partner: (
        "It is paused: operator:anna has paused the step confirm of partner LLODT since TIME (AGO). It stands "
        "still until that is resumed, and then goes on where it is."
    ),
    situations.batch_paused: (
        "Its batch 'show.csv' is paused since TIME (AGO). It begins once the batch is resumed, and ends if the "
        "batch is called off."
    ),
    situations.partner_gone: (
        "The settings do not name its partner GONE (any more): at its next try it goes to needs_review. Put the "
        "partner back into PARTNERS_FILE and restart."
    ),
    situations.awaiting_refund: (
        "It waits for its caller to report that the customer got 22.40 EUR back, since TIME (AGO). The offer holds "
        "until TIME. At TIME it is renewed, and may then be another. If nothing is reported by TIME, a person must "
        "decide."
    ),
    situations.refund_promised: (
        "It waits for the partner, who was asked to pay, to report that the customer got 22.40 EUR back, since "
        "TIME (AGO). The offer holds until TIME. At TIME it is renewed, and may then be another. If nothing is "
        "reported by TIME, a person must decide."
    ),
    situations.unknown_refund: (
        "Nobody knows whether its refund was done: sent once with the same key, first at TIME, and no answer "
        "told. The partner is asked again with the same key, which pays once. It waits for its next try of the "
        "step refund at TIME; 1 of 100 tries are used up. Why: could not ask for the refund of 22.40 EUR for "
        "booking REFERENCE: it may have been done and there is no usable answer; it must be settled."
    ),
    situations.awaiting_refund_paused: (
        "It waits for its caller to report that the customer got 22.40 EUR back, since TIME (AGO). The offer holds "
        "until TIME. At TIME it is renewed, and may then be another. If nothing is reported by TIME, a person must "
        "decide. Besides, operator:anna has paused the step refund since TIME (AGO). It stands still until that is "
        "resumed, and then goes on where it is."
    ),
    situations.awaiting_refund_to_the_end: (
        "It waits for its caller to report that the customer got 22.40 EUR back, since TIME (AGO). If nothing is "
        "reported by TIME, a person must decide."
    ),
    situations.awaiting_premium_refund: (
        "It waits for its claim REFERENCE, which stands at 'Submitted', to report the Premium Refund, since TIME "
        "(AGO). Webhooks tell of it; XClaim is asked again by TIME. If there is none by TIME, a person must "
        "decide; the policies are not cancelled."
    ),
    situations.needs_review: (
        "It waits for a person at the step look_up since TIME (AGO): The insurer refused our credentials or the "
        "address is wrong. What to do: correct the settings, restart, retry."
    ),
    situations.needs_review_with_offer: (
        "It waits for a person at the step confirm since TIME (AGO): The insurer refused our credentials or the "
        "address is wrong. What to do: correct the settings, restart, retry. The offer of 22.40 EUR ends at TIME: "
        "after that it is previewed anew, and may be another."
    ),
    situations.rejected: (
        "It was rejected at TIME, with nothing done: XCover does not know the booking. What its caller can do: "
        "check the booking's id, its spelling, and that it belongs to this partner and this environment."
    ),
    situations.aborted: "It was taken back by caller:shop at TIME. Nothing was cancelled, and it waits for nothing.",
    situations.closed: "It was ended by hand by operator:ops at TIME, and waits for nothing. Why: done by hand.",
    situations.completed: "Every step of its journey is done since TIME. It waits for nothing.",
    situations.completed_with_claim: (
        "Every step of its journey is done since TIME. Its claim REFERENCE is still open as 'Submitted': webhooks "
        "tell of changes, and XClaim is asked again at TIME."
    ),
    situations.dry_run: "The dry run has ended at TIME. Nothing was cancelled, and nothing will be.",
}


@pytest.mark.parametrize(("situation", "sentences"), TOLD.items(), ids=[one.__name__ for one in TOLD])
def test_it_is_told_why_a_cancellation_waits(world: World, situation: Callable[[World], UUID], sentences: str) -> None:
    assert said(world, situation(world)) == sentences
