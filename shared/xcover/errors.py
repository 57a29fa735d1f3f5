"""The failures that only cancelling can have."""

from __future__ import annotations

from shared.insurer.errors import OutcomeUnknown, UnusableAnswer


class NotAPreview(OutcomeUnknown):
    """A success that is not the preview asked for, and shows nothing cancelled either."""

    means = "answered with success, but not with a preview; it must be asked for again"


class CancelledInstead(NotAPreview):
    """What was asked for as a preview shows a policy cancelled: nobody meant that, and it cannot be taken back."""

    means = "asked for a preview, but the answer shows a real cancellation; a person must look"


class ShowsCancelled(UnusableAnswer):
    """The answer to a preview shows a policy as really cancelled."""


class UnsafeCancelBody(Exception):
    """Our own mistake: these bytes would cancel, or might, without that having been asked for by name.

    Nothing was sent. The insurer takes a missing `preview` for a real cancellation, so it must be there.
    """
