"""The client of upstream systems' callback endpoints: one signed POST, whose answer is a status and nothing more."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from standardwebhooks import Webhook

from shared import outbound
from shared.callback_answers import Told
from shared.clock import utc_now
from shared.insurer.errors import NotSent, OutcomeUnknown
from shared.insurer.transport import InsurerHttp, Timeouts
from shared.signing import signed_headers

TIMEOUTS = Timeouts(connect=5.0, read=10.0, write=5.0, deadline=15.0)
"""Seconds; an endpoint stores the message and answers. One that does its work first keeps others waiting."""
MAX_ANSWER = 64 * 1024  # bytes; read so that the connection can be used again, and thrown away


class CallbackClient:
    """Sends messages to addresses of callers' choosing. Thread-safe; make it after any fork."""

    def __init__(self, *, allows_loopback: bool = False, clock: Callable[[], datetime] = utc_now) -> None:
        look_up = outbound.look_up_for(allows_loopback=allows_loopback)
        self._allows_loopback = allows_loopback
        self._http = InsurerHttp(timeouts=TIMEOUTS, look_up=look_up, max_body=MAX_ANSWER)
        self._clock = clock

    def post(self, url: str, payload: Mapping[str, object], *, message_id: str, secrets: Sequence[str]) -> Told:
        """Send one message once, signed under every secret; no answer is an answer too, and nothing is raised.

        A repeat is the same bytes under the same id, with a new timestamp.
        """
        fault = outbound.fault(url, allows_loopback=self._allows_loopback)  # the rules may have grown stricter since
        if fault is not None:
            return Told(error=f"not sent: the address {fault}", was_tried=False)
        keys = [Webhook(secret) for secret in secrets]
        content = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)

        def headers_for(_method: str, _path: str) -> dict[str, str]:
            signed = signed_headers(keys, message_id=message_id, at=self._clock(), content=content)
            return {"Content-Type": "application/json", **signed}

        try:
            reply = self._http.send(
                "POST", url, attempted="tell of a change", is_read=False, headers_for=headers_for,
                content=content.encode(),
            )  # fmt: skip
        except (NotSent, OutcomeUnknown) as error:
            failure, detail = error.evidence.get("failure"), error.evidence.get("detail")
            return Told(error=f"no answer: {failure}: {detail}")
        error_text = None if 200 <= reply.status < 300 else f"answered {reply.status}"
        return Told(status=reply.status, error=error_text, retry_after=reply.retry_after)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
