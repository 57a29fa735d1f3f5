"""How the command line shows bulk actions, pauses and the audit log to people. Knows no HTTP."""

from typing import Any

from rich.console import Console

from webhook_gateway.display import short_time
from webhook_gateway.display_rows import show_more, show_rows
from webhook_gateway.plain_text import plain, plain_text

_VERBS = {"retry": "taken up again", "skip_wait": "tried now", "abort": "aborted"}


def show_bulk(console: Console, shown: dict[str, Any]) -> None:
    """Print what a press would do, or did."""
    verb = _VERBS[shown["action"]]
    if shown["dry_run"]:
        more = " There are more: press again for them." if shown["is_capped"] else ""
        console.print(f"Would be {verb}: {shown['touched']}.{more}")
        for name in ("status", "step", "problem"):
            counted = ", ".join(f"{plain_text(what)} {count}" for what, count in shown[f"by_{name}"].items())
            if counted:
                console.print(plain(f"  by {name}: {counted}"), soft_wrap=True)
    else:
        left = f" Left: {shown['left']}, somebody works on them: press again." if shown["left"] else ""
        console.print(f"{verb.capitalize()}: {shown['done']}.{left}")
    for refused in shown["refused"]:
        console.print(plain(f"Left alone: {refused['count']}. {refused['reason']}"), soft_wrap=True)
    if shown["dry_run"] and shown["first_ids"]:
        console.print(f"The first: {', '.join(shown['first_ids'][:3])}", soft_wrap=True)


def show_pauses(console: Console, found: dict[str, Any]) -> None:
    """Print what is paused."""
    if not found["items"]:
        console.print("Nothing is paused.")
        return
    rows = [
        (
            plain(item["partner"] or "all"), item["step"] or "all", short_time(item["paused_at"]),
            plain(item["paused_by"]), plain(item["note"] or ""),
        )
        for item in found["items"]
    ]  # fmt: skip
    show_rows(console, ("partner", "step", "since (UTC)", "by", "note"), rows)


def show_audit(console: Console, page: dict[str, Any]) -> None:
    """Print a page of the audit log."""
    rows = [
        (
            short_time(item["at"]), plain(item["actor"]), item["action"], item["cancellation_id"] or "",
            plain(item["note"] or ""), plain(_details(item["details"])),
        )
        for item in page["items"]
    ]  # fmt: skip
    if rows:
        show_rows(console, ("at (UTC)", "who", "action", "cancellation", "note", "details"), rows)
    else:
        console.print("Nothing found.")
    show_more(console, page)


def _details(details: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in details.items() if value not in ("", None))
