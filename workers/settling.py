"""What a reading says about an outcome we do not know. Pure: judges, decides nothing, writes nothing."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from shared.claims import CLOCK_ALLOWANCE
from shared.xclaim.claims import Claim
from shared.xcover.wire import Booking


class Deed(StrEnum):
    """What a booking shows about our confirm, or our immediate cancel."""

    DONE = "done"
    NOT_DONE = "not_done"
    SOMEONE_ELSES = "someone_elses"
    PARTLY = "partly"


def judge_cancelled(
    booking: Booking, quote_ids: Collection[str], *, stamped_from: datetime, stamped_until: datetime
) -> Deed:
    """Judge each policy by the time XCover has stamped on it, which for one that we cancelled lies between these two.

    A confirmed policy carries the time of its preview; one cancelled at once, that of the cancel itself.
    """
    policies = {policy.id: policy for policy in booking.policies}
    seen = set()
    for quote_id in quote_ids:
        policy = policies.get(quote_id)
        if policy is None:
            return Deed.PARTLY
        if policy.cancelled_at is None:
            seen.add(Deed.SOMEONE_ELSES if policy.status == "CANCELLED" else Deed.NOT_DONE)
        elif stamped_from <= policy.cancelled_at <= stamped_until:
            seen.add(Deed.DONE)
        else:
            seen.add(Deed.SOMEONE_ELSES)
    if Deed.SOMEONE_ELSES in seen:
        return Deed.SOMEONE_ELSES
    return seen.pop() if len(seen) == 1 else Deed.PARTLY


def ours_among(
    claims: Collection[Claim], *, quote_id: str, claim_type_id: str, intended_at: datetime
) -> tuple[list[Claim], list[Claim]]:
    """Return (claims that can be ours, other claims for the same policy).

    `intended_at` is by the insurer's clock. A claim that does not say when it was reported, for which policy, or
    that is of another type, is nobody's proof of anything: it counts as another's, which a person must look at.
    """
    same = [claim for claim in claims if claim.quote_id in {None, quote_id}]
    ours = [claim for claim in same if _can_be_ours(claim, claim_type_id, intended_at)]
    return ours, [claim for claim in same if claim not in ours]


def _can_be_ours(claim: Claim, claim_type_id: str, intended_at: datetime) -> bool:
    is_of_type = claim.claim_type_id is None or claim.claim_type_id.casefold() == claim_type_id.casefold()
    is_after = claim.reported_at is not None and claim.reported_at >= intended_at - CLOCK_ALLOWANCE
    return is_of_type and is_after and claim.quote_id is not None
