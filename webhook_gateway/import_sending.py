"""Sending a file's cancellations in chunks, in order, so that a batch that was cut short holds the file's beginning."""

import csv
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from shared.bulk_intake import MOST_LINES
from webhook_gateway.api_client import Api, Refused, Unreachable
from webhook_gateway.import_file import Row, chunks

PATIENCE = 240.0
"""Seconds that are waited altogether for one answer: a restart of the service or of its database takes less."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
SHOWN = 50
_ROOT = "/v1/batches"
_COME_BACK = {429, 502, 503, 504}

sleep = time.sleep


@dataclass(frozen=True, kw_only=True)
class Sending:
    """What is sent: a file's rows, read anew each time, and the name of their batch."""

    name: str
    read: Callable[[], Iterator[Row]]
    expected: int
    skip_invalid: bool
    report: Path | None
    content: str
    """SHA-256 of the file."""

    def key(self) -> str:
        """Return the batch's key: the same file sent in the same way is the same batch."""
        first = next(chunks(self.read()), [])
        said = [self.name, self.content, self.expected, first[0].key if first else ""]
        return f"import-{hashlib.sha256(json.dumps(said).encode()).hexdigest()}"


@dataclass(kw_only=True)
class Sent:
    """What came of it."""

    batch: dict[str, Any] = field(default_factory=dict)
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    shown: list[str] = field(default_factory=list)
    """The first lines that were refused, and why."""


def send(api: Api, sending: Sending) -> Sent:
    """Hand everything over; raise Unreachable when the service stays away, and Refused when it takes nothing."""
    opening = {"name": sending.name, "expected": sending.expected}
    batch = _patiently(lambda: api.post(_ROOT, opening, key=sending.key()))
    with ExitStack() as stack:
        return _Run(api, sending, batch["id"], stack).run(held=batch["lines"])


class _Run:
    """One run over the file."""

    def __init__(self, api: Api, sending: Sending, batch_id: str, stack: ExitStack) -> None:
        self._api = api
        self._sending = sending
        self._path = f"{_ROOT}/{batch_id}"
        self._sent = Sent()
        self._report = stack.enter_context(sending.report.open("w", newline="")) if sending.report else None
        self._writer = csv.writer(self._report) if self._report else None
        if self._writer:
            self._writer.writerow(["line", "idempotency_key", "id", "problem"])
        self._progress = stack.enter_context(_progress())
        self._shown = self._progress.add_task(sending.name, total=sending.expected)

    def run(self, *, held: int) -> Sent:
        # One chunk of what the batch holds is sent again: if nothing of it is new, neither is what came before it.
        skipped, is_proven = self._send_after(0 if self._writer else held - MOST_LINES)
        self._sent.batch = self._shown_now()
        if skipped and not (is_proven and self._sent.batch["lines"] >= self._sending.expected):
            self._send_first(skipped)
            self._sent.batch = self._shown_now()
        else:
            self._sent.repeated += skipped
        return self._sent

    def _send_after(self, known: int) -> tuple[int, bool]:
        """Send the chunks that do not lie within the first `known` rows; return how many rows were not sent."""
        skipped, first_accepted, end = 0, None, 0
        for chunk in chunks(self._sending.read()):
            end += len(chunk)
            if end <= known:
                skipped = end
                self._progress.advance(self._shown, len(chunk))
                continue
            accepted = self._send(chunk)
            first_accepted = accepted if first_accepted is None else first_accepted
            self._progress.advance(self._shown, len(chunk))
        return skipped, first_accepted == 0

    def _send_first(self, rows: int) -> None:
        end = 0
        for chunk in chunks(self._sending.read()):
            end += len(chunk)
            if end > rows:
                return
            self._send(chunk)

    def _send(self, chunk: Sequence[Row]) -> int:
        body = {"cancellations": [row.body for row in chunk], "skip_invalid": self._sending.skip_invalid}
        try:
            told = _patiently(lambda: self._api.post(f"{self._path}/cancellations", body))
        except Refused as refusal:
            raise _by_line_of_file(refusal, chunk) from refusal
        self._sent.accepted += told["accepted"]
        self._sent.repeated += told["repeated"]
        self._sent.refused += len(told["refused"])
        problems = {refused["line"] - 1: _said(refused["problem"]) for refused in told["refused"]}
        for place, said in problems.items():
            if len(self._sent.shown) < SHOWN:
                self._sent.shown.append(f"line {chunk[place].line}: {said}")
        if self._writer:
            for place, row in enumerate(chunk):
                self._writer.writerow([row.line, row.key, told["ids"][place] or "", problems.get(place, "")])
        return int(told["accepted"])

    def _shown_now(self) -> dict[str, Any]:
        return _patiently(lambda: self._api.get(self._path))


def _patiently(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask until there is an answer, less and less often; asking twice is harmless here."""
    waited, wait = 0.0, FIRST_WAIT
    while True:
        try:
            return ask()
        except (Refused, Unreachable) as error:
            if isinstance(error, Refused) and error.document.get("status") not in _COME_BACK:
                raise
            if waited >= PATIENCE:
                raise Unreachable(f"{error} Given up; the same command goes on from here.") from error
            told = error.retry_after if isinstance(error, Refused) else None
            pause = min(max(wait, told or 0.0), LONGEST_WAIT)
            click.echo(f"{error} Trying again in {pause:.0f} s.", err=True)
            sleep(pause)
            waited, wait = waited + pause, min(wait * 2, LONGEST_WAIT)


def _by_line_of_file(refusal: Refused, chunk: Sequence[Row]) -> Refused:
    """Name the lines as the file has them; the service knows their places in its call."""
    errors = [
        {**error, "field": f"line {chunk[error['line'] - 1].line}: {error.get('field') or 'it'}"}
        if isinstance(error.get("line"), int)
        else error
        for error in refusal.document.get("errors") or []
    ]
    return Refused({**refusal.document, "errors": errors} if errors else refusal.document)


def _said(problem: dict[str, Any]) -> str:
    slug = str(problem.get("type") or "").rpartition("/")[2]
    errors = [f"{error.get('field') or 'the line'}: {error.get('problem')}" for error in problem.get("errors") or []]
    return f"{slug}: {'; '.join(errors) or problem.get('detail') or problem.get('title')}"


def _progress() -> Progress:
    """Return a progress bar, shown where someone may look at it."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
