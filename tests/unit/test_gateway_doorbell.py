"""The doorbell: nobody waits for it, and what it cannot carry is dropped and said."""

import os
import threading
from collections.abc import Sequence
from uuid import uuid4

import structlog.testing

from shared.db import Message
from shared.lifecycle import TaskName
from webhook_gateway.doorbell import BATCH, Doorbell

LONG = 60.0


def messages(count: int) -> list[Message]:
    return [(TaskName.LOOK_UP, uuid4()) for _ in range(count)]


class Receiver:
    """Takes batches once it is let."""

    def __init__(self, *, is_open: bool) -> None:
        self.got: list[Message] = []
        self.is_busy = threading.Event()
        self.may_go_on = threading.Event()
        if is_open:
            self.may_go_on.set()

    def __call__(self, batch: Sequence[Message]) -> None:
        self.is_busy.set()
        self.may_go_on.wait(LONG)
        self.got.extend(batch)


def test_messages_arrive_in_order() -> None:
    receiver, rung = Receiver(is_open=True), messages(BATCH * 2 + 1)
    doorbell = Doorbell(receiver)

    for start in range(0, len(rung), 7):
        doorbell.ring(rung[start : start + 7])

    assert doorbell.flush(seconds=LONG)
    assert receiver.got == rung


def test_ringing_returns_while_the_receiver_hangs() -> None:
    receiver, rung = Receiver(is_open=False), messages(2)
    doorbell = Doorbell(receiver)

    doorbell.ring(rung[:1])
    assert receiver.is_busy.wait(LONG)
    doorbell.ring(rung[1:])

    assert receiver.got == []
    assert not doorbell.flush(seconds=0.01)
    receiver.may_go_on.set()
    assert doorbell.flush(seconds=LONG)
    assert receiver.got == rung


def test_what_does_not_fit_is_dropped_and_counted_in_the_log() -> None:
    receiver, rung = Receiver(is_open=False), messages(6)
    doorbell = Doorbell(receiver, capacity=2)
    doorbell.ring(rung[:1])
    assert receiver.is_busy.wait(LONG)

    with structlog.testing.capture_logs() as logs:
        doorbell.ring(rung[1:5])
        doorbell.ring(rung[5:])
        receiver.may_go_on.set()
        assert doorbell.flush(seconds=LONG)

    assert receiver.got == rung[:3]
    assert [(line["event"], line.get("messages")) for line in logs] == [
        ("doorbell_full", None),
        ("doorbell_dropped", 3),
    ]


def test_a_failing_receiver_does_not_end_the_thread() -> None:
    got: list[Message] = []

    def fails_once(batch: Sequence[Message]) -> None:
        if not got:
            got.append((TaskName.SWEEP, uuid4()))
            raise RuntimeError("no")
        got.extend(batch)

    doorbell, rung = Doorbell(fails_once), messages(2)
    doorbell.ring(rung[:1])
    assert doorbell.flush(seconds=LONG)
    doorbell.ring(rung[1:])
    assert doorbell.flush(seconds=LONG)

    assert got[1:] == rung[1:]


def test_a_forked_process_rings_with_a_thread_of_its_own() -> None:
    receiver = Receiver(is_open=True)
    doorbell = Doorbell(receiver)
    doorbell.flush(seconds=LONG)
    read_end, write_end = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            doorbell.ring(messages(3))
            is_done = doorbell.flush(seconds=LONG) and len(receiver.got) == 3
            os.write(write_end, b"1" if is_done else b"0")
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read_end, 1) == b"1"
    assert receiver.got == []
    os.close(read_end)
    os.close(write_end)
