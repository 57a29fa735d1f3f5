"""Sends the insurer's webhooks, again when they are not taken, and only to this machine.

A claim's webhooks are signed over the raw body; a booking's (BOOKING_*) over their date alone.
"""

import ipaddress
import json
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.simulator import claims, payloads, signatures
from tests.simulator.records import Booking, Claim, StoryEvent
from tests.simulator.scheduler import Scheduler
from tests.simulator.state import State

GROWTH = 2  # each wait before another try is twice the one before
BOOKING_TRIES = 3
FORGED = "not-the-key-of-this-claim"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One webhook to one receiver; `facts` is what the ledger says of it."""

    booking: Booking
    url: str
    body: bytes
    headers: dict[str, str]
    facts: dict[str, Any]
    tries: int
    needs_200: bool = False  # XCover takes 202 for a failure


class Sender:
    def __init__(self, state: State) -> None:
        self._state = state
        self._scheduler = Scheduler()
        # It posts to this machine alone: reading the world's certificates would take longer than that.
        self._http = httpx.Client(trust_env=False, follow_redirects=False, verify=False)

    def stop(self) -> None:
        self._scheduler.stop()
        self._http.close()

    def clear(self) -> None:
        self._scheduler.clear()

    def tell(self, claim: Claim) -> None:
        """Let the rest of a claim's story happen, each event its seconds after the one before."""
        if claim.story:
            event = claim.story.pop(0)
            self._scheduler.after(event.after, lambda: self._next(claim, event))

    def tell_first(self, claim: Claim) -> None:
        """Let the first event happen now and deliver it, while the caller still waits for its answer."""
        if claim.story:
            self.happen(claim, claim.story.pop(0))

    def happen(self, claim: Claim, event: StoryEvent, *, is_sent: bool = True) -> None:
        """Change the claim and deliver the webhook, as the booking's faults allow; returns after one try."""
        with self._state.lock:
            body = claims.advance(self._state, claim, event)
            if not is_sent:
                return
            fault = self._state.take_fault(claim.booking.id, "webhook")
            do = fault.do if fault else None
            if do == "out_of_order" and claim.held is None:  # one that waits is overtaken by this one
                claim.held = body
                return
            overtaken, claim.held = claim.held, None
        if do == "dropped":
            self._record(claim.booking, _facts(claim, body), outcome="dropped")
            bodies = []
        else:
            bodies = [body, body] if do == "twice" else [body]
        bodies += [overtaken] if overtaken else []
        if do == "late" and fault is not None:
            self._scheduler.after(fault.seconds, lambda: self._deliver(claim, bodies))
        else:
            self._deliver(claim, bodies, is_forged=do == "bad_signature")

    def tell_of_booking(self, booking: Booking) -> None:
        """Tell whoever is set up for it that a booking has changed, while the caller is being answered."""
        receiver = self._state.settings.booking_webhooks
        if receiver is not None:
            event = "BOOKING_CANCELLED" if booking.status == "CANCELLED" else "BOOKING_UPDATED"
            self._scheduler.after(0, lambda: self.notify(booking, event=event, **receiver.model_dump()))

    def notify(self, booking: Booking, *, url: str, event: str, key: str, secret: str) -> None:
        """Send XCover's own webhook about a booking, dated by the insurer's clock."""
        date = format_datetime(self._state.now(), usegmt=True)
        headers = {
            "Date": date,
            "X-Api-Key": key,
            "Authorization": signatures.authorization(key, secret, date),
        }
        body = json.dumps({"event": event, "payload": payloads.notification(booking)}).encode()
        self._try(
            Letter(
                booking=booking,
                url=url,
                body=body,
                headers=headers,
                facts={"event": event, "claim": None},
                tries=BOOKING_TRIES,
                needs_200=True,
            )
        )

    def _next(self, claim: Claim, event: StoryEvent) -> None:
        if not self._state.stopping.is_set() and claim.id in self._state.claims:
            self.happen(claim, event)
            self.tell(claim)

    def _deliver(self, claim: Claim, bodies: list[bytes], *, is_forged: bool = False) -> None:
        settings = self._state.settings
        for body in bodies:
            for receiver in claim.receivers:
                key = FORGED if is_forged else receiver["key"]
                signed = signatures.webhook_signature(body, key, settings.webhook_encoding)
                letter = Letter(
                    booking=claim.booking,
                    url=receiver["url"],
                    body=body,
                    headers={"XClaim-Signature": signed},
                    facts=_facts(claim, body),
                    tries=settings.webhook_tries,
                )
                self._try(letter)

    def _try(self, letter: Letter, attempt: int = 1) -> None:
        """Post once; when it is not taken, come back later."""
        if letter.booking.id not in self._state.bookings:
            return  # everything was reset meanwhile
        if not is_on_this_machine(letter.url):
            self._record(letter.booking, letter.facts, url=letter.url, outcome="refused: not this machine")
            return
        status, outcome = self._post(letter)
        self._record(letter.booking, letter.facts, url=letter.url, attempt=attempt, status=status, outcome=outcome)
        if outcome != "taken" and attempt < letter.tries:
            wait = self._state.settings.webhook_spacing * GROWTH ** (attempt - 1)
            self._scheduler.after(wait, lambda: self._try(letter, attempt + 1))

    def _post(self, letter: Letter) -> tuple[int | None, str]:
        headers = {"Content-Type": "application/json", **letter.headers}
        timeout = self._state.settings.webhook_timeout
        try:
            answer = self._http.post(letter.url, content=letter.body, headers=headers, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, type(error).__name__
        is_taken = answer.status_code == 200 if letter.needs_200 else answer.is_success
        return answer.status_code, "taken" if is_taken else "not taken"

    def _record(self, booking: Booking, facts: dict[str, Any], **more: Any) -> None:
        if booking.id in self._state.bookings:
            self._state.record("webhook", booking, **facts, **more)


def is_on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _facts(claim: Claim, body: bytes) -> dict[str, Any]:
    told = json.loads(body)
    return {
        "claim": claim.id,
        "event": told["event"],
        "category": told["payload"]["status"]["category"],
        "name": told["payload"]["status"].get("name"),
    }
