"""Every boundary of everything that a worker or the gateway does, named in this one place.

A worker's try, from top to bottom; where it is not one of two beats around a call, some of these do not exist, and
`absent` says why:

    message taken
    ── BEFORE_LEASE ──
    first transaction: lease and intent
    ── INTENT_COMMITTED ──
    request        ── REQUEST_LEFT ──   the insurer has not acted; it does when the caller is gone
                   ── INSURER_ACTED ──  its answer never arrives
    ── ANSWERED ──
    last transaction: what came of it
    ── COMMITTING ──   everything is written, rows are locked, nothing is committed
    ── COMMITTED ──
    next message published
    ── PUBLISHED ──
    message acknowledged
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.lifecycle import Step, TaskName


class Boundary(StrEnum):
    """Between which two things a worker's process dies."""

    BEFORE_LEASE = "before-the-lease"
    INTENT_COMMITTED = "intent-committed"
    REQUEST_LEFT = "request-left"
    INSURER_ACTED = "insurer-acted"
    ANSWERED = "answered"
    COMMITTING = "committing"
    COMMITTED = "committed"
    PUBLISHED = "published"


class WebBoundary(StrEnum):
    """Between which two things a gateway's process dies in the middle of a request."""

    RECEIVED = "received"
    COMMITTING = "committing"
    COMMITTED = "committed"
    RUNG = "rung"
    """The message is on its way to Redis, the answer not yet to the caller."""
    ANSWERED = "answered"
    """The answer has left, the message has not: it was lost in the gateway's memory."""


