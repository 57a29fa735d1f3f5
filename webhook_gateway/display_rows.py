"""Lists for people: a table where the screen has room for it, else a few lines for each row."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2


def show_rows(console: Console, headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print rows in columns; on a screen too narrow, the first columns that fit and the others beneath, by name."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max([len(heading), *(row[place].cell_len for row in cells)]) for place, heading in enumerate(headings)]
    needed = sum(widths) + GAP * (len(widths) - 1)
    if not console.is_terminal:  # a file or a pipe has room
        console.width = max(console.width, needed)
    if needed <= console.width:
        _show_table(console, headings, cells)
        return
    first = max(
        [1, *(many for many in range(1, len(widths)) if sum(widths[:many]) + GAP * (many - 1) <= console.width)]
    )
    for row in cells:
        console.print(_joined(row[:first], widths), soft_wrap=True)
        rest = [(heading, cell) for heading, cell in zip(headings[first:], row[first:], strict=True) if cell.plain]
        for line in _packed(rest, console.width):
            console.print(line, soft_wrap=True)


def show_more(console: Console, page: dict[str, Any]) -> None:
    """Print how to get the next page, in one line that can be copied."""
    if page["next_cursor"]:
        console.print(Text(f"more: --cursor {page['next_cursor']}", "dim"), soft_wrap=True)


def _show_table(console: Console, headings: Sequence[str], cells: Sequence[Sequence[Text]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in cells:
        table.add_row(*row)
    console.print(table)


def _joined(row: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(row, widths, strict=False):
        line.append_text(cell).append(" " * (width - cell.cell_len + GAP))
    line.rstrip()
    return line


def _packed(rest: Sequence[tuple[str, Text]], width: int) -> Iterable[Text]:
    """Yield lines of `name value` pairs, none wider than the screen unless one pair alone is."""
    line = Text(" " * GAP)
    for heading, cell in rest:
        pair = Text.assemble((f"  {heading} ", "dim"), cell)
        if line.cell_len > GAP and line.cell_len + pair.cell_len > width:
            yield line
            line = Text(" " * GAP)
        line.append_text(pair)
    if line.cell_len > GAP:
        yield line
