"""Where a process may die, lose its database or fall asleep: every beat of every task and request, counted.

Only what runs on the machine's own thread is counted: the thread that renews a lease is nobody's beat.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import exc, select

from shared.db import Database, Message, Transaction, now_plus
from shared.lifecycle import TASK_OF, Step, TaskName
from shared.models import Call, Cancellation, Claim
from shared.webhook_models import WebhookDelivery
from tests.model.asking import Doom, Interruption
from tests.recording import RecordingDatabase
from workers.partners import Partner

READS = {
    "xcover": ("get_booking", "preview"),
    "xclaim_or_none": ("eligibility", "get_claim", "list_claims"),
    "refunds_or_none": (),
}
DEEDS = {"xcover": ("confirm", "cancel_now"), "xclaim_or_none": ("create_claim",), "refunds_or_none": ("ask",)}
SENDING = tuple(f"before {name}" for names in DEEDS.values() for name in names)
"""The request is as good as gone: whoever stops here cannot be told from a slow network."""
SENT = tuple(f"after {name}" for names in DEEDS.values() for name in names)
READINGS = {name for names in READS.values() for name in names}
DEED_TASKS = {TaskName.REFUND, TaskName.CONFIRM, TaskName.CANCEL, TaskName.CLAIM}
MOST_DOOMS = 3

STEP_OF = {task: step.value for step, task in TASK_OF.items()}

TABLES: dict[TaskName, Any] = {TaskName.HANDLE_WEBHOOK: WebhookDelivery, TaskName.POLL_CLAIM: Claim}
"""Whose row a message rings for, where it is not a cancellation's."""

Act = Callable[[str], None]


class Killed(BaseException):
    """A process's death: nothing in the service catches it, so no later beat is written and no message leaves."""


class TakenAway(Exception):
    """What the driver says of a database that a test has taken away."""


def die(moment: str) -> None:
    """End the process."""
    raise Killed(moment)


def lose_the_database(moment: str) -> None:
    """Fail as a database does that goes away; after a commit this is a commit whose answer was lost."""
    raise exc.OperationalError(moment, None, TakenAway())


@dataclass
class _Waiting:
    doom: Doom
    act: Act
    left: int


