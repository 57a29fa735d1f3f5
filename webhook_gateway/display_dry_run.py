"""How the command line shows what a cancellation would do. Knows no HTTP."""

from typing import Any

from rich.console import Console
from rich.text import Text

from webhook_gateway.display import short_time, show_problem
from webhook_gateway.display_rows import show_rows
from webhook_gateway.plain_text import plain, plain_text

_DEEDS = {"claim": "claimed", "confirm": "cancelled", "cancel": "cancelled"}


def show(console: Console, item: dict[str, Any]) -> None:
    """Print what each policy would come to, the refund, until when, and that nothing was done."""
    would, status = item["dry_run"], item["status"]
    title = Text.assemble((f"{plain_text(item['booking_id'])}  ", "bold"), f"dry run of {would['journey']}")
    console.print(title.append(f"  {item['id']}", "dim"), soft_wrap=True)
    console.print(Text.assemble("Nothing was cancelled, claimed or refunded.", *_verdict(status)), soft_wrap=True)
    console.print()
    if item["problem"]:
        show_problem(console, item["problem"])
    if status != "completed":
        return
    rows = [*_policies(item), *_total(item)]
    show_rows(console, ("policy", "would be", "refund"), rows)
    console.print()
    console.print(f"steps: {' → '.join(would['steps'])}", soft_wrap=True)
    if item["preview"] and "confirm" in would["steps"] and "claim" not in would["steps"][:2]:
        until = short_time(item["preview"]["confirm_before"])
        console.print(f"Previewed now, it could be confirmed until {until} UTC.", soft_wrap=True)


def _verdict(status: str) -> list[Any]:
    if status == "completed":
        return [" The insurer allows it now."]
    return [" It would be ", ("rejected", "red"), "."] if status == "rejected" else [f" It ended {status}."]


def _policies(item: dict[str, Any]) -> list[tuple[Text, str, str]]:
    """Return each policy, what would happen to it in its order, and its part of the refund."""
    steps, claimed = item["dry_run"]["steps"], item["dry_run"]["claimed_quote_id"]
    refunds = {quote["id"]: quote["refund"] for quote in item["quotes"]}
    currency = item["preview"]["currency"] if item["preview"] else ""
    found = []
    for policy in dict.fromkeys([*refunds, *([claimed] if claimed else [])]):
        deeds = [said for step, said in sorted(_DEEDS.items(), key=lambda pair: _place(steps, pair[0]))
                 if step in steps and (policy == claimed if step == "claim" else policy in refunds)]  # fmt: skip
        refund = f"{refunds[policy]} {currency}" if refunds.get(policy) is not None else ""
        found.append((plain(policy), ", then ".join(deeds), refund))
    return found


def _place(steps: list[str], step: str) -> int:
    return steps.index(step) if step in steps else len(steps)


def _total(item: dict[str, Any]) -> list[tuple[Text, str, str]]:
    if not item["preview"]:
        return []
    return [(Text("total", "bold"), "", f"{item['preview']['total_refund']} {item['preview']['currency']}")]
