"""Story: the real web, worker and beat processes over real HTTP and a real Redis, killed and starved on the way."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
import redis
from celery import Celery

from tests import servers
from tests.processes import Processes
from tests.simulator import (
    CLAIM_TYPE_ID,
    PARTNER_CODE,
    XCLAIM_API_KEY,
    XCLAIM_PASSWORD,
    XCOVER_API_KEY,
    XCOVER_API_SECRET,
    SimBooking,
    SimulatorServer,
)

pytestmark = pytest.mark.processes

SKIP = {"mode": "skip"}


@dataclass
class Service:
    """The running service, as a partner and an operator meet it."""

    url: str
    redis_url: str
    processes: Processes
    simulator: SimulatorServer

    def client(self, token: str = "shop-token") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    def cancel(self, booking: SimBooking, **body: Any) -> str:
        with self.client() as client:
            sent = {"booking_id": booking.id, **body}
            answer = client.post("/v1/cancellations", json=sent, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def show(self, cancellation_id: str) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.get(f"/v1/cancellations/{cancellation_id}").json())

    def wait(
        self, cancellation_id: str, is_so: Callable[[dict[str, Any]], bool], *, seconds: float = 60
    ) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            shown = self.show(cancellation_id)
            return shown if is_so(shown) else None

        try:
            found: dict[str, Any] = self.simulator.control.wait_until(look, timeout=seconds)
        except TimeoutError:
            raise AssertionError(f"after {seconds} s it is still {self.show(cancellation_id)}") from None
        return found

    def wait_for(self, cancellation_id: str, status: str) -> dict[str, Any]:
        return self.wait(cancellation_id, lambda shown: shown["status"] == status)

    def effects(self, kind: str, booking: SimBooking) -> list[dict[str, Any]]:
        return self.simulator.control.effects(kind, booking.id)


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    port = servers.free_port()
    with servers.embedded_redis() as redis_url, SimulatorServer() as simulator:
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "DATABASE_URL": database_url.replace("postgresql+psycopg://", "postgres://"),
            "REDIS_URL": redis_url,
            "XCOVER_BASE_URL": simulator.xcover_url,
            "XCOVER_PARTNER_CODE": PARTNER_CODE,
            "XCOVER_RATE_LIMIT": "10000",
            "XCOVER_API_KEY": XCOVER_API_KEY,
            "XCOVER_API_SECRET": XCOVER_API_SECRET,
            "XCLAIM_BASE_URL": simulator.xclaim_url,
            "XCLAIM_API_KEY": XCLAIM_API_KEY,
            "XCLAIM_PASSWORD": XCLAIM_PASSWORD,
            "XCLAIM_CLAIM_TYPE_ID": CLAIM_TYPE_ID,
            "XCLAIM_WEBHOOK_KEYS": "newest-key,older-key",
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "API_TOKENS": "shop:shop-token,ops:ops-token:operator",
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "2",
            "READ_BACK_AFTER": "2s",
        }
        with Processes(environment, ["web", "worker", "beat"], tmp_path) as processes:
            made = Service(f"http://127.0.0.1:{port}", redis_url, processes, simulator)
            processes.wait_ready(f"{made.url}/readyz")
            yield made


def test_a_cancellation_over_http_is_carried_to_its_end_and_its_claim_followed(service: Service) -> None:
    booking = service.simulator.control.add_booking(policies=[{"price": 20}, {"price": 50}], currency="EUR")
    cancellation_id = service.cancel(booking, claim={"quote_id": booking.quote_ids[1]})

    service.wait_for(cancellation_id, "awaiting_refund")
    with service.client() as client:
        report = {"amount": "20.00", "currency": "EUR", "reference": "re_1"}
        assert client.post(f"/v1/cancellations/{cancellation_id}/refund", json=report).status_code == 200
    service.wait_for(cancellation_id, "completed")
    ended = service.wait(cancellation_id, lambda shown: shown["claim"]["status"] == "Payment Complete")

    assert ended["claim"]["milestones"] == ["premium_refund", "claim_paid"]
    assert len(service.effects("confirm", booking)) == 1
    assert len(service.effects("claim", booking)) == 1


def test_work_goes_on_after_kill_flush_and_starvation(service: Service) -> None:
    """One start of the processes, three accidents: starting them costs more than the accidents."""
    control = service.simulator.control

    # The whole worker dies while XCover is confirming.
    killed = control.add_booking(faults=[{"on": "confirm", "do": "slow", "seconds": 3}])
    killed_id = service.cancel(killed, refund=SKIP)
    control.wait_until(lambda: control.requests(booking=killed.id, operation="confirm") or None, timeout=30)
    service.processes.kill("worker")

    # Redis forgets everything, and what is accepted meanwhile has no worker.
    waiting = [control.add_booking() for _ in range(5)]
    waiting_ids = [service.cancel(booking, refund=SKIP) for booking in waiting]
    with redis.Redis.from_url(service.redis_url) as server:
        server.flushall()

    # Redis hangs: accepting still answers.
    server_process = _redis_process(service.redis_url)
    server_process.send_signal(signal.SIGSTOP)
    try:
        hung = control.add_booking()
        hung_id = service.cancel(hung, refund=SKIP)
    finally:
        server_process.send_signal(signal.SIGCONT)

    service.processes.start("worker")
    for cancellation_id in (killed_id, *waiting_ids, hung_id):
        service.wait_for(cancellation_id, "completed")

    for booking in (killed, *waiting, hung):
        assert len(service.effects("confirm", booking)) == 1


def test_the_celery_door_takes_a_plain_celery_message(service: Service) -> None:
    booking = service.simulator.control.add_booking()
    producer = Celery(broker=service.redis_url)
    fields = {"booking_id": booking.id, "refund": SKIP, "idempotency_key": "order-1", "caller": "shop"}

    for _ in range(2):
        producer.send_task("cancellations.request", kwargs=fields, queue="cancellations", kwargsrepr="hidden")
    producer.close()

    def found() -> str | None:
        with service.client() as client:
            items = client.get("/v1/cancellations", params={"idempotency_key": "order-1"}).json()["items"]
        return items[0]["id"] if items else None

    cancellation_id = service.simulator.control.wait_until(found, timeout=30)
    service.wait_for(cancellation_id, "completed")
    assert len(service.effects("confirm", booking)) == 1


def test_a_burst_ends_and_sigterm_stops_every_process_at_once(service: Service) -> None:
    control = service.simulator.control
    bookings = [control.add_booking() for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda booking: service.cancel(booking, refund=SKIP), bookings))
    for cancellation_id in ids:
        service.wait_for(cancellation_id, "completed")
    family = [psutil.Process(service.processes.pid(name)) for name in ("web", "worker", "beat")]
    everyone = [*family, *(child for parent in family for child in parent.children(recursive=True))]

    for process in everyone:  # as platforms do: not to the parents alone
        process.terminate()
    _, alive = psutil.wait_procs(everyone, timeout=26)

    assert alive == []
    assert sum(len(service.effects("confirm", booking)) for booking in bookings) == 20


def _redis_process(url: str) -> psutil.Process:
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    for connection in psutil.net_connections("tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            return psutil.Process(connection.pid)
    raise AssertionError(f"nobody listens on {port}")
