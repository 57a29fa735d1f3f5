"""XClaim's endpoints: one method each. Nothing is repeated, except once with a fresh token. No tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from shared.insurer.addresses import base_url as checked_base_url
from shared.insurer.addresses import segment
from shared.insurer.answers import Answer, refusal, unusable
from shared.insurer.errors import UnusableAnswer
from shared.insurer.transport import InsurerHttp, Reply
from shared.xclaim import wire
from shared.xclaim.auth import TokenSource
from shared.xclaim.claims import Claim, ClaimList, Eligibility
from shared.xclaim.listing import Listing
from shared.xclaim.pages import Page, is_same_origin, read_page

MAX_PAGES = 40  # of one list; past this, a list of everything is the wrong way to look for a claim

T = TypeVar("T")


class XClaimClient:
    """One partner's view of XClaim. Thread-safe; make it after any fork.

    Each method keeps to one call deadline, the token's renewal and all pages included.
    """

    def __init__(
        self,
        *,
        base_url: str,
        partner_code: str,
        tokens: TokenSource,
        claims_by_booking_path: str | None = None,
        http: InsurerHttp | None = None,
    ) -> None:
        """`claims_by_booking_path` is relative and holds `{booking_id}`, perhaps `{partner}`. The real one is
        not published; without it every claim is listed. Raises ValueError for an unusable setting.
        """
        path = claims_by_booking_path
        if path is not None and ("{booking_id}" not in path or "://" in path or path.startswith("//")):
            raise ValueError("the path of a booking's claims is relative and contains {booking_id}")
        self._base = checked_base_url(base_url)
        self._partner = segment(partner_code, "use the partner code")
        self._by_booking = path and path.removeprefix("/").replace("{partner}", self._partner)
        self._tokens = tokens
        self._http = http or InsurerHttp()

    def eligibility(self, booking_id: str, quote_id: str) -> Answer[Eligibility]:
        """Ask whether a policy can be claimed now. A GET with a body, as documented."""
        attempted = f"check whether policy {quote_id} of booking {booking_id} can be claimed"
        path = f"bookings/{segment(booking_id, attempted)}/customer-eligibility-check"
        reply = self._send("GET", self._url(path), attempted, body=wire.eligibility_request(quote_id))
        return self._read(attempted, reply, wire.eligibility_from)

    def create_claim(self, body: Mapping[str, object], *, idempotency_key: str) -> Answer[Claim]:
        """Submit a claim; `body` comes from `wire.claim_request`. Irreversible.

        201, 200 and 202 (not processed yet) are all taken: none is documented. No key is documented either,
        it may be ignored; a 409 counts as our own claim only when it names our booking and our policy.
        Raises UnusableAnswer, a ValueError, with nothing sent, when the body names no booking or policy.
        """
        booking_id, quote_id = wire.claimed_policy(body)
        attempted = f"claim policy {quote_id} of booking {booking_id}"
        reply = self._send("POST", self._url("claims"), attempted, body=body, key=idempotency_key)
        if not (200 <= reply.status < 300 or reply.status == 409):
            raise refusal(attempted, reply, is_read=False)
        try:
            claim = wire.claim_from(reply.json, is_pending=reply.status == 202)
            _must_be_about(claim, booking_id, quote_id, is_replay=reply.status == 409)
        except UnusableAnswer as reason:
            raise unusable(attempted, reply, reason, is_read=False) from reason
        return _answer(replace(claim, booking_id=booking_id, quote_id=quote_id), reply)

    def get_claim(self, *, reference: str | None, claim_id: str | None) -> Answer[Claim]:
        """Read a claim by its reference, which exists before its id does, or else by its id."""
        if reference is not None:
            attempted = f"read claim {reference}"
            url = f"{self._base}v2/partners/{self._partner}/claims/{segment(reference, attempted)}"
        elif claim_id is not None:
            attempted = f"read claim {claim_id}"
            url = self._url(f"claims/{segment(claim_id, attempted)}")
        else:
            raise ValueError("a claim is read by its reference or by its id: both are missing")
        reply = self._send("GET", url, attempted)

        def read(body: object) -> Claim:
            claim = wire.claim_from(body, is_pending=reply.status == 202)
            told, asked = (claim.id, claim_id) if reference is None else (claim.reference, reference)
            if told != asked:
                raise UnusableAnswer("the answer is not about the claim asked for")
            return claim

        return self._read(attempted, reply, read)

    def list_claims(self, booking_id: str) -> Answer[ClaimList]:
        """List the claims of a booking; `is_complete` is False whenever one might be missing."""
        attempted = f"list the claims of booking {booking_id}"
        url = self._url("claims")
        if self._by_booking:
            url = self._base + self._by_booking.replace("{booking_id}", segment(booking_id, attempted))
        listing = Listing(booking_id, is_filtered=self._by_booking is not None)
        with self._http.deadline():
            answers = list(self._pages(url, attempted))
        for answer in answers:
            listing.add(answer.value)
        return Answer(
            value=listing.result(),
            status=answers[-1].status,
            insurer_time=answers[0].insurer_time,  # what the first page lacks may be newer than it
            evidence={"http_status": answers[-1].status, "pages": len(answers), **listing.evidence()},
        )

    def close(self) -> None:
        """Close the connections, shared ones too."""
        self._http.close()

    def __repr__(self) -> str:
        return f"XClaimClient({self._base!r}, partner {self._partner!r})"

    def _pages(self, url: str, attempted: str) -> Iterator[Answer[Page]]:
        """Follow the list from page to page, within the same origin, never in a circle, and not for ever."""
        visited = set[str]()
        for _ in range(MAX_PAGES):
            visited.add(url)
            reply = self._send("GET", url, attempted)
            answer = self._read(attempted, reply, partial(read_page, url=url, next_link=reply.next_link))
            yield answer
            following = answer.value.next_url
            if following is None or following in visited or not is_same_origin(following, self._base):
                return
            url = following

    def _read(self, attempted: str, reply: Reply, read: Callable[[object], T]) -> Answer[T]:
        if not 200 <= reply.status < 300:
            raise refusal(attempted, reply, is_read=True)
        try:
            return _answer(read(reply.json), reply)
        except UnusableAnswer as reason:
            raise unusable(attempted, reply, reason, is_read=True) from reason

    def _send(
        self,
        method: str,
        url: str,
        attempted: str,
        *,
        body: Mapping[str, object] | None = None,
        key: str | None = None,
    ) -> Reply:
        """Send once, and once more with a fresh token if the first one was refused: nothing was done then."""
        # keys sorted: a repeat is the same bytes, even if a database has kept the body in another order
        content = None if body is None else json.dumps(body, sort_keys=True, allow_nan=False).encode("ascii")

        def send(token: str) -> Reply:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            headers |= {"Accept-Language": "en"}  # statuses are translated, and matched in English
            headers |= {} if key is None else {"x-idempotency-key": key}
            return self._http.send(
                method,
                url,
                attempted=attempted,
                is_read=key is None,
                headers_for=lambda _method, _path: headers,
                content=content,
            )

        with self._http.deadline():
            token = self._tokens.token()
            reply = send(token)
            if wire.is_about_credentials(reply.status, reply.json) and self._tokens.invalidate(token):
                reply = send(self._tokens.token())
            return reply

    def _url(self, path: str) -> str:
        return f"{self._base}partners/{self._partner}/{path}"


def _answer(value: T, reply: Reply) -> Answer[T]:
    return Answer(
        value=value,
        status=reply.status,
        insurer_time=reply.insurer_time,
        evidence={"http_status": reply.status, **wire.evidence_in(reply.json)},
        replayed=reply.status == 409,
    )


def _must_be_about(claim: Claim, booking_id: str, quote_id: str, *, is_replay: bool) -> None:
    """Refuse another policy's claim. A new claim's answer may leave the policy out, a replayed one not."""
    silent = set() if is_replay else {None}
    if claim.booking_id not in {booking_id, *silent} or claim.quote_id not in {quote_id, *silent}:
        raise UnusableAnswer("the answer is not a claim for our policy of our booking")
