"""How the command line shows cancellations to people. Knows no HTTP."""

from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from webhook_gateway.display_hints import hints
from webhook_gateway.display_rows import show_more, show_rows
from webhook_gateway.display_timeline import show_events
from webhook_gateway.plain_text import plain, plain_text

__all__ = ["short_time", "show_events", "show_list", "show_one", "show_problem", "terminal"]

COLOURS = {
    "completed": "green", "in_progress": "cyan", "awaiting_refund": "yellow", "awaiting_premium_refund": "yellow",
    "needs_review": "bold red", "rejected": "red", "aborted": "dim", "closed": "dim",
}  # fmt: skip
NARROWEST = 120
"""Columns of what is no terminal."""
MOST_ERRORS = 5
_MODES = {"wait": "the caller reports it", "call": "the caller's endpoint is asked to pay", "skip": "nobody is asked"}


def terminal() -> Console:
    """Return the terminal; what is written to a file or a pipe gets room."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    return console


def show_list(console: Console, page: dict[str, Any]) -> None:
    """Print a page of cancellations."""
    headings = ("id", "booking", "status", "next", "refund", "created (UTC)", "problem")
    rows = [
        (
            item["id"], plain(item["booking_id"]), _status(item), item["next_step"] or "", _total(item),
            short_time(item["created_at"]), plain(_slug(item["problem"])),
        )
        for item in page["items"]
    ]  # fmt: skip
    if rows:
        show_rows(console, headings, rows)
    else:
        console.print("Nothing found here." if page["next_cursor"] else "Nothing found.")
    show_more(console, page)


def show_one(
    console: Console, item: dict[str, Any], events: list[dict[str, Any]] | None = None, *, why: str | None = None
) -> None:
    """Print one cancellation's story."""
    title = Text.assemble((f"{plain_text(item['booking_id'])}  ", "bold"), _status(item))
    console.print(title.append(f"  {item['id']}", "dim"), soft_wrap=True)
    console.print(_facts(item))
    if why:
        console.print()
        console.print(plain(why))
    told = hints(item, events or [])
    if item["problem"] or told:
        console.print()
    if item["problem"]:
        show_problem(console, item["problem"])
    for said, command in told:
        _show_hint(console, plain_text(said), plain_text(command))
    if events is not None:
        console.print()
        show_events(console, events)


def show_problem(console: Console, document: dict[str, Any]) -> None:
    """Print why something was refused or needs a person."""
    detail = plain(document.get("detail") or document.get("title") or "")
    console.print(Text.assemble((plain_text(_slug(document)), "red"), ": ", detail))
    errors = document.get("errors")
    for error in errors[:MOST_ERRORS] if isinstance(errors, list) else []:
        console.print(plain(f"  {error.get('field') or 'the body'}: {error.get('problem')}"))


def _slug(document: dict[str, Any] | None) -> str:
    """Return the name under which docs/journeys.md tells what to do."""
    return str((document or {}).get("type") or "").rpartition("/")[2]


def _show_hint(console: Console, said: str, command: str) -> None:
    """Print what may be done; a command stays in one line, so that it can be copied."""
    if not command:
        console.print(Text(said))
        return
    fits = len(said) + 1 + len(command) <= console.width
    console.print(Text.assemble(said, " " if fits else "\n  ", (command, "bold")), soft_wrap=True)


def _facts(item: dict[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("journey", plain(_journey(item)))
    grid.add_row("steps", _steps(item))
    for name, value in _named_facts(item):
        if value:
            grid.add_row(name, plain(value))
    return grid


def _journey(item: dict[str, Any]) -> str:
    would = item.get("dry_run")
    return f"{item['journey']} of {would['journey']}: nothing is cancelled" if would else str(item["journey"])


def _steps(item: dict[str, Any]) -> Text:
    """Return the whole journey: done, next, and the rest."""
    shown = Text()
    for step in item["steps"]:
        if step in item["done_steps"]:
            shown.append(f"✓ {step}  ", "green")
        elif step == item["next_step"]:
            shown.append(f"→ {step}  ", "bold")
        else:
            shown.append(f"{step}  ", "dim")
    shown.rstrip()
    return shown


def _named_facts(item: dict[str, Any]) -> list[tuple[str, str]]:
    claim, next_try = item["claim"], short_time(item["next_attempt_at"])
    return [
        ("policies", ", ".join(_policy(quote) for quote in item["quotes"])),
        ("to refund", _previewed(item)),
        ("refund", _refund(item)),
        ("claim", " ".join(part for part in (claim["reference"], claim["status"], *claim["milestones"]) if part)),
        ("next try", f"{next_try} UTC (try {item['attempts'] + 1})" if next_try else ""),
        ("key", item["idempotency_key"]),
        ("batch", item.get("batch_id") or ""),
        ("told at", item.get("callback_url") or ""),
        ("metadata", ", ".join(f"{name}={plain_text(value)}" for name, value in item["metadata"].items())),
        ("created", f"{short_time(item['created_at'])} UTC"),
        ("completed", f"{short_time(item['completed_at'])} UTC" if item["completed_at"] else ""),
    ]


def _policy(quote: dict[str, Any]) -> str:
    reason = quote["reason_for_cancellation"]
    return f"{quote['id']} ({reason})" if reason else str(quote["id"])


def _previewed(item: dict[str, Any]) -> str:
    """Return what the insurer says is refunded; `cancel_now` has nothing to confirm."""
    before = item["preview"]["confirm_before"] if item["preview"] else None
    is_open = before and item["next_step"] and "confirm" not in item["done_steps"]
    return f"{_total(item)}, to be confirmed before {short_time(before)} UTC" if is_open else _total(item)


def _refund(item: dict[str, Any]) -> str:
    refund = item["refund"]
    if refund["reported_at"]:
        at = short_time(refund["reported_at"])
        paid = f"{refund['amount']} {refund['currency']} as {refund['reference']}"
        return f"{refund['mode']}: {paid}, reported {at} UTC"
    if "refund" not in item["steps"]:
        return ""
    return f"{refund['mode']}: {_MODES.get(refund['mode'], '')}"


def _status(item: dict[str, Any]) -> Text:
    shown = Text(item["status"], COLOURS.get(item["status"], "white"))
    return shown.append(" (dry run)", "bold") if item.get("dry_run") else shown


def _total(item: dict[str, Any]) -> str:
    return f"{item['preview']['total_refund']} {item['preview']['currency']}" if item["preview"] else ""


def short_time(value: str | None) -> str:
    """Return a moment to the second, without its zone; nothing for none."""
    return value[:19].replace("T", " ") if value else ""
