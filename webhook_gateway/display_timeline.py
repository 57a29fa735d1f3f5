"""How the command line shows a timeline: a line each, with the time to the millisecond under its day."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from webhook_gateway.plain_text import plain, plain_text

WIDEST_WHAT = 30
"""Columns: what happened breaks into a second line sooner than it narrows the reason."""
_OUTCOMES = {"done": "green", "refused": "red", "unknown": "bold red", "not_done": "yellow"}


def show_events(console: Console, events: list[dict[str, Any]]) -> None:
    """Print a timeline."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("when", no_wrap=True, style="dim")
    table.add_column("what", max_width=WIDEST_WHAT, overflow="fold")
    table.add_column("said", overflow="fold")
    day = ""
    for event in events:
        if event["at"][:10] != day:
            day = event["at"][:10]
            table.add_row(f"{day} UTC")
        table.add_row(f"  {event['at'][11:23]}", *_described(event))
    console.print(table)


def _described(event: dict[str, Any]) -> tuple[Text, Text]:
    if event["kind"] == "call":
        return _call(event)
    if event["kind"] == "webhook":
        said = " / ".join(part for part in (event["category"], event["status_name"]) if part)
        what = plain(f"webhook {event['event'] or ''}".strip())
        return what, plain(f"{said}: {event['verdict'] or 'not handled yet'}")
    return _what(event), _reason(event)


def _call(event: dict[str, Any]) -> tuple[Text, Text]:
    round_ = f" (round {event['round']})" if event["round"] > 1 else ""
    doubt = ", in doubt" if event["is_doubtful"] else ""
    answer = f", answered {event['answer_status']}" if event["answer_status"] else ""
    times = "once" if event["attempts"] == 1 else f"{event['attempts']} times, last at {event['last_sent_at'][11:19]}"
    said = Text.assemble((event["outcome"], _OUTCOMES.get(event["outcome"], "")), f"{answer}{doubt}; sent {times}")
    return plain(f"call {event['step']}{round_}"), said.append(f", key {event['key']}", "dim")


def _what(event: dict[str, Any]) -> Text:
    """Return the event with its step, and the status where that is news."""
    is_done = event["event"] == "step_done"
    name = "✓" if is_done else event["event"]
    is_wait = event["event"].startswith("awaiting_")  # it names what is waited for, as the step would again
    what = plain(" ".join(part for part in (name, event["from_step"] if not is_wait else None) if part))
    if is_done:
        what.stylize("green")
    is_told = event["from_status"] is None or event["to_status"] in {event["from_status"], event["event"]}
    return what if is_told else what.append(f" → {event['to_status']}")


def _reason(event: dict[str, Any]) -> Text:
    parts = [event["reason"] if event["reason"] != event["event"] else "", *_details(event["details"])]
    said = plain("; ".join(part for part in parts if part))
    if event["actor"] != "worker":
        said.append(f" ({event['actor']})" if said else f"by {event['actor']}", "dim")
    return said


def _details(details: dict[str, Any]) -> Iterator[str]:
    """Yield what a person decided on or reported; the rest is for --json."""
    if "amount" in details and "currency" in details:
        yield f"{details['amount']} {details['currency']} as {details.get('reference')}"
    if details.get("evidence") and "resolution" in details:
        yield "evidence: " + ", ".join(f"{name}={plain_text(value)}" for name, value in details["evidence"].items())
    if details.get("amended"):
        yield f"amended: {', '.join(details['amended'])}"
