"""XCover's endpoints: one method each, one request each. No retries, no decisions, no tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar

from shared.clock import utc_now
from shared.insurer.addresses import base_url as checked_base_url
from shared.insurer.addresses import segment
from shared.insurer.answers import Answer, answered, refusal, unusable
from shared.insurer.errors import OutcomeUnknown, Throttled, UnusableAnswer
from shared.insurer.transport import InsurerHttp, Reply
from shared.rate_limit import RateLimit, TurnTooLate
from shared.xcover import wire
from shared.xcover.auth import Signer
from shared.xcover.bookings import Booking, Confirmation, Preview
from shared.xcover.errors import CancelledInstead, NotAPreview, ShowsCancelled, UnsafeCancelBody

T = TypeVar("T")


class XCoverClient:
    """One partner's view of XCover. Thread-safe; make it after any fork.

    Slashes at the end of paths are as recorded: the booking and the confirmation have one, the cancellation
    has none. A wrong one may be answered with a redirect, which a signed request cannot follow.
    """

    def __init__(
        self,
        *,
        base_url: str,
        partner_code: str,
        signer: Signer,
        http: InsurerHttp | None = None,
        limit: RateLimit | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`base_url` includes the prefix, which environments differ in. Raises ValueError if unusable."""
        self._limit = limit
        self._partner = f"{checked_base_url(base_url)}partners/{segment(partner_code, 'use the partner code')}"
        self._signer = signer
        self._http = http or InsurerHttp()
        self._clock = clock

    def get_booking(self, booking_id: str) -> Answer[Booking]:
        """Read a booking. Raises Unavailable, NotSent, Throttled, Refused and its kin."""
        attempted = f"read booking {booking_id}"
        reply = self._send("GET", self._url(attempted, booking_id, "/"), attempted=attempted)
        if not 200 <= reply.status < 300:
            raise refusal(attempted, reply, is_read=True)
        try:
            booking = wire.booking_from(reply.json, booking_id=booking_id)
        except UnusableAnswer as reason:
            raise unusable(attempted, reply, reason, is_read=True) from reason
        return _answer(booking, reply)

    def preview(self, booking_id: str, body: Mapping[str, object], *, idempotency_key: str) -> Answer[Preview]:
        """Ask what cancelling would refund; `body` comes from `wire.preview_request`.

        Raises NotAPreview when a success is anything but a preview of the policies named, UnsafeCancelBody
        (with nothing sent) when the body does not say that it is one, and the errors of a deed.
        """
        attempted = f"preview the cancellation of booking {booking_id}"
        content = _cancel_body(body, preview=True)
        return self._deed(
            attempted,
            self._url(attempted, booking_id, "/cancel"),
            content,
            idempotency_key=idempotency_key,
            read=partial(wire.preview_from, booking_id=booking_id, quote_ids=wire.quotes_named_in(body)),
            unknown=NotAPreview,
        )

    def confirm(
        self, booking_id: str, cancellation_id: str, *, quote_ids: Collection[str], idempotency_key: str
    ) -> Answer[Confirmation]:
        """Carry out a previewed cancellation. Irreversible.

        A success, or a 409 to our key, counts only when it shows every one of `quote_ids` cancelled (none
        given: every policy in it). Otherwise: OutcomeUnknown after a success, KeyConflict after a 409.
        """
        attempted = f"confirm {cancellation_id} on booking {booking_id}"
        tail = f"/confirm_cancellation/{segment(cancellation_id, attempted)}/"
        read = partial(
            wire.confirmation_from,
            booking_id=booking_id,
            quote_ids=quote_ids,
            cancellation_id=cancellation_id,
        )
        url = self._url(attempted, booking_id, tail)
        return self._deed(attempted, url, b"{}", idempotency_key=idempotency_key, read=read)

    def cancel_now(self, booking_id: str, body: Mapping[str, object], *, idempotency_key: str) -> Answer[Confirmation]:
        """Cancel at once, without a preview; `body` comes from `wire.immediate_request`. Irreversible.

        Counts and fails as `confirm` does. Raises UnsafeCancelBody, with nothing sent, unless the body says plainly
        that it is no preview and names its policies.
        """
        attempted = f"cancel booking {booking_id} at once"
        content = _cancel_body(body, preview=False)
        quote_ids = wire.quotes_named_in(body)
        read = partial(wire.confirmation_from, booking_id=booking_id, quote_ids=quote_ids, cancellation_id=None)
        url = self._url(attempted, booking_id, "/cancel")
        return self._deed(attempted, url, content, idempotency_key=idempotency_key, read=read)

    def close(self) -> None:
        """Close the connections, shared ones too."""
        self._http.close()

    def __repr__(self) -> str:
        return f"XCoverClient({self._partner!r})"

    def _deed(
        self,
        attempted: str,
        url: str,
        content: bytes,
        *,
        idempotency_key: str,
        read: Callable[[object], T],
        unknown: type[OutcomeUnknown] = OutcomeUnknown,
    ) -> Answer[T]:
        reply = self._send("POST", url, attempted=attempted, content=content, key=idempotency_key)
        if not (200 <= reply.status < 300 or reply.status == 409):
            raise refusal(attempted, reply, is_read=False)
        try:
            value = read(reply.json)
        except ShowsCancelled as reason:
            raise answered(CancelledInstead, attempted, reply, reason) from reason
        except UnusableAnswer as reason:
            raise unusable(attempted, reply, reason, is_read=False, unknown=unknown) from reason
        return _answer(value, reply)

    def _send(
        self, method: str, url: str, *, attempted: str, content: bytes | None = None, key: str | None = None
    ) -> Reply:
        def headers_for(method: str, path: str) -> dict[str, str]:
            signed = self._signer.headers_for(method, path, self._clock())
            keyed = {} if key is None else {"x-idempotency-key": key}
            return {"Content-Type": "application/json", **keyed, **signed}

        self._wait_for_turn(attempted)
        reply = self._http.send(
            method, url, attempted=attempted, is_read=key is None, headers_for=headers_for, content=content
        )
        if reply.status == 429 and self._limit is not None:
            self._limit.pause(refusal(attempted, reply, is_read=key is None).retry_after or 1.0)
        return reply

    def _wait_for_turn(self, attempted: str) -> None:
        if self._limit is None:
            return
        try:
            self._limit.before_request()
        except TurnTooLate as late:
            raise Throttled(attempted, retry_after=late.seconds) from late

    def _url(self, attempted: str, booking_id: str, tail: str) -> str:
        return f"{self._partner}/bookings/{segment(booking_id, attempted)}{tail}"


def _answer(value: T, reply: Reply) -> Answer[T]:
    return Answer(
        value=value,
        status=reply.status,
        insurer_time=reply.insurer_time,
        evidence={"http_status": reply.status, **wire.evidence_in(reply.json)},
        replayed=reply.status == 409,
    )


def _cancel_body(body: Mapping[str, object], *, preview: bool) -> bytes:
    """Return the bytes to send, after reading them back: what counts is what leaves, not what was meant.

    Keys are sorted so that a repeat is the same bytes, even if a database has kept the body in another order.
    """
    content = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    leaving = json.loads(content)
    if wire.says_preview(leaving) is not preview or not (preview or wire.quotes_named_in(leaving)):
        meant = "is a preview" if preview else "cancels at once, and which policies"
        raise UnsafeCancelBody(f"nothing was sent: the body does not say plainly that it {meant}")
    return content
