"""Everyone outside who has to do their part: refunds are reported, some jobs taken back, lost webhooks sent again.

Also what goes through the Celery door, which gives no answer: it is sent until the list shows that it was taken.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

import httpx
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tests.chaos.jobs import PREMIUM_REFUND, Job
from tests.chaos.plan import Plan
from tests.chaos.stack import CALLER, Stack
from tests.chaos.traffic import Traffic

LOOK_EVERY = 1.0
AGAIN_AFTER = 3.0
"""Seconds until what was not taken is sent again."""
TWICE = 0.1
"""Of the refund reports are sent twice on purpose."""
BY_CELERY = 0.2
"""Of the refund reports go through the Celery door."""
QUICK = {"socket_timeout": 2, "socket_connect_timeout": 1, "max_retries": 0}
"""A producer that does not wait for a Redis that is away."""


class Partner:
    """Looks who waits, and acts."""

    def __init__(self, stack: Stack, plan: Plan, traffic: Traffic) -> None:
        self._traffic = traffic
        self._insurer = stack.insurer
        self._chance = random.Random(f"{plan.seed}:partner")
        headers = {"Authorization": f"Bearer {stack.token}"}
        self._http = httpx.Client(base_url=stack.gateway, headers=headers, timeout=10, trust_env=False)
        self._celery = Celery("partner", broker=stack.redis.url)
        self._celery.conf.broker_transport_options = QUICK
        self._celery.conf.broker_connection_timeout = 1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="partner", daemon=True)
        self.sends_lost_webhooks = False
        """Whether claims that reported nothing have their webhook sent again, as XClaim would in time."""
        self.wrong: list[str] = []
        """What the gateway answered that it must not."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._http.close()
        self._celery.close()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                self._ask_through_celery()
                self._do_refunds()
                if self.sends_lost_webhooks:
                    self._send_webhooks()
            except httpx.HTTPError:
                continue  # the gateway is away; the next look will tell
            except Exception as error:  # the edge of this thread: what it hides would look like a stuck job
                self.wrong.append(f"the partner failed with {error!r}")

    def _ask_through_celery(self) -> None:
        for job in self._traffic.unanswered:
            if job.door != "celery":
                continue
            answer = self._http.get("/v1/cancellations", params={"idempotency_key": job.key})
            items = answer.json()["items"] if answer.is_success else []
            if items:
                job.id = str(items[0]["id"])
            elif _is_due(job.asked_at):
                job.asked_at = time.monotonic()
                self._send_task("cancellations.request", job, **job.body)

    def _do_refunds(self) -> None:
        by_id = {job.id: job for job in self._traffic.accepted}
        for waiting in self._listed("awaiting_refund"):
            job = by_id.get(waiting["id"])
            if job is None or not _is_due(job.acted_at) or self._stop.is_set():
                continue
            job.acted_at = time.monotonic()
            if job.kind.is_aborted:
                self._expect(self._http.post(f"/v1/cancellations/{job.id}/abort"), job)
            else:
                self._report(job, waiting["preview"])

    def _report(self, job: Job, preview: dict[str, Any]) -> None:
        report = {"amount": preview["total_refund"], "currency": preview["currency"], "reference": f"re_{job.id}"}
        job.reported_at = job.reported_at or time.time()
        if self._chance.random() < BY_CELERY:
            self._send_task("cancellations.report_refund", job, **report)
            return
        for _ in range(2 if self._chance.random() < TWICE else 1):
            self._expect(self._http.post(f"/v1/cancellations/{job.id}/refund", json=report), job)

    def _send_webhooks(self) -> None:
        event = {name: value for name, value in PREMIUM_REFUND.items() if name != "after"}
        for waiting in self._listed("awaiting_premium_refund"):
            if waiting["claim"]["reference"]:
                self._insurer.send_event(waiting["claim"]["reference"], **event)

    def _listed(self, status: str) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"status": status, "limit": 200}
        while True:
            answer = self._http.get("/v1/cancellations", params=query)
            if not answer.is_success:
                return
            page = answer.json()
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]

    def _expect(self, answer: httpx.Response, job: Job) -> None:
        if not answer.is_success and answer.status_code < 500:
            self.wrong.append(f"{answer.request.url.path} ({job.kind.name}): {answer.status_code} {answer.text[:200]}")

    def _send_task(self, task: str, job: Job, **fields: Any) -> None:
        kwargs = {**fields, "idempotency_key": job.key, "caller": CALLER}
        with suppress(OperationalError, RedisError, OSError):
            for _ in range(2 if self._chance.random() < TWICE else 1):
                self._celery.send_task(task, kwargs=kwargs, queue="cancellations", kwargsrepr="(hidden)", retry=False)


def _is_due(last: float) -> bool:
    return time.monotonic() - last > AGAIN_AFTER
