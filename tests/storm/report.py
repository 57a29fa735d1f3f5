"""A storm's figures: read from the tables, the simulator and the processes; as JSON and as a table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import redis
from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos import report as chaos
from tests.chaos.rows import Rows
from tests.chaos.stack import SERVICE, Stack
from tests.storm.plan import Plan
from tests.storm.sending import Sent, Storm
from tests.storm.watch import Watch

SHOWN = 20
"""Findings that are printed; the JSON has all."""
TIMES = """
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.99) WITHIN GROUP (ORDER BY took),
    max(took)
FROM (SELECT extract(epoch FROM handled_at - received_at)::float AS took FROM webhook_deliveries
    WHERE handled_at IS NOT NULL AND (tries > 1) = %(is_put_off)s) AS handled
"""
SPAN = "SELECT extract(epoch FROM max(handled_at) - min(received_at))::float FROM webhook_deliveries"
OUTCOMES = "SELECT coalesce(outcome, 'none'), count(*) FROM webhook_deliveries GROUP BY 1"
BODIES = "SELECT count(*) FROM webhook_bodies"
CHANGES = "SELECT event, count(*) FROM transitions GROUP BY 1"
HOLDERS = "SELECT status, count(*) FROM cancellations GROUP BY 1"

Figures = dict[str, Any]


def compile_figures(stack: Stack, plan: Plan, storm: Storm, watch: Watch, *, sending: float) -> Figures:
    """Read every figure; `sending` is how many seconds the senders took, pauses included."""
    rows, sent = Rows(stack.postgresql.url), storm.sent
    span = rows.read(SPAN)[0][0] or 0.0
    fetches = stack.insurer.request_counts().get("get_claim", 0)
    messages = _messages(stack)
    figures: Figures = {
        "seed": plan.seed,
        "claims": len(storm.tales),
        "sent": _sent(sent),
        "distinct_bodies": rows.read(BODIES)[0][0],
        "backlog_limit": plan.backlog,
        "most_waiting": watch.most_waiting,
        "taken_per_second": _rate(sent.taken, sending - watch.paused),
        "handled_per_second": _rate(sent.taken, span),
        "span_seconds": round(span, 1),
        "paused_seconds": round(watch.paused, 1),
        "seconds_to_handled": _times(rows, is_put_off=False),
        "seconds_to_handled_put_off": _times(rows, is_put_off=True),
        "fetches": fetches,
        "fetches_per_event": _rate(fetches, sent.taken),
        "messages": messages,
        "messages_per_event": _rate(messages, sent.taken),
        "outcomes": dict(rows.read(OUTCOMES)),
        "timeline": dict(rows.read(CHANGES)),
        "cancellations": dict(rows.read(HOLDERS)),
        "cpu_seconds": {name: round(_cpu_of(stack, name), 1) for name in ("insurer", *SERVICE)},
    }
    rows.close()
    return figures


def save(figures: Figures, folder: Path) -> Path:
    """Write the JSON."""
    path = folder / "report.json"
    path.write_text(json.dumps(figures, indent=2, default=str) + "\n")
    return path


def show(out: Console, figures: Figures, path: Path) -> None:
    """Print the table and the verdict."""
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _lines(figures):
        table.add_row(name, text)
    out.print(table)
    for line in figures["failed"][:SHOWN]:
        out.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    failed = len(figures["failed"])
    verdict = f"Failed: {failed} findings." if failed else "Every claim is as the insurer says, every milestone once."
    out.print(verdict, style="bold red" if failed else "bold green", highlight=False)
    out.print(f"Report: {path}", highlight=False, soft_wrap=True)


def _lines(figures: Figures) -> list[tuple[str, str]]:
    machine = figures["machine"]
    rates = f"{figures['taken_per_second']} a second taken while sending; {figures['handled_per_second']} handled"
    waited = f"at most {figures['most_waiting']} waited (limit {figures['backlog_limit']})"
    waited += f"; the senders paused {figures['paused_seconds']} s of {figures['span_seconds']} s"
    fetched = f"{figures['fetches_per_event']} readings and {figures['messages_per_event']} messages"
    run = f"seed {figures['seed']}, {figures['seconds']} s; {machine['cores']} cores, load {machine['load_1min']}"
    return [
        (
            "sent",
            f"{chaos.counts(figures['sent'])}; {figures['distinct_bodies']} bodies about {figures['claims']} claims",
        ),
        ("rates", rates),
        ("waiting", waited),
        ("to handled", chaos.times(figures["seconds_to_handled"])),
        ("if put off", chaos.times(figures["seconds_to_handled_put_off"])),
        ("for each event", fetched),
        ("outcomes", chaos.counts(figures["outcomes"])),
        ("timeline", chaos.counts(figures["timeline"])),
        ("cancellations", chaos.counts(figures["cancellations"])),
        ("processor seconds", chaos.counts(figures["cpu_seconds"])),
        ("run", run),
    ]


def _sent(sent: Sent) -> dict[str, int]:
    return {"taken": sent.taken, **sent.kinds, "unanswered": sent.unanswered, "put_off": sent.put_off}


def _times(rows: Rows, *, is_put_off: bool) -> Figures:
    count, *seconds = rows.read(TIMES, {"is_put_off": is_put_off})[0]
    half, most, longest = (None if value is None else round(value, 2) for value in seconds)
    return {"count": count, "p50": half, "p99": most, "max": longest}


def _messages(stack: Stack) -> int:
    """Return how many messages were sent over all queues: each is one LPUSH."""
    with redis.Redis.from_url(stack.redis.url, socket_timeout=5) as server:
        pushed: Mapping[str, Any] = server.info("commandstats").get("cmdstat_lpush", {})
    return int(pushed.get("calls", 0))


def _cpu_of(stack: Stack, name: str) -> float:
    """Return the processor's seconds of a process and of its children, ended ones too."""
    leader = psutil.Process(stack.processes.pid(name))
    used = [leader.cpu_times(), *(child.cpu_times() for child in leader.children(recursive=True))]
    return float(sum(one.user + one.system for one in used) + used[0].children_user + used[0].children_system)


def _rate(count: float, of: float) -> float:
    return round(count / of, 2) if of else 0.0
