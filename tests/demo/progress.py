"""How far everything is while it is played: bars for a terminal, lines for anything else."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tests.demo.run import Run

STEPS = ("look_up", "cancel", "claim", "await_premium_refund", "preview", "refund", "confirm")


class Progressing(Protocol):
    """Shows how far the runs are."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self) -> None:
        """Show the present state."""


def of(out: Console, runs: Sequence[Run]) -> Progressing:
    """Return bars for a terminal, lines for anything else."""
    return Bars(out, runs) if out.is_terminal else Lines(out, runs)


class Bars:
    """A bar for each step, and one for those that have ended."""

    def __init__(self, out: Console, runs: Sequence[Run]) -> None:
        columns = (TextColumn("{task.description:>20}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
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
