"""`cfar import`: hands the cancellations of a file over as one batch, and goes on where it was cut short."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from webhook_gateway import import_sending
from webhook_gateway.api_client import Api
from webhook_gateway.cli_commands import as_json, print_json, with_api
from webhook_gateway.import_file import FORMAT_OF, KEY, Format, Row, Unusable, rows
from webhook_gateway.import_sending import Sending
from webhook_gateway.plain_text import plain_text

SHOWN = 50
"""Wrong lines that are shown; the rest are counted."""


@dataclass(kw_only=True)
class Survey:
    """What a first look at the whole file has shown."""

    lines: int = 0
    wrong: int = 0
    shown: list[str] = field(default_factory=list)

    def look(self, found: Iterator[Row]) -> None:
        """Count every row, and keep the first wrong ones."""
        for row in found:
            self.lines += 1
            self.wrong += bool(row.wrong)
            if row.wrong and len(self.shown) < SHOWN:
                self.shown.append(f"line {row.line}: {'; '.join(row.wrong)}")


@click.command("import")
@click.argument("file", metavar="FILE|-", type=click.File("rb"))
@click.option(
    "--format",
    "written",
    type=click.Choice([known.value for known in Format]),
    help="Default: as the file's name ends.",
)
@click.option("--name", help="What the batch is called. Default: the file's name.")
@click.option("--key-field", default=KEY, show_default=True, help="Where each line has its own id: a column or field.")
@click.option("--skip-invalid", is_flag=True, help="Send the others when lines are wrong.")
@click.option("--dry-run", is_flag=True, help="Only tell which lines are wrong; nothing is sent.")
@click.option(
    "--report", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE",
    help="Write what became of each line: a CSV file.",
)  # fmt: skip
@as_json
@click.pass_context
def import_file(
    context: click.Context, /, *, file: IO[bytes], written: str | None, name: str | None, as_json: bool, **asked: Any
) -> None:
    """Hand over the cancellations of FILE as one batch.

    Each line has an id of its own, its idempotency key, so the same command may be repeated: it goes on where it was
    cut short, and nothing is cancelled twice.

    CSV columns: booking_id, idempotency_key (or --key-field), journey, quote_id, reason_for_cancellation, refund_mode,
    metadata.<name>. JSON Lines: each line what POST /v1/cancellations takes, with its idempotency_key.

    Exit codes: 0 all is handed over, 1 the service refused lines or is away, 2 lines are wrong and nothing was sent.
    """
    called = Path(getattr(file, "name", "stdin")).name.strip("<>")
    format_ = Format(written) if written else FORMAT_OF.get(Path(called).suffix.lower())
    if format_ is None:
        raise click.UsageError("Say how the file is written: --format csv or --format jsonl.")
    with ExitStack() as stack:
        stream = file if file.seekable() else stack.enter_context(_copied(file))
        read = partial(rows, stream, written=format_, key_field=asked["key_field"])
        survey = _surveyed(read())
        _tell_wrong(survey)
        may_go_on = asked["skip_invalid"] or not survey.wrong
        if not may_go_on or asked["dry_run"]:
            _tell_survey(survey, as_json=as_json)
            context.exit(0 if may_go_on else 2)
        sending = Sending(
            name=name or called, read=read,
            expected=survey.lines - survey.wrong, skip_invalid=asked["skip_invalid"], report=asked["report"],
            content=_digest(stream),
        )  # fmt: skip
        _send(sending=sending, survey=survey, as_json=as_json)


@with_api
def _send(api: Api, *, sending: Sending, survey: Survey, as_json: bool) -> None:
    done = import_sending.send(api, sending)
    for refused in done.shown:
        click.echo(plain_text(refused), err=True)
    if done.refused > len(done.shown):
        click.echo(f"and {done.refused - len(done.shown)} more", err=True)
    figures = {
        "lines": survey.lines, "accepted": done.accepted, "repeated": done.repeated, "refused": done.refused,
        "invalid": survey.wrong,
    }  # fmt: skip
    if as_json:
        print_json({"batch": done.batch, **figures})
    else:
        said = ", ".join(f"{count} {what}" for what, count in figures.items() if what == "accepted" or count)
        click.echo(f"{plain_text(sending.name)}: {said}. Batch {done.batch['id']}")
    if done.refused:
        click.get_current_context().exit(1)


@contextmanager
def _copied(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Keep what can be read once only: it is looked through before anything is sent."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield copy


def _surveyed(found: Iterator[Row]) -> Survey:
    survey = Survey()
    try:
        survey.look(found)
    except Unusable as error:
        raise click.UsageError(str(error)) from error
    return survey


def _tell_wrong(survey: Survey) -> None:
    for said in survey.shown:
        click.echo(plain_text(said), err=True)
    if survey.wrong > len(survey.shown):
        click.echo(f"and {survey.wrong - len(survey.shown)} more wrong lines", err=True)


def _tell_survey(survey: Survey, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"lines": survey.lines, "invalid": survey.wrong, "errors": survey.shown}, indent=2))
    else:
        click.echo(f"Lines: {survey.lines}, wrong: {survey.wrong}. Nothing was sent.")


def _digest(stream: IO[bytes]) -> str:
    stream.seek(0)
    found = hashlib.sha256()
    while part := stream.read(1024 * 1024):
        found.update(part)
    return found.hexdigest()
