"""How the command line shows webhooks, replays and keys to people. Knows no HTTP."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook_gateway.display import short_time
from webhook_gateway.display_rows import show_more, show_rows
from webhook_gateway.plain_text import plain, plain_text

_COLOURS = {"applied": "green", "unchanged": "dim", "ignored": "yellow", "kept": "bold red", "waiting": "cyan"}


def show_list(console: Console, page: dict[str, Any]) -> None:
    """Print a page of webhooks."""
    _show_items(console, page["items"], nothing="Nothing found here." if page["next_cursor"] else "Nothing found.")
    show_more(console, page)


def show_one(console: Console, item: dict[str, Any]) -> None:
    """Print one webhook, with its body as JSON."""
    title = Text.assemble((plain_text(item["event"] or item["source"]), "bold"), "  ", _outcome(item))
    console.print(title.append(f"  {item['id']}", "dim"), soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(item):
        if value:
            grid.add_row(name, plain(value))
    console.print(grid)
    console.print()
    if item["body"] is None:
        console.print("Its body cannot be read as JSON.")
        return
    for line in json.dumps(item["body"], indent=2, ensure_ascii=False).splitlines():
        console.print(plain(line), soft_wrap=True)


def show_replay(console: Console, done: dict[str, Any]) -> None:
    """Print what a replay did, or would do."""
    forecast = done["forecast"]
    if forecast is None:
        console.print(f"Handled again from now on: {done['replayed']} of {done['matched']}.")
    else:
        _show_forecast(console, done, forecast)
    if done["waiting"] or done["in_hand"]:
        left = (
            f"Left alone, as they are handled anyway: {done['waiting']} waiting, {done['in_hand']} in a worker's hands."
        )
        console.print(left, soft_wrap=True)
    if done["items"]:
        console.print()
        _show_items(console, done["items"], nothing="")
    show_more(console, done)


def show_keys(console: Console, found: dict[str, Any]) -> None:
    """Print the keys, and what is to be known before one is removed."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("source", "place", "key", "last used (UTC)", "webhooks", "open claims"):
        table.add_column(heading, no_wrap=True)
    table.add_column("", overflow="fold")
    for key in found["items"]:
        table.add_row(
            key["source"], str(key["position"] or "-"), plain(key["key_id"] or "not known"),
            short_time(key["last_used_at"]), str(key["events"]), str(key["open_claims"]), plain(key["said"]),
        )  # fmt: skip
    console.print(table if found["items"] else "No key is configured: no webhook is taken.")


def _show_forecast(console: Console, done: dict[str, Any], forecast: dict[str, Any]) -> None:
    console.print(f"Would be handled again: {forecast['replayed']} of {done['matched']}.")
    for entry in forecast["by_outcome"]:
        console.print(f"  {entry['source']} {entry['outcome'] or 'outcome not recorded'}: {entry['count']}")
    console.print(f"Claims they are about: {forecast['claims']}; cancellations: {forecast['cancellations']}.")
    if forecast["newly_matched"]:
        console.print(f"Those whose claim was not found then, and would be: {forecast['newly_matched']}.")
    for milestone, count in forecast["milestones"].items():
        console.print(f"Claims that would newly reach {milestone}: {count}.")
    console.print(plain(forecast["note"]))


def _show_items(console: Console, items: list[dict[str, Any]], *, nothing: str) -> None:
    if not items:
        console.print(nothing)
        return
    rows = [
        (
            item["id"], short_time(item["received_at"]), item["source"], plain(item["event"] or ""),
            plain(item["claim"] or item["booking_id"] or ""), _outcome(item), str(item["replays"] or ""),
        )
        for item in items
    ]  # fmt: skip
    show_rows(console, ("id", "received (UTC)", "source", "event", "claim", "outcome", "replays"), rows)


def _facts(item: dict[str, Any]) -> list[tuple[str, str]]:
    times = "once" if item["replays"] == 1 else f"{item['replays']} times, last"
    replayed = f"{times} by {item['replayed_by']} at {short_time(item['replayed_at'])} UTC"
    return [
        ("source", item["source"]),
        ("received", f"{short_time(item['received_at'])} UTC"),
        ("claim", item["claim"] or ""),
        ("cancellation", item["cancellation_id"] or ""),
        ("booking", item["booking_id"] or ""),
        ("verdict", item["verdict"] or ""),
        ("handled", f"{short_time(item['handled_at'])} UTC" if item["handled_at"] else ""),
        ("tries", str(item["tries"])),
        ("next try", f"{short_time(item['next_attempt_at'])} UTC" if item["next_attempt_at"] else ""),
        ("replayed", replayed if item["replays"] else ""),
        ("key", item["key_id"] or ""),
        ("headers", ", ".join(f"{name}: {plain_text(value)}" for name, value in item["headers"].items())),
        ("digest", item["digest"]),
        ("arrived", f"{item['deliveries']} times with this very body" if item["deliveries"] > 1 else ""),
    ]


def _outcome(item: dict[str, Any]) -> Text:
    return Text(item["outcome"] or "not recorded", _COLOURS.get(item["outcome"] or "", ""))
