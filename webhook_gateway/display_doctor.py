"""How the command line shows what the doctor found: what is wrong first, what is well in a few lines at the end."""

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from webhook_gateway.plain_text import plain_text

_MARKS = {"wrong": ("✗ ", "bold red"), "warning": ("! ", "yellow"), "ok": ("✓ ", "green")}
_ENDS = {
    "wrong": "Something is wrong.",
    "warning": "Nothing stands still; something is worth a look.",
    "ok": "All is well.",
}


def show(console: Console, shown: dict[str, Any]) -> None:
    """Print an examination."""
    for state in ("wrong", "warning"):
        for finding in shown["findings"]:
            if finding["state"] == state:
                _show_trouble(console, finding)
    for finding in shown["findings"]:
        if finding["state"] == "ok":
            console.print(Text.assemble(_MARKS["ok"], (f"{finding['check']}: ", "dim"), plain_text(finding["said"])))
    console.print(Text(_ENDS.get(shown["state"], ""), _MARKS.get(shown["state"], ("", ""))[1]))


def _show_trouble(console: Console, finding: dict[str, Any]) -> None:
    console.print(
        Text.assemble(_MARKS[finding["state"]], (f"{finding['check']}: ", "bold"), plain_text(finding["said"]))
    )
    for words in (finding["why"], finding["todo"], f"→ {finding['runbook']}"):
        console.print(Padding(Text(plain_text(words)), (0, 0, 0, 2), expand=False))
    console.print()
