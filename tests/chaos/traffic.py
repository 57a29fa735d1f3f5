"""Sends the jobs at an even pace, each again with its key until it is answered: accepted means a 2xx was seen."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import httpx

from tests.chaos.jobs import Job, draw
from tests.chaos.plan import Plan
from tests.chaos.stack import Stack
from tests.simulator.client import SimulatorControl

SENDERS = 16
AGAIN_AFTER = 0.5
"""Seconds."""
TIMEOUT = 10.0
TWICE = 0.05
"""Of the requests that were answered are sent once more on purpose."""


class Traffic:
    """The upstream systems that ask for cancellations."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        self._plan = plan
        self._insurer: SimulatorControl = stack.insurer
        self._chance = random.Random(f"{plan.seed}:traffic")
        headers = {"Authorization": f"Bearer {stack.token}"}
        self._http = httpx.Client(base_url=stack.gateway, headers=headers, timeout=TIMEOUT, trust_env=False)
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="traffic")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="traffic", daemon=True)
        self._number = 0
        self.jobs: list[Job] = []
        """Everything that was asked for, oldest first; it only grows."""
        self.is_sent = False
        """Whether every job of the plan has been sent once."""
        self.repeats = 0
        """Requests sent again, for want of an answer or on purpose."""
        self.wrong: list[str] = []
        """What the gateway answered that it must not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._http.close()

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    @property
    def accepted(self) -> list[Job]:
        """Those that were accepted."""
        return [job for job in list(self.jobs) if job.id is not None]

    @property
    def unanswered(self) -> list[Job]:
        """Those that are still being sent."""
        return [job for job in list(self.jobs) if job.id is None and job.refused is None]

    def send_more(self, count: int) -> list[Job]:
        """Send some at once and wait until each is accepted."""
        made: list[Job] = []
        while len(made) < count:
            made += self._next()
        for job in made:
            job.door = "http"
        for sent in [self._pool.submit(self._send, job) for job in made]:
            sent.result()
        return made

    def _send_all(self) -> None:
        try:
            self._send_evenly()
        except Exception as error:  # the edge of this thread
            self.wrong.append(f"the traffic failed with {error!r}")
        self.is_sent = True

    def _send_evenly(self) -> None:
        begun = time.monotonic()
        while len(self.jobs) < self._plan.jobs:
            due = begun + len(self.jobs) * self._plan.seconds / self._plan.jobs
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            for job in self._next():
                if job.door == "http":
                    self._pool.submit(self._send, job)

    def _next(self) -> Sequence[Job]:
        self._number += 1
        made = draw(self._chance, self._insurer, self._number)
        self.jobs += made
        return made

    def _send(self, job: Job) -> None:
        while not self._stop.is_set() and job.id is None and job.refused is None:
            answer = self._post(job)
            if answer is None or answer.status_code >= 500:
                self.repeats += 1
                self._stop.wait(AGAIN_AFTER)
            elif answer.is_success:
                job.id = str(answer.json()["id"])
            else:
                job.refused = f"{answer.status_code} {answer.text[:300]}"
        if job.id is not None and self._chance.random() < TWICE:
            self._send_again(job)

    def _send_again(self, job: Job) -> None:
        answer = self._post(job)
        self.repeats += 1
        if answer is None or answer.status_code >= 500:
            return
        if answer.status_code != 200 or answer.json()["id"] != job.id:
            self.wrong.append(f"{job.key} again: {answer.status_code} {answer.text[:200]}")

    def _post(self, job: Job) -> httpx.Response | None:
        job.asked_at = time.monotonic()
        try:
            return self._http.post("/v1/cancellations", json=job.body, headers={"Idempotency-Key": job.key})
        except httpx.HTTPError:
            return None
