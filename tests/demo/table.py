"""What the demo shows: progress while it runs, and how each cancellation ended."""

import sys
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
NARROW_WORD = 14
"""Letters of a word that are kept together in a narrow terminal."""
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
    """Return the final table; "ours/theirs" compares what we believe with what the insurer did."""
    is_wide = width >= WIDE
    columns = _COLUMNS if is_wide else _NARROW_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), expand=True)
    rows = [[cell(run) for _, cell in columns] for run in runs]
    for position, (header, cell) in enumerate(columns):
        if cell in _FLEXIBLE:
            table.add_column(header, overflow="fold", ratio=1)
            continue
        texts = [header, *(row[position] for row in rows)]
        letters = max(len(text) if is_wide and cell is _path else _longest_word(text) for text in texts)
        table.add_column(header, overflow="fold", width=letters if is_wide else min(letters, NARROW_WORD))
    for run, row in zip(runs, rows, strict=True):
        table.add_row(*row, style="bold red" if run.differs else None)
    return table


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


def _longest_word(text: str) -> int:
    return max((len(word) for word in Text.from_markup(text).plain.split()), default=1)


def _name(run: Run) -> str:
    return run.scenario.name


def _name_and_booking(run: Run) -> str:
    return f"{run.scenario.name}\n{run.booking_id}"


def _booking(run: Run) -> str:
    return run.booking_id


def _journey(run: Run) -> str:
    return run.scenario.journey


def _path(run: Run) -> str:
    return " ".join(run.done_steps) or "-"


def _went_wrong(run: Run) -> str:
    return run.scenario.what_goes_wrong or ("through Celery" if run.scenario.door == "celery" else "-")


def _confirms(run: Run) -> str:
    theirs = "-" if run.scenario.rival_of else run.counts.get("confirms", 0)
    return f"{int('confirm' in run.done_steps)}/{theirs}"


def _claims(run: Run) -> str:
    theirs = "-" if run.scenario.rival_of else run.counts.get("claims", 0)
    return f"{int(_has_claim(run))}/{theirs}"


def _end(run: Run) -> str:
    problem = f" {run.scenario.problem}" if run.scenario.problem and not run.differs else ""
    return f"[{COLOURS.get(run.status, 'red')}]{run.status}[/]{problem}"


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
    ("journey", _journey),
    ("path taken", _path),
    ("went wrong", _went_wrong),
    ("refund", _refund),
    ("claim: milestones", _claim),
    ("confirms\nours/theirs", _confirms),
    ("claims\nours/theirs", _claims),
    ("ended", _end),
    ("s", _seconds),
)
_NARROW_COLUMNS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("scenario\nbooking", _name_and_booking),
    ("path", _path),
    ("went\nwrong", _went_wrong),
    ("refund\nclaim: milestones", lambda run: f"{_refund(run)}\n{_claim(run)}"),
    ("ours/\ntheirs\nconfirms\nclaims", lambda run: f"{_confirms(run)}\n{_claims(run)}"),
    ("ended", lambda run: f"{_end(run)}\n{_seconds(run)} s"),
)
_FLEXIBLE = frozenset({_name, _name_and_booking, _went_wrong})
"""Cells that get what width the others leave."""