class Interruptions:
    """Knows who is at work, counts moments, and acts at those that were asked for."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._left = 0
        self._act: Act | None = None
        self._fits: Callable[[str], bool] = bool
        self._waiting: list[_Waiting] = []
        self._at_work: list[tuple[str, str] | None] = []
        self.struck: set[str] = set()
        """Rows whose task was interrupted, in this example."""
        self.meant = 0
        self.came: Counter[str] = Counter()

    @contextmanager
    def at(self, by: Interruption, act: Act, *, fits: Callable[[str], bool] = bool) -> Iterator[None]:
        """Act at the nth fitting moment of the block, if there are as many."""
        self._left, self._act, self._fits = by.nth, partial(self._strike, f"{by.how} in a request", act), fits
        self.meant += 1
        try:
            yield
        finally:
            self._act = None

    def lie_in_wait(self, doom: Doom, act: Act) -> None:
        """Act once a task reaches the moment; some may wait at once."""
        if len(self._waiting) < MOST_DOOMS:
            self.meant += 1
            self._waiting.append(_Waiting(doom, act, doom.nth))

    @contextmanager
    def during(self, task: str, row_id: str) -> Iterator[None]:
        """Know who is at work in the block."""
        self._at_work.append((task, row_id))
        try:
            yield
        finally:
            self._at_work.pop()

    def sleeper(self) -> Message | None:
        """Return the message of the task that sleeps, where it is a task that does."""
        asleep = self._at_work[-2] if len(self._at_work) > 1 else None
        return (TaskName(asleep[0]), UUID(asleep[1])) if asleep and asleep[1] else None

    def make_haste(self) -> None:
        """Let what still waits strike whichever task reaches its moment first."""
        for waiting in self._waiting:
            waiting.doom, waiting.left = replace(waiting.doom, of="anything"), 1

    def calm(self) -> None:
        """Let nothing more happen."""
        self._waiting.clear()

    def reach(self, moment: str) -> None:
        """Tell that a moment has come."""
        if threading.get_ident() != self._thread:
            return
        act = self._act
        if act is not None and self._fits(moment):
            self._left -= 1
            if self._left == 0:
                self._act = None
                act(moment)
        if self._at_work and self._at_work[-1] is not None:
            self._reach_in_task(moment, *self._at_work[-1])

    def _reach_in_task(self, moment: str, task: str, row_id: str) -> None:
        for waiting in list(self._waiting):
            if not is_met(waiting.doom, task, moment):
                continue
            waiting.left -= 1
            if waiting.left == 0:
                self._waiting.remove(waiting)
                self.struck.add(row_id)
                self._strike(f"{waiting.doom.how} {moment} in {task}", waiting.act, moment)
                return

    def _strike(self, what: str, act: Act, moment: str) -> None:
        self.came[what] += 1
        self._at_work.append(None)  # what happens meanwhile is not the work of whoever sleeps
        try:
            act(moment)
        finally:
            self._at_work.pop()


def is_met(doom: Doom, task: str, moment: str) -> bool:
    """Tell whether this is a moment the doom waits for."""
    when, _, what = moment.partition(" ")
    kind = "deed" if moment in SENDING or moment in SENT else "read" if what in READINGS else what
    is_his = task in DEED_TASKS if doom.of == "a deed" else doom.of in {"anything", task}
    return is_his and doom.moment == f"{when} {kind}"


class BreakableDatabase(RecordingDatabase):
    """A recording database whose beats are moments."""

    def __init__(self, url: str, interruptions: Interruptions) -> None:
        self.interruptions = interruptions
        super().__init__(url)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """As everywhere, with a moment on either side of the commit."""
        self.interruptions.reach("before begin")
        with super().transaction() as tx:
            yield tx
            what = "intent" if _intends(tx) else "commit"
            self.interruptions.reach(f"before {what}")
        self.interruptions.reach(f"after {what}" if not tx.messages else "after publish")

    def _keep(self, messages: Sequence[Message]) -> None:
        with self.reading() as session:
            for task, row_id in messages:
                row = session.get(TABLES.get(task, Cancellation), row_id)
                is_committed = row is not None and getattr(row, "next_step", None) in {None, STEP_OF.get(task)}
                assert is_committed, f"{task} was sent before what it rings for was committed"
        self.interruptions.reach("before publish")  # others may go on here, so what was committed is looked at before
        super()._keep(messages)


def _intends(tx: Transaction) -> bool:
    """Tell whether the transaction writes that something irreversible is about to leave."""
    seen = [row for row in tx.session.identity_map.values() if isinstance(row, Call)]
    return any(call.outcome == "sent" and call.step != Step.PREVIEW for call in seen)


def in_no_transaction(moment: str) -> bool:
    """Tell whether others can go on meanwhile: one that sleeps in a transaction holds its locks."""
    return moment not in {"before commit", "before intent"}


def away(moment: str) -> bool:
    """Tell whether a database can be found away at this moment."""
    return moment in {
        *("before begin", "before commit", "before publish", "after commit"),
        *("before intent", "after intent"),
    }


def watch(connected: Partner, database: Database, interruptions: Interruptions) -> None:
    """Make every request of the clients two moments: before it leaves, and after its answer."""
    for table in (READS, DEEDS):
        for client, methods in table.items():
            for method in methods:
                _wrap(getattr(connected, client), method, interruptions)
    for client, methods in DEEDS.items():
        for method in methods:
            _guard(getattr(connected, client), method, database)


def _wrap(client: Any, method: str, interruptions: Interruptions) -> None:
    real = getattr(client, method)

    def watched(*args: Any, **kwargs: Any) -> Any:
        interruptions.reach(f"before {method}")
        answer = real(*args, **kwargs)
        interruptions.reach(f"after {method}")
        return answer

    setattr(client, method, watched)


def _guard(client: Any, method: str, database: Database) -> None:
    """See to it that nothing irreversible leaves without a live lease: whoever sends it has been overtaken."""
    real = getattr(client, method)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        key = kwargs["key"] if method == "ask" else kwargs["idempotency_key"]
        of_key = select(Cancellation.id).join(Call, Call.cancellation_id == Cancellation.id).where(Call.key == key)
        with database.reading() as session:
            held = session.scalar(of_key.where(Cancellation.lease_until >= now_plus(0)))
        assert held is not None, f"{method} left although its lease had run out"
        return real(*args, **kwargs)

    setattr(client, method, guarded)
