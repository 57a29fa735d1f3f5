"""What the demo shows: progress while it runs, and how each cancellation ended."""

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.demo.runner import Run

STEPS = ("look_up", "preview", "claim", "refund", "confirm")
PLAIN_WIDTH = 200
"""Columns where there is no terminal that has a width: nothing is cut off in a log."""
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


def ended(runs: Iterable[Run], *, width: int) -> Table:
    """Return the final table; "ours / theirs" compares what we believe with what the insurer did."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("scenario", overflow="fold")
    table.add_column("booking", no_wrap=True)
    if width >= 150:
        table.add_column("journey", no_wrap=True)
    table.add_column("path", overflow="fold")
    table.add_column("went wrong", overflow="fold")
    table.add_column("refund", justify="right", overflow="fold")
    table.add_column("claim, milestones", overflow="fold")
    table.add_column("confirms\nours/theirs", justify="center")
    table.add_column("claims\nours/theirs", justify="center")
    table.add_column("ended", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    for run in runs:
        cells = _cells(run)
        if width < 150:
            del cells[2]
        table.add_row(*cells, style="bold red" if run.differs else None)
    return table


def _cells(run: Run) -> list[str]:
    scenario = run.scenario
    counts = (run.counts.get("confirms", 0), run.counts.get("claims", 0))
    theirs = ("-", "-") if scenario.rival_of else tuple(map(str, counts))
    colour = COLOURS.get(run.status, "red")
    problem = f" {scenario.problem}" if scenario.problem and not run.differs else ""
    return [
        scenario.name,
        run.booking_id,
        scenario.journey,
        " ".join(run.done_steps) or "-",
        scenario.what_goes_wrong or ("sent through Celery" if scenario.door == "celery" else "-"),
        _refund(run),
        _claim(run),
        f"{int('confirm' in run.done_steps)}/{theirs[0]}",
        f"{int(_has_claim(run))}/{theirs[1]}",
        f"[{colour}]{run.status}[/]{problem}",
        "-" if run.seconds is None else f"{run.seconds:.1f}",
    ]


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
    reached = ", ".join(sorted(run.milestones))
    return f"{run.resource['claim']['status'] or 'pending'}{f': {reached}' if reached else ''}"
