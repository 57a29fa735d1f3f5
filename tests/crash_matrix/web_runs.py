"""Plays every case of the gateway: requests of every writing route gather at their boundaries, then its process dies.

What follows is what a real caller does: it sends the same request, under the same key, until it is answered.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx
import psutil
from sqlalchemy import select

from shared.lifecycle import UNFINISHED, Status
from shared.models import Cancellation, Claim
from shared.webhook_models import WebhookDelivery
from shared.xclaim.signature import derive_key
from tests.crash_matrix.boundaries import WRITING_ROUTES, WebBoundary, web_boundaries
from tests.crash_matrix.cases import Death
from tests.crash_matrix.deployment import BOOKING_KEY, WEBHOOK_KEY, Deployment
from tests.crash_matrix.dooms import Doom
from tests.crash_matrix.evidence import Evidence, Subject, gather
from tests.crash_matrix.stories import CLAIM_FIRST, PREMIUM_REFUND, REFUND, SKIP
from tests.simulator import SimBooking
from tests.simulator.signatures import authorization, webhook_signature

HEADER = "Doomed-As"
THREADS = 48
PATIENCE = 500.0
"""Seconds for the whole run; it only bounds a hang."""
ANSWER_WITHIN = PATIENCE
"""Seconds: a caller that gives up sooner would not see what the process that was asked to stop still answers."""
ASK_AGAIN_AFTER = 5.0
PAUSE = 0.1
WAIT: dict[str, Any] = {"refund": {"mode": "wait"}}
REFUSED_ONCE = [{"on": "confirm", "do": "refuse"}]
ASKED_FOR = {"accept": SKIP, "refund": WAIT, "abort": WAIT, "retry": SKIP, "resolve": SKIP, "booking-hint": WAIT}
READY_AS = {
    "refund": Status.AWAITING_REFUND,
    "abort": Status.AWAITING_REFUND,
    "retry": Status.NEEDS_REVIEW,
    "resolve": Status.NEEDS_REVIEW,
    "webhook": Status.AWAITING_PREMIUM_REFUND,
    "webhook-bare": Status.AWAITING_PREMIUM_REFUND,
    "booking-hint": Status.AWAITING_REFUND,
}
"""Where a story's cancellation stands when its doomed request is sent; an accept has none yet."""


@dataclass(frozen=True, kw_only=True)
class WebCase:
    """One death of the gateway's process."""

    story: str
    boundary: WebBoundary
    death: Death

    @property
    def name(self) -> str:
        """What a test's id and the doom's file are called."""
        return f"{self.story}-{self.boundary}-{self.death}"


def web_cases() -> list[WebCase]:
    """Return every writing route at each of its boundaries, for each death."""
    return [
        WebCase(story=story, boundary=boundary, death=death)
        for death in Death
        for story in WRITING_ROUTES.values()
        for boundary in web_boundaries(story)
    ]


@dataclass
class Visit:
    """One case as it is played."""

    case: WebCase
    booking: SimBooking
    key: str
    row_id: UUID | None = None
    claim: Claim | None = None
    """What its webhook is about."""
    statuses: tuple[int, ...] = ()
    """What the caller was answered, in order; 0 where it was not."""

    @property
    def sent(self) -> dict[str, Any]:
        """What the cancellation asks for."""
        return {"booking_id": self.booking.id, **ASKED_FOR.get(self.case.story, CLAIM_FIRST)}


