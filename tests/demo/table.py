"""What the demo shows: progress while it runs, and how each cancellation ended."""

import sys
import textwrap
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tests.demo.runner import Run

STEPS = ("look_up", "preview", "claim", "refund", "confirm")
PLAIN_WIDTH = 200
"""Columns where there is no terminal that has a width: nothing is cut off in a log."""
WIDE = 190
"""Columns from which each fact has a column of its own."""
LEGEND = (
    "1/1: made here / in the insurer's ledger (-: booking of another scenario). "
    "A claim that fails in processing counts in both."
)
ENOUGH = 44
"""Letters of a line that may be folded: more would take the room of other columns."""
NAME_LETTERS = 29
"""Of a scenario's name, so that the bookings beside them stand in line."""
COLOURS = {
    "completed": "green",
    "rejected": "yellow",
    "aborted": "yellow",
    "needs_review": "magenta",
}


def console() -> Console:
    """Return where to write: as wide as the terminal, or wide enough for a log."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH, no_color=True)


class Progressing(Protocol):
    """Shows how far the runs are."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self) -> None:
        """Show the present state."""


def progress(out: Console, runs: Sequence[Run]) -> Progressing:
    """Return bars for a terminal, lines for anything else."""
    return Bars(out, runs) if out.is_terminal else Lines(out, runs)