AROUND_A_CALL = frozenset({Boundary.INTENT_COMMITTED, Boundary.REQUEST_LEFT, Boundary.INSURER_ACTED, Boundary.ANSWERED})
_ONE_TRANSACTION = dict.fromkeys(
    AROUND_A_CALL, "one transaction takes the row and writes what came of it; nobody outside is asked"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One way through a worker's task."""

    name: str
    task: TaskName
    step: Step | None = None
    asks: str | None = None
    """What the request is to the insurer or partner, as the simulator calls it."""
    is_keyed: bool = False
    """The insurer's way with our keys makes a difference."""
    transactions: int = 2
    """The number of the transaction that is the last beat."""
    absent: Mapping[Boundary, str] = field(default_factory=dict)

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """Those that this way has."""
        return tuple(boundary for boundary in Boundary if boundary not in self.absent)


def _door(task: TaskName) -> Place:
    return Place(name=task.value, task=task, transactions=1, absent=_ONE_TRANSACTION)


PLACES = (
    Place(name="look_up", task=TaskName.LOOK_UP, step=Step.LOOK_UP, asks="get_booking"),
    Place(name="preview", task=TaskName.PREVIEW, step=Step.PREVIEW, asks="preview", is_keyed=True),
    Place(name="refund-wait", task=TaskName.REFUND, step=Step.REFUND, transactions=1, absent=_ONE_TRANSACTION),
    Place(name="refund-skip", task=TaskName.REFUND, step=Step.REFUND, transactions=1, absent=_ONE_TRANSACTION),
    Place(name="refund-call", task=TaskName.REFUND, step=Step.REFUND, asks="refund"),
    Place(name="confirm", task=TaskName.CONFIRM, step=Step.CONFIRM, asks="confirm", is_keyed=True),
    Place(name="cancel", task=TaskName.CANCEL, step=Step.CANCEL, asks="cancel", is_keyed=True),
    Place(name="claim", task=TaskName.CLAIM, step=Step.CLAIM, asks="create_claim", is_keyed=True),
    Place(
        name="await_premium_refund",
        task=TaskName.AWAIT_PREMIUM_REFUND,
        step=Step.AWAIT_PREMIUM_REFUND,
        asks="get_claim",
    ),
    Place(
        name="webhook-event",
        task=TaskName.HANDLE_WEBHOOK,
        absent={
            boundary: "the same as in webhook-answer"
            for boundary in Boundary
            if boundary not in {Boundary.COMMITTING, Boundary.COMMITTED}
        },
    ),
    Place(name="webhook-answer", task=TaskName.HANDLE_WEBHOOK, asks="get_claim", transactions=3),
    _door(TaskName.REQUEST),
    _door(TaskName.REPORT_REFUND),
    _door(TaskName.ABORT),
    Place(name="sweep", task=TaskName.SWEEP, transactions=1, absent=_ONE_TRANSACTION),
)

TASKS_WITHOUT_BOUNDARIES = {
    TaskName.POLL_CLAIM: "it asks, and takes the answer in one transaction as webhook-answer does; it is asked again",
    TaskName.FAN_OUT_WEBHOOKS: "it writes nothing, and the sweeper rings for what it does not send",
    TaskName.DELIVER_CALLBACK: "it moves no cancellation on; that a message is sent again is told in test_callbacks.py",
    TaskName.PROBE: "it touches a file and nothing else",
    TaskName.CHECK_INSURER: "it moves nothing on: it asks about what does not exist, and notes what was said",
    TaskName.KEEP_HOUSE: "it moves nothing on: it removes what has ended, a batch in each transaction",
    TaskName.CHECK_INVARIANTS: "it moves nothing on: what it blocks is one transaction, and it looks again",
}

WRITING_ROUTES = {
    "cancellations.accept": "accept",
    "cancellations.report_refund": "refund",
    "cancellations.abort": "abort",
    "cancellations.retry": "retry",
    "cancellations.resolve": "resolve",
    "webhooks.from_xclaim_on_own_address": "webhook",
    "webhooks.from_xclaim": "webhook-bare",
    "xcover_webhooks.from_xcover": "booking-hint",
}
"""The gateway's endpoints that write, each with the name of its story."""
WRITING_ROUTES_WITHOUT_BOUNDARIES = {
    "webhook_operations.replay_one": "it makes a handled event due again in one transaction; a repeat does so too",
    "webhook_operations.replay_those": "the same, some hundreds in a transaction",
    "batches.open_one": "it stores what it is given in one transaction; a repeat finds it by its keys",
    "batches.add": "the same; whole imports die in test_import_is_killed.py",
    "batches.pause": "it changes rows in chunks; a repeat goes on where it stopped",
    "batches.resume": "the same",
    "batches.call_off": "the same",
    "doctor.ask": "it writes a row only to take it back, and has a worker ask what may be asked at any time",
    "steering.press": "the same, each row by what retries or aborts a single one; told in test_steering.py",
    "pauses.pause": "it writes one row in one transaction, and a repeat changes nothing",
    "pauses.resume": "it removes one row in one transaction, and a repeat changes nothing",
    "erasures.erase": "one transaction empties what is meant; a repeat finds nothing more to do",
    "callbacks.replay": "it makes messages due again in one transaction; a repeat does so too",
}
WRITING_ROUTES_WITHOUT_BOUNDARIES |= {
    f"console.{press}": why
    for press, why in {
        "take_sign_in": "it writes a cookie",
        "sign_out": "it takes a cookie back",
        "retry": "the transaction of cancellations.retry",
        "abort": "the transaction of cancellations.abort",
        "resolve": "the transaction of cancellations.resolve",
        "send_callbacks": "the transaction of callbacks.replay",
        "replay_one": "that of webhook_operations.replay_one",
        "replay_those": "those of webhook_operations.replay_those",
        "ask_insurers": "what doctor.ask does",
        "steer_batch": "the chunks of batches.pause, batches.resume and batches.call_off",
        "bulk_press": "it changes rows in chunks; a repeat finds what is left",
        "pause": "it writes a pause and its audit entry in one transaction; a repeat changes nothing",
        "resume": "the same",
    }.items()
}
WITHOUT_MESSAGE = frozenset({"abort"})
"""What rings nobody has no boundary around the ring."""
BY_ONE_STATEMENT = frozenset({"webhook", "webhook-bare"})
"""What writes by a statement that commits by itself is never between the two."""


def web_boundaries(story: str) -> tuple[WebBoundary, ...]:
    """Return the boundaries that a route has."""
    absent = {WebBoundary.RUNG} if story in WITHOUT_MESSAGE else set()
    absent |= {WebBoundary.COMMITTING} if story in BY_ONE_STATEMENT else set()
    return tuple(boundary for boundary in WebBoundary if boundary not in absent)
