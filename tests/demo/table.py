"""What the demo shows at the end: how each cancellation ended, and what the ledgers say."""

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.demo.run import Run

PLAIN_WIDTH = 200
"""Columns where there is no terminal that has a width: nothing is cut off in a log."""
WIDE = 190
"""Columns from which each fact has a column of its own."""
LEGEND = (
    "1/1: made here / in the ledger of the insurer, or of the partner's refund endpoint. "
    "A claim that fails in processing counts in both."
)
MADE = ("confirm", "cancel", "claim", "refund")
ENOUGH = 44
"""Letters of a line that may be folded: more would take the room of other columns."""
UNFOLDED = "\N{NO-BREAK SPACE}"
"""A space at which nothing is folded."""
PATH_LETTERS = 44
"""Of a path's line: the longest journey takes two."""
NAME_LETTERS = 28
"""Of a scenario's name, so that the bookings beside them stand in line."""
COLOURS = {
    "completed": "green",
    "rejected": "yellow",
    "aborted": "yellow",
    "closed": "yellow",
    "needs_review": "magenta",
}


def console() -> Console:
    """Return where to write: as wide as the terminal, or wide enough for a log."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH, no_color=True)


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
    folded = ("\n".join(textwrap.wrap(line, letters, break_long_words=False)) for line in text.splitlines())
    return "\n".join(folded).replace(UNFOLDED, " ")


def ledger(runs: Sequence[Run]) -> str:
    """Return what the insurer and the partner's endpoint did, all bookings together, beside what we know of."""
    theirs = {name: sum(run.counts.get(name, 0) for run in runs) for name in runs[0].scenario.ledger}
    ours = {name: sum(_made(run)[name] for run in runs) for name in MADE}
    asked = theirs["refunds"] + theirs["promises"]
    return (
        f"The insurer's ledger: {theirs['confirms']} confirms for {ours['confirm']} here, "
        f"{theirs['claims']} claims for {ours['claim']} here, "
        f"{theirs['cancels']} immediate cancels for {ours['cancel']} here. "
        f"The partner's: {asked} refunds for {ours['refund']} asked for here "
        f"({theirs['refunds']} paid at once, {theirs['promises']} promised and reported later)."
    )


def seen(journeys: Mapping[str, int], statuses: Mapping[str, int]) -> str:
    """Return which journeys and statuses of the contract were seen, and how often."""
    shown = [", ".join(f"{name} {count}" for name, count in counted.items()) for counted in (journeys, statuses)]
    return f"Every journey was seen to its end: {shown[0]}.\nEvery status was seen: {shown[1]}."


def _name(run: Run) -> str:
    return run.scenario.name


def _name_and_path(run: Run) -> str:
    return f"{run.scenario.name:<{NAME_LETTERS}} {run.booking_id}\n{_path(run)}"


def _booking(run: Run) -> str:
    return run.booking_id


def _path(run: Run) -> str:
    return "\n".join(textwrap.wrap(" → ".join(run.done_steps), PATH_LETTERS)) or "-"


def _went_wrong(run: Run) -> str:
    scenario = run.scenario
    parts = (scenario.what_goes_wrong, scenario.what_is_done_about_it, "through Celery" * (scenario.door == "celery"))
    return "\n".join(part for part in parts if part) or "-"


def _made(run: Run) -> dict[str, int]:
    """Return what was made, as far as we know."""
    done = {step: int(step in run.done_steps) for step in ("confirm", "cancel")}
    return {**done, "claim": int(run.has_claim), "refund": len(run.refund_calls)}


def _made_both(run: Run) -> str:
    """Return what was made, with what the others' ledgers say of it."""
    counts, is_rival = run.counts, run.scenario.rival_of is not None
    theirs = {
        "confirm": counts.get("confirms", 0),
        "cancel": counts.get("cancels", 0),
        "claim": counts.get("claims", 0),
        "refund": counts.get("refunds", 0) + counts.get("promises", 0),
    }
    made = {name: (ours, "-" if is_rival else theirs[name]) for name, ours in _made(run).items()}
    return "\n".join(f"{name} {a}/{b}" for name, (a, b) in made.items() if a or b not in {0, "-"}) or "-"


def _end(run: Run) -> str:
    problem = f"\n{run.scenario.problem}" if run.scenario.problem and not run.differs else ""
    return f"{run.status}{problem}"


def _seconds(run: Run) -> str:
    return "-" if run.seconds is None else f"{run.seconds:.1f}"


def _refund(run: Run) -> str:
    preview = run.resource["preview"] if run.resource else None
    if not preview:
        return "-"
    paid = ["paid"] if run.resource and run.resource["refund"]["reported_at"] else []
    return UNFOLDED.join([preview["total_refund"], preview["currency"], *paid])


def _milestones(run: Run) -> str:
    return ", ".join(sorted(run.milestones)).replace("_", " ")


def _claim(run: Run) -> str:
    if not run.resource or not run.has_claim:
        return "-"
    return ": ".join(part for part in (run.resource["claim"]["status"] or "pending", _milestones(run)) if part)


def _claim_briefly(run: Run) -> str:
    return _milestones(run) or _claim(run)


_COLUMNS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("scenario", _name),
    ("booking", _booking),
    ("path taken", _path),
    ("went wrong, operator", _went_wrong),
    ("refund", _refund),
    ("claim: milestones", _claim),
    ("made", _made_both),
    ("ended", _end),
    ("s", _seconds),
)
_NARROW_COLUMNS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("scenario, booking\npath taken", _name_and_path),
    ("went wrong, operator", _went_wrong),
    ("refund\nclaim", lambda run: f"{_refund(run)}\n{_claim_briefly(run)}"),
    ("made", _made_both),
    ("ended", lambda run: f"{_end(run)}\n{_seconds(run)} s"),
)
_ONE_LINE = frozenset({_name, _name_and_path, _booking, _path, _made_both})
"""Cells whose lines are not folded."""
