"""Which claim updates are milestones for us. Pure."""

import re
from collections.abc import Mapping, Sequence

PREMIUM_REFUND = "premium_refund"
CLAIM_PAID = "claim_paid"
CLAIM_CLOSED_UNPAID = "claim_closed_unpaid"

DEFAULT_MAPPING: dict[str, list[str]] = {
    PREMIUM_REFUND: ["Premium Refund"],
    CLAIM_PAID: ["Claim Paid", "Payment Complete", "Settled"],
    CLAIM_CLOSED_UNPAID: ["Declined", "Withdrawn", "Duplicate Claim", "Closed", "claim.deleted"],
}


def reached(
    words: Sequence[str | None],
    *,
    already: Mapping[str, object],
    mapping: Mapping[str, Sequence[str]] | None = None,
) -> tuple[str, ...]:
    """Return the milestones that an update's event, category, name and label newly reach, in a fixed order.

    A claim that was paid is not closed unpaid by what follows.
    """
    said = {_plain(word) for word in words if word}
    found = [
        milestone
        for milestone, names in (mapping or DEFAULT_MAPPING).items()
        if milestone not in already and said & {_plain(name) for name in names}
    ]
    if CLAIM_PAID in already or CLAIM_PAID in found:
        found = [milestone for milestone in found if milestone != CLAIM_CLOSED_UNPAID]
    return tuple(found)


def _plain(word: str) -> str:
    letters = re.sub(r"[\W_]+", " ", word.casefold()).strip()
    return letters or word  # of nothing but punctuation: itself, or all such words would be one
