"""How the command line shows callbacks to people. Knows no HTTP."""

from typing import Any

from rich.console import Console
from rich.text import Text

from webhook_gateway.display import short_time
from webhook_gateway.display_rows import show_rows
from webhook_gateway.plain_text import plain

_COLOURS = {"delivered": "green", "due": "cyan", "waiting": "dim", "given_up": "bold red"}


def show_list(console: Console, found: dict[str, Any]) -> None:
    """Print a cancellation's callbacks, and how their endpoint fares."""
    _show_endpoint(console, found)
    if not found["items"]:
        console.print("Nothing was told yet.")
        return
    rows = [
        (
            str(item["sequence"]), item["id"], plain(item["type"]), _status(item["status"]),
            short_time(item["delivered_at"] or item["given_up_at"] or item["next_attempt_at"]), str(item["tries"]),
            _answer(item),
        )
        for item in found["items"]
    ]  # fmt: skip
    show_rows(console, ("no", "id", "type", "status", "when (UTC)", "tries", "last answer"), rows)


def show_replay(console: Console, done: dict[str, Any]) -> None:
    """Print what is sent again."""
    console.print(f"Sent again from now on: {done['replayed']}.")
    show_list(console, done)


def _show_endpoint(console: Console, found: dict[str, Any]) -> None:
    if found["url"] is None:
        console.print("Nobody is told: the cancellation names no callback_url, and its caller has none.")
        return
    console.print(plain(f"to {found['url']}"), soft_wrap=True)
    if found["disabled_at"]:
        console.print(f"Disabled since {short_time(found['disabled_at'])} UTC: nothing is sent. A replay enables it.")
    elif found["failing_since"]:
        console.print(f"Has taken nothing since {short_time(found['failing_since'])} UTC.")


def _status(status: str) -> Text:
    return Text(status, _COLOURS.get(status, ""))


def _answer(item: dict[str, Any]) -> Text:
    return plain(" ".join(str(part) for part in (item["last_status"], item["last_error"]) if part))