class WebRun:
    """Four deaths of one gateway, one after the other."""

    def __init__(self, world: Deployment) -> None:
        self._world = world
        self._before: dict[str, Evidence] = {}
        self._until_at = time.monotonic() + PATIENCE
        transport = httpx.HTTPTransport(verify=False, limits=httpx.Limits(max_connections=None))
        self._http = httpx.Client(transport=transport, timeout=ANSWER_WITHIN, trust_env=False)

    def play(self) -> dict[str, tuple[Evidence, tuple[int, ...]]]:
        """Play all, and return what is left of each with what its caller was answered."""
        with self._http:
            self._world.processes.start("beat")
            self._world.processes.start("worker")
            self._start("web")
            visits = [self._prepare(case) for case in web_cases()]
            self._until(lambda: all(self._is_ready(visit) for visit in visits))
            for death in Death:
                self._strike(death, [visit for visit in visits if visit.case.death is death])
            self._until(lambda: self._have_ended(visits))
            found = self._gather(visits)
        return {visit.case.name: (found[visit.case.name], visit.statuses) for visit in visits}

    def _start(self, name: str) -> None:
        self._world.processes.start(name)
        self._world.processes.wait_ready(f"{self._url(name)}/readyz", name=name, seconds=120)

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._world.ports[name]}"

    def _prepare(self, case: WebCase) -> Visit:
        faults = REFUSED_ONCE if case.story in {"retry", "resolve"} else []
        booking = self._world.simulator.control.add_booking(faults=faults, claim_story=[])
        visit = Visit(case=case, booking=booking, key=f"key-{case.name}")
        if case.story in READY_AS:
            answer = self._accept("web", visit)
            assert answer.status_code == 202, answer.text
            visit.row_id = UUID(answer.json()["id"])
        return visit

    def _is_ready(self, visit: Visit) -> bool:
        return visit.row_id is None or self._rows()[visit.row_id].status == READY_AS[visit.case.story]

    def _strike(self, death: Death, visits: list[Visit]) -> None:
        world = self._world
        self._let_the_insurer_move_on(visits)
        with ThreadPoolExecutor(2 * len(visits)) as callers:
            asked = self._gather_at_boundaries(visits, callers)
            main = psutil.Process(world.processes.pid("web"))
            family = [*main.children(recursive=True), main]
            if death is Death.STOPPED:
                self._stop_and_continue(family, visits)
                return
            self._kill(death, family, visits)
            for visit, answer in zip(visits, asked, strict=True):
                self._insist(visit, answer.result(), at="web")

    def _let_the_insurer_move_on(self, visits: list[Visit]) -> None:
        """Let the insurer's claims and bookings be what the webhooks are about to tell of."""
        with self._world.database.reading() as session:
            claims = {claim.cancellation_id: claim for claim in session.scalars(select(Claim))}
        for visit in visits:
            if visit.case.story.startswith("webhook") and visit.row_id is not None:
                visit.claim = claims[visit.row_id]
                self._world.simulator.control.send_event(str(visit.claim.claim_id), send=False, **PREMIUM_REFUND)
            if visit.case.story == "booking-hint":
                self._world.simulator.control.patch_booking(visit.booking.id, policies=[{"status": "CANCELLED"}])

    def _kill(self, death: Death, family: list[psutil.Process], visits: list[Visit]) -> None:
        world = self._world
        if death is Death.KILLED:
            family[0].kill()  # the main process makes a new one
            return
        if death is Death.ALL_KILLED:
            world.processes.kill("web")
        else:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
            self._let_go(visits)
            self._until(lambda: world.processes.has_ended("web"))
            world.processes.stop("web")
        self._start("web")

    def _stop_and_continue(self, family: list[psutil.Process], visits: list[Visit]) -> None:
        """Let callers give up and ask another gateway, and the first one go on when all is done."""
        for process in family:
            process.suspend()
        self._start("other-web")
        for visit in visits:
            self._insist(visit, 0, at="other-web")
        self._until(lambda: self._have_ended(visits))
        self._before = self._gather(visits)
        self._let_go(visits)
        for process in family:
            process.resume()

    def _gather(self, visits: list[Visit]) -> dict[str, Evidence]:
        subjects = [
            Subject(
                name=visit.case.name,
                row_id=visit.row_id,
                booking=visit.booking,
                has_died=self._world.dooms.has(visit.case.name, "at"),
                has_ended=True,
            )
            for visit in visits
        ]
        return gather(self._world, subjects, before=self._before)

    def _let_go(self, visits: list[Visit]) -> None:
        for visit in visits:
            self._world.dooms.let_go(visit.case.name)

    def _insist(self, visit: Visit, status: int, *, at: str) -> None:
        """Repeat the request until it is answered, and at least once, as whoever sent it does."""
        statuses = [status]
        while (statuses[-1] in {0, 503} or len(statuses) == 1) and time.monotonic() < self._until_at:
            statuses.append(self._ask(at, visit))
        visit.statuses = tuple(statuses)

    def _gather_at_boundaries(self, visits: list[Visit], callers: ThreadPoolExecutor) -> list[Future[int]]:
        """Ask for all at once, and once more where nothing has come in: a connection may sit unread behind the rest."""
        asked: dict[str, Future[int]] = {}
        for visit in visits:
            doom = Doom(victim=visit.case.name, task="request", boundary=visit.case.boundary.value)
            self._world.dooms.write(doom)
            asked[visit.case.name] = callers.submit(self._ask, "web", visit)
        again_at = time.monotonic() + ASK_AGAIN_AFTER
        while not all(self._world.dooms.has(name, "at") for name in asked) and time.monotonic() < self._until_at:
            if time.monotonic() > again_at:
                again_at = time.monotonic() + ASK_AGAIN_AFTER
                for visit in visits:
                    if not self._world.dooms.has(visit.case.name, "pid"):
                        asked[visit.case.name] = callers.submit(self._ask, "web", visit)
            time.sleep(PAUSE)
        return list(asked.values())

    def _ask(self, name: str, visit: Visit) -> int:
        """Send a story's request and return the status it is answered with; 0 when the connection broke."""
        try:
            return self._send(name, visit).status_code
        except httpx.HTTPError:
            time.sleep(PAUSE)
            return 0

    def _send(self, name: str, visit: Visit) -> httpx.Response:
        story = visit.case.story
        if story == "accept":
            return self._accept(name, visit)
        if story.startswith("webhook"):
            return self._webhook(name, visit)
        if story == "booking-hint":
            return self._booking_hint(name, visit)
        body = {"refund": REFUND, "resolve": {"resolution": "not_done", "note": "the insurer was asked"}}.get(story)
        return self._post(name, f"/v1/cancellations/{visit.row_id}/{story}", visit, token="ops-token", json=body)

    def _accept(self, name: str, visit: Visit) -> httpx.Response:
        return self._post(
            name, "/v1/cancellations", visit, token="shop-token", json=visit.sent, **{"Idempotency-Key": visit.key}
        )

    def _webhook(self, name: str, visit: Visit) -> httpx.Response:
        claim = visit.claim
        assert claim is not None
        shown = {"category": PREMIUM_REFUND["category"], "name": PREMIUM_REFUND["name"]}
        payload = {"id": claim.claim_id, "claimReference": claim.reference, "status": shown}
        body = json.dumps({"event": PREMIUM_REFUND["event"], "payload": payload}).encode()
        is_bare = visit.case.story == "webhook-bare"
        key = WEBHOOK_KEY if is_bare else derive_key(WEBHOOK_KEY, claim.webhook_token)
        path = "/webhooks/xclaim" if is_bare else f"/webhooks/xclaim/{claim.webhook_token}"
        headers = {"XClaim-Signature": webhook_signature(body, key), HEADER: visit.case.name}
        return self._http.post(self._url(name) + path, content=body, headers=headers)

    def _booking_hint(self, name: str, visit: Visit) -> httpx.Response:
        date = format_datetime(datetime.now(UTC), usegmt=True)
        headers = {"Date": date, "Authorization": authorization(*BOOKING_KEY, date), HEADER: visit.case.name}
        body = {"event": "BOOKING_CANCELLED", "payload": {"id": visit.booking.id}}
        return self._http.post(f"{self._url(name)}/webhooks/xcover", json=body, headers=headers)

    def _post(self, name: str, path: str, visit: Visit, *, token: str, json: Any, **headers: str) -> httpx.Response:
        named = {"Authorization": f"Bearer {token}", HEADER: visit.case.name, **headers}
        return self._http.post(self._url(name) + path, json=json, headers=named)

    def _rows(self) -> dict[UUID, Any]:
        with self._world.database.reading() as session:
            columns = (Cancellation.id, Cancellation.idempotency_key, Cancellation.status)
            return {row.id: row for row in session.execute(select(*columns))}

    def _have_ended(self, visits: list[Visit]) -> bool:
        rows = self._rows()
        ids = {row.idempotency_key: row.id for row in rows.values()}
        for visit in visits:
            visit.row_id = visit.row_id or ids.get(visit.key)
        with self._world.database.reading() as session:
            unhandled = session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.handled_at.is_(None))).first()
        return unhandled is None and all(
            visit.row_id is not None and rows[visit.row_id].status not in UNFINISHED for visit in visits
        )

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so() and time.monotonic() < self._until_at:
            time.sleep(PAUSE)
