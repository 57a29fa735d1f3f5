"""Which claim updates are milestones for us. Pure."""

import re
from collections.abc import Mapping, Sequence

PREMIUM_REFUND = "premium_refund"
CLAIM_PAID = "claim_paid"
CLAIM_CLOSED_UNPAID = "claim_closed_unpaid"

DELETED = "claim.deleted"

DEFAULT_MAPPING: dict[str, list[str]] = {
    PREMIUM_REFUND: ["Premium Refund"],
    CLAIM_PAID: ["Claim Paid", "Payment Complete", "Settled"],
    CLAIM_CLOSED_UNPAID: ["Declined", "Withdrawn", "Duplicate Claim", "Closed", DELETED],
}

DOCUMENTED_CATEGORIES = (
    "Submitted", "Under Assessment", "Action Required", "Payment Processing", "Payment Complete", "Processing",
    "Declined", "Settled", "Duplicate Claim", "Under Review", "Closed", "Withdrawn",
)  # fmt: skip
"""XClaim's status categories, as its partner documentation lists them (claim-creation-workflows, appendix)."""


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


def unknown_word(
    category: str | None,
    status_name: str | None,
    status_label: str | None,
    *,
    mapping: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """Return the status that an update tells if nobody has said what it means: a person should map it, or not.

    A status name belongs to the integration's workflow and is documented nowhere: it counts where there is no category.
    """
    told = [category] if category else [word for word in (status_name, status_label) if word]
    named = [name for names in (mapping or DEFAULT_MAPPING).values() for name in names]
    known = {_plain(word) for word in (*DOCUMENTED_CATEGORIES, *named)}
    return None if not told or any(_plain(word) in known for word in told) else told[0]


def is_deletion(event: str) -> bool:
    """Tell whether an event says that XClaim has deleted the claim."""
    return _plain(event) == _plain(DELETED)


def _plain(word: str) -> str:
    letters = re.sub(r"[\W_]+", " ", word.casefold()).strip()
    return letters or word  # of nothing but punctuation: itself, or all such words would be one
