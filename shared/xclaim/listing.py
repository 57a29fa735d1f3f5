"""Gathers the claims of one booking from pages, and knows whether one might be missing. No HTTP."""

from __future__ import annotations

from shared.insurer.errors import UnusableAnswer
from shared.xclaim import wire
from shared.xclaim.claims import Claim, ClaimList
from shared.xclaim.pages import Page

MAX_EVIDENCE = 50  # claims named in the evidence of one listing


class Listing:
    """The claims of one booking, page by page; `is_filtered` says that the insurer was asked for those only.

    Complete only if every page was understood, every entry was readable and named its booking, the last page
    named no next one, and as many different claims were seen as the insurer counts.
    """

    def __init__(self, booking_id: str, *, is_filtered: bool) -> None:
        self._booking_id = booking_id
        self._is_filtered = is_filtered
        self._claims: dict[str | None, Claim] = {}
        self._seen: set[str | None] = set()
        self._total = 0
        self._is_understood = True
        self._is_at_end = False

    def add(self, page: Page) -> None:
        """Take one more page."""
        self._is_understood = self._is_understood and page.is_certain
        self._is_at_end = page.next_url is None
        self._total = max(self._total, page.total or 0)
        for item in page.items:
            self._take(item)

    def result(self) -> ClaimList:
        """Return what was found so far."""
        is_complete = self._is_understood and self._is_at_end and len(self._seen) >= self._total
        return ClaimList(claims=tuple(self._claims.values()), is_complete=is_complete)

    def evidence(self) -> dict[str, object]:
        """Return JSON-able figures: how many claims were seen, and which of them are the booking's."""
        found = self.result()
        return {
            "seen": len(self._seen),
            "is_complete": found.is_complete,
            "claims": [
                {"id": claim.id, "reference": claim.reference, "category": claim.category}
                for claim in found.claims[:MAX_EVIDENCE]
            ],
        }

    def _take(self, item: object) -> None:
        try:
            claim = wire.claim_from(item)
        except UnusableAnswer:
            self._is_understood = False  # it may be the very claim that is looked for
            return
        key = claim.id or claim.reference
        self._seen.add(key)
        if not wire.names_a_booking(item):
            self._is_understood = self._is_understood and self._is_filtered
            is_ours = self._is_filtered
        else:
            is_ours = claim.booking_id == self._booking_id
        if is_ours:
            self._claims[key] = claim
