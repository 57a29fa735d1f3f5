"""SQLite has one writer at a time; each gets its turn, and one that dies or hangs does not keep the others out."""

import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text

from shared import sqlite_turns
from shared.db import AWAY, Database

WRITERS = 8
WRITES = 400


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path / 'turns.db'}"
    database = opened(found)
    with database.transaction() as tx:
        tx.session.execute(text("CREATE TABLE counts (number INTEGER)"))
        tx.session.execute(text("INSERT INTO counts VALUES (0)"))
    database.close()
    return found


def opened(url: str) -> Database:
    return Database(url, publish=lambda _messages: None)


def test_every_writer_gets_its_share_however_eager_the_others_are(url: str) -> None:
    wrote: Counter[int] = Counter()
    enough = Event()

    def write(number: int) -> None:
        database = opened(url)
        while not enough.is_set():
            with database.transaction() as tx:
                tx.session.execute(text("UPDATE counts SET number = number + 1"))
                enough.wait(0.003)
            wrote[number] += 1
            if wrote.total() >= WRITES:
                enough.set()
        database.close()

    writers = [Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert min(wrote[number] for number in range(WRITERS)) >= WRITES / WRITERS / 4, wrote


def test_a_writer_that_was_killed_in_its_turn_leaves_it_to_the_next(url: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=_hold, args=(str(tmp_path / "turns.db"), started := context.Event()))
    holder.start()
    started.wait()
    with pytest.raises(AWAY), sqlite_turns.turn(str(tmp_path / "turns.db"), patience=0.01):
        pass

    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()

    database = opened(url)
    with database.transaction() as tx:
        tx.session.execute(text("UPDATE counts SET number = number + 1"))
    database.close()


def test_reading_waits_for_no_turn(url: str, tmp_path: Path) -> None:
    database = opened(url)
    with sqlite_turns.turn(str(tmp_path / "turns.db"), patience=1), database.reading() as session:
        assert session.scalar(text("SELECT number FROM counts")) == 0
    database.close()


def _hold(path: str, started: Event) -> None:
    with sqlite_turns.turn(path, patience=1):
        started.set()
        signal.pause()
