"""Runs one release's own code in a process of its own, and does what it is told: one JSON line in, one out.

Only what every release has is used here: the doors' HTTP interface, the tasks by their names, and how a process is
put together. It imports nothing of the tests, which belong to another release than the code around it may.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import httpx
from alembic import command
from alembic.config import Config
from celery import signals
from celery.worker import WorkController, state

import shared
from shared import broker, clock
from shared.config import WebSettings, WorkerSettings, load
from shared.db import Database
from webhook_gateway.app import create_app
from workers import runtime
from workers.app import app

READY_WAIT = 30.0


class Killed(BaseException):
    """A worker's death: nothing in the service catches it, so what was begun stays as it is."""


class Inside:
    """The doors and the hands of one release. Each public method is a command."""

    def __init__(self) -> None:
        self._time = ExitStack()
        self._messages: list[list[str]] = []
        self._database: Database | None = None
        self._is_on_redis = False
        self._ran: list[str] = []
        self._dies: tuple[str, re.Pattern[str]] | None = None
        app.loader.import_default_modules()

    def hello(self) -> dict[str, Any]:
        """Tell whose code this is."""
        return {"code": [str(Path(module.__file__ or "").parent.parent) for module in (shared, runtime, broker)]}

    def migrate(self, url: str) -> None:
        """Bring a database to this release's schema, by this release's migrations."""
        config = Config(toml_file=Path(shared.__file__ or "").parent.parent / "pyproject.toml")
        config.attributes["url"] = url
        command.upgrade(config, "head")

    def open(self, url: str) -> None:
        """Serve and work on this database from now on."""
        self.close()
        self._database = database = Database(url, publish=self._publish)
        settings = load(WorkerSettings)
        # The insurer checks signatures against true time, which our moved clock is not.
        self._connected = runtime.connect(settings, database, clock=lambda: datetime.now(UTC))
        # The release before this one has its only partner's connections at hand.
        held_by: Any = (
            self._connected
            if hasattr(self._connected, "limit")
            else self._connected.partner(settings.xcover_partner_code)
        )
        held_by.limit.pause = lambda _seconds: None  # each situation has the insurer to itself: a 429 stops no other
        runtime.configure(lambda: self._connected)
        self._door = create_app(load(WebSettings), database=database).test_client()

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()

    def request(self, method: str, path: str, headers: dict[str, str], body: str | None) -> dict[str, Any]:
        """Send a request to the door."""
        answer = self._door.open(path, method=method, headers=headers, data=body)
        return {"status": answer.status_code, "body": answer.get_json(silent=True)}

    def run(self, task: str, row_id: str, dies: list[str] | None) -> str:
        """Run a task as a worker would; `dies` names a moment and a request at which the worker's life ends."""
        self._dies = (dies[0], re.compile(dies[1])) if dies else None
        try:
            app.tasks[task](row_id)
        except Killed:
            return "died"
        except Exception as error:  # the edge of the process: the test is told
            return f"failed: {type(error).__name__}: {error}"
        finally:
            self._dies = None
        return "ended"

    def sweep(self) -> None:
        """Let the sweeper look once."""
        app.tasks["sweep.ring"]()

    def travel(self, seconds: float) -> None:
        """Move this process's clocks forward for good."""
        self._time.enter_context(clock.travel(timedelta(seconds=seconds)))

    def work(self) -> None:
        """Take messages from Redis by itself from now on, and send there what is published; ready on return."""
        self._is_on_redis, is_ready, state.should_stop = True, Event(), None
        signals.task_postrun.connect(self._note, weak=False, dispatch_uid="inside.ran")
        worker = WorkController(
            app=app, pool="solo", without_gossip=True, without_mingle=True, ready_callback=lambda _: is_ready.set()
        )
        runtime.configure(lambda: self._connected)  # the worker has just said what it would connect to by itself
        self._worker = Thread(target=worker.start, name="worker", daemon=True)
        self._worker.start()
        if not is_ready.wait(READY_WAIT):
            raise TimeoutError("the worker does not consume")

    def rest(self) -> list[str]:
        """Take no more messages from Redis; tell which tasks were run."""
        state.should_stop = 0
        self._worker.join(READY_WAIT)
        self._is_on_redis, ran = False, self._ran
        self._ran = []
        return ran

    def published(self) -> list[list[str]]:
        """Give what was published since the last answer."""
        given, self._messages = self._messages, []
        return given

    def _publish(self, messages: Sequence[tuple[Any, UUID]]) -> None:
        if self._is_on_redis:
            broker.publish(app, messages)
        else:
            self._messages += [[task.value, str(row_id)] for task, row_id in messages]

    def _note(self, task: Any = None, **_signal: Any) -> None:
        self._ran.append(task.name)

    def mind_requests(self) -> None:
        """Look at every request before it leaves, and after its answer came."""
        really_send = httpx.Client.send

        def send(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
            moment, wanted = self._dies or ("", re.compile("$^"))
            is_it = wanted.search(f"{request.method} {request.url.path}") is not None
            if is_it and moment == "before":
                raise Killed
            answer = really_send(client, request, **more)
            if is_it and moment == "after":
                answer.close()
                raise Killed
            return answer

        httpx.Client.send = send  # type: ignore[method-assign, assignment]


def main() -> None:
    """Answer until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the service logs must not pass for an answer
    inside = Inside()
    inside.mind_requests()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told: dict[str, Any] = {
                "answer": getattr(inside, asked.pop("what"))(**asked),
                "published": inside.published(),
            }
        except Exception as error:  # the edge of the process: the test is told
            told = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(f"{json.dumps(told)}\n")
        answers.flush()
    os._exit(0)  # nothing is left to be told, and tidying up takes an interpreter longer than the whole of a step


if __name__ == "__main__":
    main()
