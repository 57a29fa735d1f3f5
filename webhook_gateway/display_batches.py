"""How the command line shows batches to people. Knows no HTTP."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook_gateway.display import COLOURS, short_time
from webhook_gateway.display_rows import show_more, show_rows
from webhook_gateway.plain_text import plain, plain_text

_COLOURS = {"open": "cyan", "paused": "yellow", "called_off": "dim"}
_HINTS = {
    "open": "To hold what has not begun: cfar batches pause {id}",
    "paused": "To go on: cfar batches resume {id}",
}


def show_list(console: Console, page: dict[str, Any]) -> None:
    """Print a page of batches."""
    if page["items"]:
        rows = [
            (
                item["id"], _status(item["status"]), short_time(item["created_at"]), _announced(item),
                plain(item["name"]),
            )
            for item in page["items"]
        ]  # fmt: skip
        show_rows(console, ("id", "status", "created (UTC)", "expected", "name"), rows)
    else:
        console.print("Nothing found.")
    show_more(console, page)


def show_one(console: Console, batch: dict[str, Any]) -> None:
    """Print one batch, and how many of its cancellations stand where."""
    title = Text.assemble((f"{plain_text(batch['name'])}  ", "bold"), _status(batch["status"]))
    console.print(title.append(f"  {batch['id']}", "dim"), soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("lines", _lines(batch))
    for status, count in batch["counts"].items():
        if count:
            waiting = f" ({batch['waiting']} not begun)" if status == "in_progress" and batch["waiting"] else ""
            grid.add_row(status, Text(str(count), COLOURS.get(status, "")).append(waiting, "dim"))
    grid.add_row("key", plain(batch["idempotency_key"]))
    grid.add_row("created", f"{short_time(batch['created_at'])} UTC")
    console.print(grid)
    if batch["status"] in _HINTS and batch["waiting"]:
        console.print()
        console.print(Text(_HINTS[batch["status"]].format(id=batch["id"])), soft_wrap=True)


def _lines(batch: dict[str, Any]) -> str:
    return str(batch["lines"]) if batch["expected"] is None else f"{batch['lines']} of {batch['expected']}"


def _announced(item: dict[str, Any]) -> str:
    return "" if item["expected"] is None else str(item["expected"])


def _status(status: str) -> Text:
    return Text(status, _COLOURS.get(status, ""))
