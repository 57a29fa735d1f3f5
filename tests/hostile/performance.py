"""A run from its start to its verdict."""

import json
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from shared.xclaim.signature import sign
from tests.chaos import plan, report
from tests.demo.stack import inherited
from tests.hostile.attacks import Attacker
from tests.hostile.sender import SILENT, Outcome, send
from tests.processes import ROOT, Processes
from tests.servers import embedded_redis, free_port, fresh_database, postgresql_server

SENDERS = 16
TOLD_EVERY = 10.0
MIB = 1024 * 1024
GROWTH = 32 * MIB
"""Of all the gateway's processes together, from a tenth of the run to its end: more would be a leak."""
MASTERS = ("first-master", "second-master")


@dataclass(kw_only=True)
class Stage:
    """The gateway, as it is deployed, and what it stores into."""

    port: int
    database: str
    processes: Processes

    def memory(self) -> int:
        """Return the bytes that its processes hold, without what they share."""
        leader = psutil.Process(self.processes.pid("web"))
        return sum(one.memory_full_info().uss for one in [leader, *leader.children(recursive=True)])


def main() -> int:
    """Run as the environment says; return 0 only if nothing of what must not happen did."""
    out = Console(width=None if sys.stdout.isatty() else 140)
    try:
        count, seed = plan.number("REQUESTS", 1_000_000), plan.number("SEED", time.time() % 1_000_000)
    except plan.WrongSetting as wrong:
        out.print(f"Stopped: {wrong}", highlight=False, markup=False)
        return 1
    found = conduct(int(count), int(seed), out)
    show(out, found)
    return 1 if found["failed"] else 0


def conduct(count: int, seed: int, out: Console) -> dict[str, Any]:
    """Attack a gateway; return figures, and under `failed` what must not have happened."""
    outcome = Outcome()
    with _running() as stage:
        begun, early = time.monotonic(), 0
        senders = [
            threading.Thread(
                target=send,
                args=(stage.port, Attacker(f"{seed}:{number}", masters=MASTERS).attacks(), count // SENDERS, outcome),
                name=f"sender-{number}",
                daemon=True,
            )
            for number in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        told = begun
        while any(sender.is_alive() for sender in senders):
            time.sleep(0.2)
            if not early and outcome.sent >= count // 10:
                early = stage.memory()
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                out.print(
                    f"{told - begun:5.0f} s  {outcome.sent} sent, {stage.memory() / MIB:.0f} MiB", highlight=False
                )
        seconds = time.monotonic() - begun
        grown = stage.memory() - early
        failed = [*outcome.failed, *_judge(stage, outcome)]
    if grown > GROWTH:
        failed.append(f"memory grew by {grown / MIB:.0f} MiB")
    found = {
        "seed": seed,
        "sent": outcome.sent,
        "seconds": round(seconds, 1),
        "memory_mib": round((early + grown) / MIB, 1),
        "grown_mib": round(grown / MIB, 1),
        "signed": len(outcome.signed),
        "by_attack": _by_attack(outcome.answers),
        "machine": report.machine(),
        "failed": failed,
    }
    path = ROOT / "var" / "hostile.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    return found


def show(out: Console, found: Mapping[str, Any]) -> None:
    """Print what was answered to which attack, and the verdict."""
    table = Table(title=f"{found['sent']} hostile requests in {found['seconds']} s, seed {found['seed']}")
    table.add_column("attack")
    table.add_column("answers, by status; 'closed' where there was no request to answer")
    for name, answers in found["by_attack"].items():
        ordered = sorted(answers.items(), key=lambda one: -one[1])
        table.add_row(name, " · ".join(f"{status} {times}" for status, times in ordered))
    out.print(table)
    out.print(
        f"Memory of all processes: {found['memory_mib']} MiB, grown by {found['grown_mib']} MiB.", highlight=False
    )
    for line in found["failed"][:20]:
        out.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    verdict = f"Failed: {len(found['failed'])} findings." if found["failed"] else "Not fooled, not broken, not grown."
    out.print(verdict, style="bold red" if found["failed"] else "bold green", highlight=False)


def _by_attack(answers: Mapping[tuple[str, int], int]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for (name, status), times in answers.items():
        found.setdefault(name, Counter())["closed" if status == SILENT else str(status)] += times
    return {name: dict(counted) for name, counted in sorted(found.items())}


def _judge(stage: Stage, outcome: Outcome) -> Iterator[str]:
    with psycopg.connect(stage.database) as connection:
        stored = {bytes(row[0]) for row in connection.execute("SELECT raw FROM webhook_bodies WHERE source = 'xclaim'")}
        others = connection.execute("SELECT count(*) FROM cancellations").fetchone()
    for raw in list(stored - outcome.signed)[:5]:
        yield f"stored although nobody signed it: {raw[:300]!r}"
    for raw in list(outcome.signed - stored)[:5]:
        yield f"answered 200 and not stored: {raw[:300]!r}"
    if others != (0,):
        yield f"{others} cancellations were accepted from a caller without a token"
    event = b'{"event": "claim.deleted", "payload": {"id": "the-last"}}'
    headers = {"XClaim-Signature": sign(event, MASTERS[0])}
    last = httpx.post(f"http://127.0.0.1:{stage.port}/webhooks/xclaim", content=event, headers=headers, timeout=10)
    if last.status_code != 200:
        yield f"after all that an honest event is answered {last.status_code}"


@contextmanager
def _running() -> Iterator[Stage]:
    port = free_port()
    with (
        postgresql_server() as server,
        fresh_database(server) as url,
        embedded_redis() as redis_url,
        tempfile.TemporaryDirectory(prefix="cfar-hostile-") as folder,
    ):
        environment = {
            **inherited(),
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "API_TOKENS": f"shop:{secrets.token_urlsafe(18)}",
            "XCOVER_PARTNER_CODE": "ABCDE",
            "XCLAIM_WEBHOOK_KEYS": ",".join(MASTERS),
            "XCOVER_WEBHOOK_KEYS": f"key:{secrets.token_urlsafe(18)}",
            "PORT": str(port),
            "WEB_CONCURRENCY": "2",
            "LOG_LEVEL": "ERROR",
            # A process that is replaced every now and then could not be seen to grow.
            "GUNICORN_CMD_ARGS": "--max-requests 0 --log-level error",
        }
        with Processes(environment, [], Path(folder)) as processes:
            processes.run("release")
            processes.start("web")
            processes.wait_ready(f"http://127.0.0.1:{port}/readyz")
            yield Stage(port=port, database=url, processes=processes)
