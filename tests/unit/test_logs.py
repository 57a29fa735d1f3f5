"""Log lines: ours whole, a library's without what it attaches."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import structlog
from celery.worker.consumer import consumer

from shared import logs
from shared.config import Settings

PERSON = "Qqmarkfirst"


@contextmanager
def configured(log_format: Literal["json", "text"] | None = None) -> Iterator[None]:
    """Log as a worker does, and put the tests' own logging back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure(Settings(log_level="INFO", log_format=log_format))
    try:
        yield
    finally:
        root.handlers[:], root.level = before, level


def test_what_a_library_attaches_to_its_line_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    context = {"name": "cancellations.request", "kwargs": repr({"passenger": PERSON})}
    with configured():
        logging.getLogger("celery.app.trace").warning("Task %(name)s rejected", context, extra={"data": context})

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "Task cancellations.request rejected"
    assert PERSON not in line


@pytest.mark.parametrize(
    ("template", "arguments"),
    [
        (consumer.UNKNOWN_FORMAT, 1),
        (consumer.UNKNOWN_TASK_ERROR, 4),
        (consumer.INVALID_TASK_ERROR, 2),
        (consumer.MESSAGE_DECODE_ERROR, 5),
    ],
)
def test_a_message_that_is_no_task_of_ours_is_told_of_without_its_body(
    template: str, arguments: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with configured():
        consumer.logger.error(template, *[PERSON] * arguments, exc_info=KeyError(PERSON))

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"].startswith(("Received", "Can't decode message body"))
    assert PERSON not in line


def test_what_the_consumer_says_of_its_connection_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with configured():
        consumer.logger.error(consumer.CONNECTION_ERROR, "redis://x", "refused", "Trying again")

    assert "Cannot connect to redis://x: refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("log_format", "is_terminal", "is_json"),
    [(None, False, True), (None, True, False), ("json", True, True), ("text", False, False)],
)
def test_people_read_text_and_servers_write_json(
    log_format: Literal["json", "text"] | None,
    is_terminal: bool,
    is_json: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with configured(log_format):
        structlog.get_logger().info("step_done", step="confirm")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("{") is is_json
    assert "step_done" in line