class Bars:
    """A bar for each step, and one for those that have ended."""

    def __init__(self, out: Console, runs: Sequence[Run]) -> None:
        columns = (TextColumn("{task.description:>10}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=out)
        self._runs = runs
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        for step in STEPS:
            expected = sum(step in run.scenario.steps for run in self._runs)
            self._bars[step] = self._progress.add_task(step, total=expected)
        self._bars["ended"] = self._progress.add_task("ended", total=len(self._runs))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self) -> None:
        for step in STEPS:
            done = sum(step in run.done_steps for run in self._runs if step in run.scenario.steps)
            self._progress.update(self._bars[step], completed=done)
        self._progress.update(self._bars["ended"], completed=sum(run.is_over for run in self._runs))


class Lines:
    """A line for each cancellation as it ends."""

    def __init__(self, out: Console, runs: Sequence[Run]) -> None:
        self._out = out
        self._runs = runs
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update()

    def update(self) -> None:
        for run in self._runs:
            if run.is_over and run.key not in self._told:
                self._told.add(run.key)
                seconds = f"{run.seconds:5.1f} s" if run.seconds is not None else "      -"
                count = f"{len(self._told):2}/{len(self._runs)}"
                self._out.print(f"{count} {seconds}  {run.status:<13} {run.scenario.name}", highlight=False)


def ended(runs: Sequence[Run], *, width: int) -> Table:
    """Return the final table: words are folded at spaces and hyphens only, and a path keeps its one line."""
    columns = _COLUMNS if width >= WIDE else _NARROW_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    rows = [[cell(run) for _, cell in columns] for run in runs]
    texts = [[header, *column] for (header, _), column in zip(columns, zip(*rows, strict=True), strict=True)]
    widths = _widths(texts, [cell in _ONE_LINE for _, cell in columns], width - 2 * len(columns))
    for (header, _), letters in zip(columns, widths, strict=True):
        table.add_column(header, overflow="fold", width=letters)
    for run, row in zip(runs, rows, strict=True):
        folded = [Text(_fold(text, letters)) for text, letters in zip(row, widths, strict=True)]
        folded[-2 if columns is _COLUMNS else -1].highlight_words([run.status], COLOURS.get(run.status, "red"))
        table.add_row(*folded, style="bold red" if run.differs else None)
    return table


def _widths(columns: Sequence[Sequence[str]], has_one_line: Sequence[bool], available: int) -> list[int]:
    """Give each column its longest word, or its longest line; what is left goes where lines are longest."""
    lines = [max(len(line) for text in texts for line in text.splitlines()) for texts in columns]
    longest = [line if is_whole else min(line, ENOUGH) for line, is_whole in zip(lines, has_one_line, strict=True)]
    least = [
        line if is_whole else max(len(word) for text in texts for word in _words(text))
        for texts, line, is_whole in zip(columns, longest, has_one_line, strict=True)
    ]
    widths = list(least)
    for _ in range(available - sum(least)):
        position = max(range(len(widths)), key=lambda at: longest[at] / widths[at])
        if widths[position] >= longest[position]:
            break
        widths[position] += 1
    return widths


def _words(text: str) -> list[str]:
    return [word for word in _fold(text, 1).splitlines() if word] or [""]


def _fold(text: str, letters: int) -> str:
    return "\n".join("\n".join(textwrap.wrap(line, letters, break_long_words=False)) for line in text.splitlines())


def ledger(runs: Sequence[Run]) -> str:
    """Return what the insurer did, all bookings together."""
    confirms, claims, cancels = (
        sum(run.counts.get(kind, 0) for run in runs) for kind in ("confirms", "claims", "cancels")
    )
    ours = sum("confirm" in run.done_steps for run in runs)
    return (
        f"The insurer's ledger: {confirms} confirms for {ours} confirmed here, "
        f"{claims} claims for {sum(map(_has_claim, runs))} here, {cancels} cancelled without a preview."
    )


def _name(run: Run) -> str:
    return run.scenario.name


def _name_and_path(run: Run) -> str:
    return f"{run.scenario.name:<{NAME_LETTERS}} {run.booking_id}\n{_path(run)}"


def _booking(run: Run) -> str:
    return run.booking_id


def _path(run: Run) -> str:
    return " → ".join(run.done_steps) or "-"


def _went_wrong(run: Run) -> str:
    return run.scenario.what_goes_wrong or ("through Celery" if run.scenario.door == "celery" else "-")


def _confirms(run: Run) -> str:
    theirs = "-" if run.scenario.rival_of else run.counts.get("confirms", 0)
    return f"{int('confirm' in run.done_steps)}/{theirs}"


def _claims(run: Run) -> str:
    theirs = "-" if run.scenario.rival_of else run.counts.get("claims", 0)
    return f"{int(_has_claim(run))}/{theirs}"


def _end(run: Run) -> str:
    problem = f"\n{run.scenario.problem}" if run.scenario.problem and not run.differs else ""
    return f"{run.status}{problem}"


def _seconds(run: Run) -> str:
    return "-" if run.seconds is None else f"{run.seconds:.1f}"


def _refund(run: Run) -> str:
    preview = run.resource["preview"] if run.resource else None
    if not preview:
        return "-"
    reported = " reported" if run.resource and run.resource["refund"]["reported_at"] else ""
    return f"{preview['total_refund']} {preview['currency']}{reported}"


def _has_claim(run: Run) -> bool:
    claim = run.resource["claim"] if run.resource else None
    return bool(claim and (claim["id"] or claim["reference"]))


def _claim(run: Run) -> str:
    if not run.resource or not _has_claim(run):
        return "-"
    reached = " ".join(sorted(run.milestones))
    return f"{run.resource['claim']['status'] or 'pending'}{f': {reached}' if reached else ''}"


_COLUMNS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("scenario", _name),
    ("booking", _booking),
    ("path taken", _path),
    ("went wrong", _went_wrong),
    ("refund", _refund),
    ("claim: milestones", _claim),
    ("confirms", _confirms),
    ("claims", _claims),
    ("ended", _end),
    ("s", _seconds),
)
_NARROW_COLUMNS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("scenario, booking\npath taken", _name_and_path),
    ("went wrong", _went_wrong),
    ("refund\nclaim: milestones", lambda run: f"{_refund(run)}\n{_claim(run)}"),
    ("confirms\nclaims", lambda run: f"{_confirms(run)}\n{_claims(run)}"),
    ("ended", lambda run: f"{_end(run)}\n{_seconds(run)} s"),
)
_ONE_LINE = frozenset({_name, _name_and_path, _booking, _path, _refund})
"""Cells whose lines are not folded."""
