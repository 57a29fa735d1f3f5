"""The partner's own refund endpoint (REFUND_URL), which pays customers back when it is asked: one request each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from standardwebhooks import Webhook

from shared.clock import utc_now
from shared.insurer.answers import Answer, refusal
from shared.insurer.errors import OutcomeUnknown, Refused, flatten_errors
from shared.insurer.transport import InsurerHttp, Reply
from shared.redaction import clean_text
from shared.signing import signed_headers

PAID = frozenset({200, 201})
PROMISED = 202
LONGEST_REFERENCE = 255  # what the row holds

_NOT_AN_ANSWER = ("<", "{", "[")
"""How a page of somebody in between begins, or JSON that was cut off; a bare "ok" is an answer."""


@dataclass(frozen=True, kw_only=True)
class RefundAnswer:
    """The partner has paid, under its own `reference` if it told one; or promises to report (`is_promised`)."""

    is_promised: bool
    reference: str | None


class RefundRefused(Refused):
    means = "the partner's endpoint said no; it is not asked again by itself"


class RefundEndpoint:
    """Asks for refunds. Thread-safe; make it after any fork.

    Every request is signed by the Standard Webhooks scheme, under the idempotency key as its message id: the
    receiver must pay at most once per key. Repeats are the same bytes with a new timestamp.
    """

    def __init__(
        self, *, url: str, secret: str, http: InsurerHttp | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """`secret` is `whsec_` and base64. Raises ValueError for one that is not."""
        self._url = url
        self._webhook = Webhook(secret)
        self._http = http or InsurerHttp()
        self._clock = clock

    def ask(self, body: Mapping[str, object], *, key: str) -> Answer[RefundAnswer]:
        """Ask for one refund: `id`, `booking_id`, `amount` (decimal text), `currency` and what the caller gave.

        Raises RefundRefused for any 4xx, a 429 too; NotSent when nothing left; OutcomeUnknown for everything else that
        is not 200, 201 or 202, and for a page or JSON cut short: the same key is sent again.
        """
        attempted = f"ask for the refund of {body['amount']} {body['currency']} for booking {body['booking_id']}"
        said = {"type": "refund.requested", **body}
        content = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)

        def headers_for(_method: str, _path: str) -> dict[str, str]:
            signed = signed_headers([self._webhook], message_id=key, at=self._clock(), content=content)
            return {"Content-Type": "application/json", "Idempotency-Key": key, **signed}

        reply = self._http.send(
            "POST", self._url, attempted=attempted, is_read=False, headers_for=headers_for, content=content.encode()
        )
        if reply.status not in PAID and reply.status != PROMISED:
            raise _refusal(attempted, reply)
        if reply.json is None and reply.excerpt.lstrip().startswith(_NOT_AN_ANSWER):
            raise OutcomeUnknown(attempted, status=reply.status, evidence={"excerpt": reply.excerpt})
        answer = RefundAnswer(is_promised=reply.status == PROMISED, reference=_reference(reply.json))
        evidence = {"http_status": reply.status, "reference": answer.reference}
        return Answer(value=answer, status=reply.status, insurer_time=reply.insurer_time, evidence=evidence)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _refusal(attempted: str, reply: Reply) -> Exception:
    """Return RefundRefused for any 4xx, else OutcomeUnknown: what a status means elsewhere does not matter here."""
    told = refusal(attempted, reply, is_read=False)
    kind = RefundRefused if 400 <= reply.status < 500 else OutcomeUnknown
    said = reply.json if isinstance(reply.json, dict) else {}
    problems = told.problems or flatten_errors(said.get("error") or said.get("detail"))
    return kind(attempted, status=told.status, problems=problems, evidence=told.evidence)


def _reference(body: object) -> str | None:
    """Return the partner's own name for the payment, if the answer tells one."""
    told = body.get("reference") if isinstance(body, dict) else None
    return clean_text(told)[:LONGEST_REFERENCE] if isinstance(told, str) and told.strip() else None
