"""The two failures that only cancelling can have."""

from __future__ import annotations

from shared.insurer.errors import OutcomeUnknown


class NotAPreview(OutcomeUnknown):
    """A success that is not the preview asked for. A `cancelled_at` in it means it cancelled for real."""

    means = "answered with success, but not with a preview; it may have cancelled and must be settled"


class UnsafeCancelBody(Exception):
    """Our own mistake: these bytes would cancel, or might, without that having been asked for by name.

    Nothing was sent. The insurer takes a missing `preview` for a real cancellation, so it must be there.
    """
