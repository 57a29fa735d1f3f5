"""How the command line shows answers to people. Knows no HTTP."""

from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

COLOURS = {
    "completed": "green", "in_progress": "cyan", "awaiting_refund": "yellow", "awaiting_premium_refund": "yellow",
    "needs_review": "bold red", "rejected": "red", "aborted": "dim", "closed": "dim",
}  # fmt: skip
NARROWEST = 120
_REFUND_HINT = "cfar refund {id} --amount {total_refund} --currency {currency} --reference <your payment's name>"


def terminal() -> Console:
    """Return the terminal, at least so wide that a table's columns keep their form; a narrower one wraps the lines."""
    console = Console()
    console.width = max(console.width, NARROWEST)
    return console


def show_list(console: Console, page: dict[str, Any]) -> None:
    """Print a page of cancellations."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("id", "booking", "status", "next", "refund", "created"):
        table.add_column(heading, no_wrap=True, overflow="fold")
    for item in page["items"]:
        table.add_row(
            item["id"], escape(item["booking_id"]), _status(item["status"]), item["next_step"] or "", _total(item),
            _short_time(item["created_at"]),
        )  # fmt: skip
    console.print(table if page["items"] else "Nothing found.")
    if page["next_cursor"]:
        console.print(f"[dim]more: --cursor {page['next_cursor']}[/dim]", soft_wrap=True)


def show_one(console: Console, item: dict[str, Any], events: list[dict[str, Any]] | None = None) -> None:
    """Print one cancellation's story."""
    console.print(
        f"[bold]{escape(item['booking_id'])}[/bold]  {_status(item['status'])}  [dim]{item['id']}[/dim]", soft_wrap=True
    )
    console.print(_facts(item))
    if item["problem"]:
        document = item["problem"]
        console.print(
            f"[red]{escape(str(document.get('title')))}[/red]: {escape(str(document.get('detail')))}", soft_wrap=True
        )
    if item["status"] == "awaiting_refund" and item["preview"]:
        hint = _REFUND_HINT.format(id=item["id"], **item["preview"])
        console.print(f"Refund the customer, then: [bold]{escape(hint)}[/bold]", soft_wrap=True)
    if events is not None:
        console.print()
        show_events(console, events)


def show_events(console: Console, events: list[dict[str, Any]]) -> None:
    """Print a timeline."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("when", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("", overflow="fold")
    for event in events:
        what, said = _described(event)
        table.add_row(f"[dim]{_short_time(event['at'])}[/dim]", escape(what), escape(said))
    console.print(table)


def _facts(item: dict[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _named_facts(item):
        if value:
            grid.add_row(name, escape(value))
    return grid


def _named_facts(item: dict[str, Any]) -> list[tuple[str, str]]:
    preview, refund, claim = item["preview"], item["refund"], item["claim"]
    previewed = (
        f"{_total(item)} refund, to be confirmed before {_short_time(preview['confirm_before'])}" if preview else ""
    )
    reported = (
        f", {refund['amount']} {refund['currency']} reported as {refund['reference']}" if refund["reported_at"] else ""
    )
    claimed = " ".join(part for part in (claim["reference"], claim["status"], *claim["milestones"]) if part)
    return [
        ("journey", item["journey"]),
        (
            "steps",
            " → ".join(
                [*(f"✓ {step}" for step in item["done_steps"]), *([item["next_step"]] if item["next_step"] else [])]
            ),
        ),
        ("policies", ", ".join(quote["id"] for quote in item["quotes"])),
        ("preview", previewed),
        ("refund", f"{refund['mode']}{reported}"),
        ("claim", claimed),
        (
            "next try",
            f"{_short_time(item['next_attempt_at'])} (try {item['attempts'] + 1})" if item["next_attempt_at"] else "",
        ),
        ("key", item["idempotency_key"]),
        ("metadata", ", ".join(f"{name}={value}" for name, value in item["metadata"].items())),
        ("created", _short_time(item["created_at"])),
        ("completed", _short_time(item["completed_at"])),
    ]


def _described(event: dict[str, Any]) -> tuple[str, str]:
    if event["kind"] == "call":
        doubt = ", in doubt" if event["is_doubtful"] else ""
        answer = f", answered {event['answer_status']}" if event["answer_status"] else ""
        return (
            f"call {event['step']}",
            f"{event['outcome']}{answer}{doubt}; sent {event['attempts']} time(s), key {event['key']}",
        )
    if event["kind"] == "webhook":
        said = " / ".join(part for part in (event["category"], event["status_name"]) if part)
        return f"webhook {event['event'] or ''}".strip(), f"{said}: {event['verdict'] or 'not handled yet'}"
    what = " ".join(part for part in (event["event"], event["from_step"]) if part)
    is_told = event["to_status"] in {event["from_status"], event["event"]}
    return what if is_told else f"{what} → {event['to_status']}", f"{event['reason']} ({event['actor']})"


def _status(status: str) -> str:
    colour = COLOURS.get(status, "white")
    return f"[{colour}]{escape(status)}[/{colour}]"


def _total(item: dict[str, Any]) -> str:
    return f"{item['preview']['total_refund']} {item['preview']['currency']}" if item["preview"] else ""


def _short_time(value: str | None) -> str:
    return value[:19].replace("T", " ") if value else ""
