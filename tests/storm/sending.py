"""Lets claims move on at the insurer and tells the gateway of it, over as many connections as there are senders."""

import http.client
import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from shared.db import Database
from shared.xclaim.signature import derive_key, sign
from tests.chaos.stack import Stack
from tests.storm import claims, events
from tests.storm.claims import Made
from tests.storm.events import Action, Happen, Open, State, Tell
from tests.storm.plan import Plan

PATIENCE = 30.0
TRIES = 50
REST = 0.2


class NotTaken(Exception):
    """The gateway or the simulator answered what it must not, or nothing at all for too long."""


@dataclass(kw_only=True)
class Tale:
    """A claim, what is still to happen to it, and what has happened."""

    made: Made
    actions: deque[Action]
    is_open: bool
    happened: list[State] = field(default_factory=list)


@dataclass(kw_only=True)
class Sent:
    """What all senders did."""

    taken: int = 0
    """Webhooks that were answered 200."""
    unanswered: int = 0
    """Tries whose answer got lost: they may have been stored all the same."""
    put_off: int = 0
    """Tries that were answered 503."""
    kinds: Counter[str] = field(default_factory=Counter)
    bodies: set[bytes] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Storm:
    """Sends everything in threads: `start`, then look at `is_over`; `go_on` is cleared while the senders pause."""

    def __init__(self, stack: Stack, database: Database, plan: Plan, tales: Iterable[Tale]) -> None:
        self.sent = Sent()
        self.tales = list(tales)
        self.go_on = threading.Event()
        self.go_on.set()
        self._stack, self._database, self._plan = stack, database, plan
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"sender-{number}", daemon=True)
            for number in range(plan.senders)
        ]

    @property
    def is_over(self) -> bool:
        """Tell whether everything has been sent, or cannot be."""
        return not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        chance = random.Random(f"{self._plan.seed}:{number}")
        waiting = deque(self.tales[number :: self._plan.senders])
        gateway, insurer = Line(self._stack.gateway), Line(self._stack.insurer_url)
        active: list[Tale] = []
        try:
            while (active or waiting) and not self.sent.failed:
                while waiting and len(active) < self._plan.active:
                    active.append(waiting.popleft())
                tale = chance.choice(active)
                self._act(tale, tale.actions.popleft(), gateway, insurer)
                if not tale.actions:
                    active.remove(tale)
        except Exception as error:  # the edge of this thread: what went wrong is a finding
            with self.sent.lock:
                self.sent.failed.append(f"{threading.current_thread().name}: {type(error).__name__}: {error}")
        finally:
            gateway.close()
            insurer.close()

    def _act(self, tale: Tale, action: Action, gateway: "Line", insurer: "Line") -> None:
        if isinstance(action, Happen):
            _move(insurer, tale.made, action.state)
            tale.happened.append(action.state)
        elif isinstance(action, Open):
            with self._database.transaction() as tx:
                claims.write(tx, tale.made)
            tale.is_open = True
        else:
            self.go_on.wait()
            self._tell(tale, action, gateway)

    def _tell(self, tale: Tale, tell: Tell, gateway: "Line") -> None:
        made, key = tale.made, self._stack.webhook_key
        raw = events.body(
            tell.state, claim_id=made.claim_id, reference=made.reference, booking_id=made.booking_id
        )  # fmt: skip
        path = "/webhooks/xclaim"
        if tell.on_own_address:
            path, key = f"{path}/{made.token}", derive_key(key, made.token)
        headers = {"XClaim-Signature": sign(raw, key), "Content-Type": "application/json"}
        unanswered, put_off = _until_taken(gateway, path, raw, headers)
        traits = {"repeated": tell.is_repeat, "overtaken": tell.is_overtaken, "early": not tale.is_open,
                  "own address": tell.on_own_address}  # fmt: skip
        with self.sent.lock:
            self.sent.taken += 1
            self.sent.unanswered += unanswered
            self.sent.put_off += put_off
            self.sent.bodies.add(raw)
            self.sent.kinds.update(name for name, holds in traits.items() if holds)


class Line:
    """A connection that is made anew when it has ended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body; raise OSError or HTTPException when there is no answer."""
        try:
            self._connection.request("POST", path, body, dict(headers))
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def _until_taken(gateway: Line, path: str, raw: bytes, headers: Mapping[str, str]) -> tuple[int, int]:
    """Send again until it is answered 200, as XClaim does; return how often it went unanswered and was put off."""
    unanswered = put_off = 0
    for _ in range(TRIES):
        try:
            status, answer = gateway.post(path, raw, headers)
        except (OSError, http.client.HTTPException):
            unanswered += 1
            time.sleep(REST)
            continue
        if status == 200:
            return unanswered, put_off
        if status != 503:
            raise NotTaken(f"a signed event at {path} was answered {status} {answer[:200]!r}")
        put_off += 1
        time.sleep(REST)
    raise NotTaken(f"a signed event at {path} was not taken in {TRIES} tries")


def _move(insurer: Line, made: Made, state: State) -> None:
    happens: dict[str, Any] = {"event": state.event, "category": state.category, "send": False}
    if state.name is not None:
        happens |= {"name": state.name, "label": state.label}
    headers = {"Content-Type": "application/json"}
    status, answer = insurer.post(f"/_control/claims/{made.claim_id}/events", json.dumps(happens).encode(), headers)
    if status != 200:
        raise NotTaken(f"the simulator answered {status} {answer[:200]!r}")
