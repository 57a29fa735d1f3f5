"""The partner's systems, as far as the demo plays them: asks for cancellations, refunds customers, takes one back."""

from types import TracebackType
from typing import Any, Self

import httpx
from celery import Celery

Resource = dict[str, Any]


class Unexpected(Exception):
    """The gateway answered something that the demo did not ask for."""


class Partner:
    """A caller of the gateway with a token of its own."""

    def __init__(self, url: str, token: str, *, name: str, broker: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
        )
        self._celery = Celery("partner", broker=broker)
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._celery.close()

    def ask(self, body: dict[str, Any], key: str, *, expected: int = 202) -> Resource:
        """Ask for a cancellation over HTTP."""
        answer = self._http.post("/v1/cancellations", json=body, headers={"Idempotency-Key": key})
        return _expect(answer, expected)

    def ask_through_celery(self, body: dict[str, Any], key: str) -> None:
        """Ask for a cancellation through Redis; accepted means that `find` shows it."""
        self._celery.send_task(
            "cancellations.request",
            kwargs={**body, "idempotency_key": key, "caller": self._name},
            queue="cancellations",
            kwargsrepr="(hidden)",  # Flower would show it
        )

    def find(self, key: str) -> Resource | None:
        """Look a cancellation up by the key it was asked for with."""
        page = _expect(self._http.get("/v1/cancellations", params={"idempotency_key": key}), 200)
        return dict(page["items"][0]) if page["items"] else None

    def see(self, row_id: str) -> Resource:
        """Look where a cancellation stands."""
        return _expect(self._http.get(f"/v1/cancellations/{row_id}"), 200)

    def timeline(self, row_id: str) -> list[dict[str, Any]]:
        """Read everything that happened to a cancellation, oldest first."""
        return list(_expect(self._http.get(f"/v1/cancellations/{row_id}/events"), 200)["items"])

    def report_refund(self, resource: Resource) -> Resource:
        """Report that the customer has got exactly what was previewed."""
        preview = resource["preview"]
        report = {
            "amount": preview["total_refund"],
            "currency": preview["currency"],
            "reference": f"re_{resource['id'][-12:]}",
        }
        return _expect(self._http.post(f"/v1/cancellations/{resource['id']}/refund", json=report), 200, 202)

    def abort(self, row_id: str) -> Resource:
        """Take a cancellation back."""
        return _expect(self._http.post(f"/v1/cancellations/{row_id}/abort"), 200)


def _expect(answer: httpx.Response, *statuses: int) -> Resource:
    if answer.status_code not in statuses:
        wanted = " or ".join(map(str, statuses))
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise Unexpected(f"{asked} answered {answer.status_code}, not {wanted}: {answer.text[:500]}")
    return dict(answer.json())
