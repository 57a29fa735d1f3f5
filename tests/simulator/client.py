"""How a test speaks to the simulator, in this process or another: over its control interface, typed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.simulator.state import COUNTED

Found = TypeVar("Found")
PAUSE = 0.02


@dataclass(frozen=True, kw_only=True)
class SimBooking:
    """A booking as the simulator described it at that moment; `details` holds the rest."""

    id: str
    quote_ids: list[str]
    status: str
    currency: str
    details: dict[str, Any]

    @property
    def quote_id(self) -> str:
        """The first policy's, for the many bookings that have one."""
        return self.quote_ids[0]


class SimulatorControl:
    def __init__(self, base_url: str, *, timeout: float = 10, transport: httpx.BaseTransport | None = None) -> None:
        """Ask over HTTP, or by the transport given."""
        self._http = httpx.Client(
            base_url=f"{base_url.rstrip('/')}/_control", timeout=timeout, trust_env=False, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def health(self) -> dict[str, Any]:
        return self._ask("GET", "/health")

    def reset(self) -> None:
        """Forget every booking, claim, effect and request; settings go back to where they started."""
        self._ask("POST", "/reset")

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Throw switches; returns them all."""
        return self._ask("POST", "/settings", changes)

    def shift_clock(self, seconds: float) -> None:
        """Move the insurer's clock by so much more."""
        offset = self.settings()["clock_offset_seconds"]
        self.settings(clock_offset_seconds=offset + seconds)

    def forget_keys(self, *, share: float, seed: int) -> int:
        """Have a share of the idempotency keys forgotten, as if their 48 hours were over; return how many."""
        return int(self._ask("POST", "/forget_keys", {"share": share, "seed": seed})["forgotten"])

    def add_booking(self, **spec: Any) -> SimBooking:
        return _booking(self._ask("POST", "/bookings", spec))

    def booking(self, booking_id: str) -> SimBooking:
        return _booking(self._ask("GET", f"/bookings/{booking_id}"))

    def patch_booking(self, booking_id: str, **changes: Any) -> SimBooking:
        return _booking(self._ask("PATCH", f"/bookings/{booking_id}", changes))

    def notify(self, booking_id: str, *, url: str, key: str, secret: str, event: str = "BOOKING_CANCELLED") -> None:
        """Have XCover's own webhook about a booking sent."""
        wanted = {"url": url, "key": key, "secret": secret, "event": event}
        self._ask("POST", f"/bookings/{booking_id}/notify", wanted)

    def claims(self, booking: str | None = None) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/claims", query={"booking": booking})["claims"])

    def send_event(self, claim: str, **event: Any) -> dict[str, Any]:
        """Change a claim, named by id or reference, and have its webhook sent; returns after one try."""
        return self._ask("POST", f"/claims/{claim}/events", event)

    def ledger(self, booking: str | None = None) -> dict[str, Any]:
        """Everything that had an effect, with the counts of each booking."""
        return self._ask("GET", "/ledger", query={"booking": booking})

    def effects(self, kind: str | None = None, booking: str | None = None) -> list[dict[str, Any]]:
        return [one for one in self.ledger(booking)["effects"] if kind in (None, one["kind"])]

    def summary(self, booking: str) -> dict[str, int]:
        """How often the booking was previewed, confirmed, cancelled, claimed and refunded."""
        nothing = {f"{kind}s": 0 for kind in COUNTED}
        return dict(self.ledger(booking)["summary"].get(booking, nothing))

    def random_faults(self) -> list[dict[str, Any]]:
        """How often chance did what (`do`) to which operation (`on`), webhooks included."""
        return list(self._ask("GET", "/random_faults")["random_faults"])

    def request_counts(self) -> dict[str, int]:
        """How many requests of each operation came, also when there were more than the list of them keeps."""
        return dict(self._ask("GET", "/request_counts")["request_counts"])

    def requests(
        self, *, booking: str | None = None, operation: str | None = None, method: str | None = None
    ) -> list[dict[str, Any]]:
        wanted = {"booking": booking, "operation": operation, "method": method}
        return list(self._ask("GET", "/requests", query=wanted)["requests"])

    def wait_until(self, predicate: Callable[[], Found], timeout: float = 5) -> Found:
        """Ask again and again until the answer is truthy; `TimeoutError` with the last answer if never."""
        deadline = time.monotonic() + timeout
        while True:
            found = predicate()
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"still {found!r} after {timeout} s")
            time.sleep(PAUSE)

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, str | None] | None = None,
    ) -> dict[str, Any]:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        answer = self._http.request(method, path, json=body, params=params)
        if answer.is_error:
            raise ValueError(f"the simulator refused {method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json())


def _booking(told: dict[str, Any]) -> SimBooking:
    return SimBooking(
        id=told["id"],
        quote_ids=told["quote_ids"],
        status=told["status"],
        currency=told["currency"],
        details=told,
    )
