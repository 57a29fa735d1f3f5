"""Plain calls to the simulator, as a partner to the insurer and as our worker to the partner.

Signed, but otherwise as raw as a test wants them.
"""

import base64
import hmac
import json
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from tests.simulator.credentials import (
    CLAIM_TYPE_ID,
    PARTNER_CODE,
    REFUND_SECRET,
    XCLAIM_TOKEN,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
)
from tests.simulator.server import SimulatorServer
from tests.simulator.signatures import signature, signing_string

REFUND = {
    "type": "refund.requested",
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "amount": "22.40",
    "currency": "EUR",
    "idempotency_key": "order-1",
    "metadata": {"order": 1},
}


class Caller:
    def __init__(self, insurer: SimulatorServer) -> None:
        self._insurer = insurer
        # Nothing here speaks TLS: reading the certificates would take longer than what is asked.
        self.http = httpx.Client(base_url=insurer.url, trust_env=False, timeout=10, verify=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()

    def get(self, booking_id: str) -> httpx.Response:
        return self.xcover("GET", f"bookings/{booking_id}/")

    def preview(self, booking_id: str, key: str | None = None, **more: Any) -> httpx.Response:
        return self.cancel(booking_id, {"preview": True, **more}, key)

    def cancel(self, booking_id: str, body: Any, key: str | None = None) -> httpx.Response:
        return self.xcover("POST", f"bookings/{booking_id}/cancel", body, key=key)

    def confirm(self, booking_id: str, offer_id: str, key: str | None = None) -> httpx.Response:
        return self.xcover("POST", f"bookings/{booking_id}/confirm_cancellation/{offer_id}/", {}, key=key)

    def xcover(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """Send a signed request; `headers` replace the ones made here, underscores for dashes."""
        full = f"/x/partners/{PARTNER_CODE}/{path}"
        sent = {"Content-Type": "application/json", **signed_headers(method, full)}
        if key is not None:
            sent["x-idempotency-key"] = key
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.request(method, full, content=content, headers=sent)

    def claim(self, booking_id: str, quote_id: str, *, key: str | None = None, **more: Any) -> httpx.Response:
        body = {
            "claimTypeId": CLAIM_TYPE_ID,
            "bookingReference": booking_id,
            "quoteReference": quote_id,
            "language": "en",
            **more,
        }
        headers = {} if key is None else {"x-idempotency-key": key}
        return self.xclaim("POST", f"/partners/{PARTNER_CODE}/claims", body, headers)

    def eligibility(self, booking_id: str, quote_id: str) -> httpx.Response:
        path = f"/partners/{PARTNER_CODE}/bookings/{booking_id}/customer-eligibility-check"
        return self.xclaim("GET", path, {"quoteReference": quote_id})

    def xclaim(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
        sent = {"Authorization": f"Bearer {XCLAIM_TOKEN}", **(headers or {})}
        return self.http.request(method, f"/xclaim{path}", json=body, headers=sent)

    def refund(self, booking_id: str, key: str | None = "k-1", **changes: Any) -> httpx.Response:
        """Ask the partner for a refund; `changes` are to the body."""
        return self.send_refund(json.dumps({**REFUND, "booking_id": booking_id, **changes}).encode(), key)

    def send_refund(self, body: bytes, key: str | None = "k-1", **headers: str) -> httpx.Response:
        """Send these bytes; `headers` replace the ones made here, underscores for dashes."""
        sent = {"content-type": "application/json", **refund_headers(body)}
        if key is not None:
            sent["idempotency-key"] = key
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return self.http.post(self._insurer.refund_url, content=body, headers=sent)


def refund_headers(body: bytes, *, secret: str = REFUND_SECRET, age: float = 0) -> dict[str, str]:
    """Sign by hand what the partner verifies with the library, so that one may disagree with the other."""
    stamp = str(int(time.time() - age))
    signed = b".".join([b"msg_1", stamp.encode(), body])
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def signed_headers(
    method: str,
    path: str,
    *,
    algorithm: str = "hmac-sha512",
    names: str | None = None,
    secret: str = XCOVER_API_SECRET,
    date: str | None = None,
) -> dict[str, str]:
    """Sign the date, or what `names` lists; only then is it listed in the header too."""
    date = date or format_datetime(datetime.now(UTC), usegmt=True)
    text = signing_string((names or "date").split(" "), method=method, path=path, date=date)
    listed = f'headers="{names}",' if names else ""
    value = quote(signature(secret, algorithm, text), safe="")
    head = f'Signature keyId="{XCOVER_API_KEY}",algorithm="{algorithm}"'
    return {
        "Date": date,
        "X-Api-Key": XCOVER_API_KEY,
        "Authorization": f'{head},{listed}signature="{value}"',
    }
