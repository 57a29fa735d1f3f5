"""Taking a verified 2 KB webhook and ringing a worker, beside a bare Flask route that verifies and inserts one row.

python -m bench.webhooks, with ROUNDS, REQUESTS and CONNECTIONS in the environment.
"""

import hashlib
import hmac
import json
import os
import platform
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from bench import rounds
from bench.load import Sent, post, send
from shared.xclaim.signature import derive_key, sign
from tests.demo.stack import inherited
from tests.embedded import EmbeddedRedis, free_port
from tests.processes import ROOT, Processes
from tests.servers import fresh_database, postgresql_server

ROUNDS = int(os.environ.get("ROUNDS", "25"))
REQUESTS = int(os.environ.get("REQUESTS", "1200"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "16"))
WANTED = 0.85
BODY_BYTES = 2_000
MASTER = secrets.token_urlsafe(32)
KEY = secrets.token_urlsafe(32)
GUNICORN = {"GUNICORN_CMD_ARGS": "--max-requests 0 --log-level warning", "WEB_CONCURRENCY": "2"}


@dataclass(kw_only=True)
class Stage:
    """Both servers, and how to send each a round."""

    ours: int
    bare: int
    redis: EmbeddedRedis
    database: str

    def play_ours(self) -> Sent:
        """Send events of as many claims as there are requests, each to its claim's own address."""
        return _all_stored(send(self.ours, [_our_request() for _ in range(REQUESTS)], connections=CONNECTIONS))

    def play_bare(self) -> Sent:
        """Send the same to the bare route."""
        return _all_stored(send(self.bare, [_bare_request() for _ in range(REQUESTS)], connections=CONNECTIONS))


def main() -> int:
    """Run every case; return 0 only if each reaches what is wanted of it."""
    out = Console(width=None if sys.stdout.isatty() else 120)
    cases: dict[str, Any] = {}
    with _running() as stage:
        cases["stored and rung"] = _case(stage, out)
        stage.redis.stop()
        cases["the same, Redis stopped"] = _case(stage, out)
        stage.redis.start()
        stored = _count(stage.database, "webhook_deliveries")
    expected = sum(case["ours"]["statuses"][200] + REQUESTS for case in cases.values())
    report = {"cases": cases, "stored": stored, "expected": expected, "machine": _machine()}
    path = ROOT / "var" / "bench" / "webhooks.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    out.print(_table(cases))
    out.print(f"Stored {stored} of {expected} events. Written to {path}", highlight=False, soft_wrap=True)
    slow = [name for name, case in cases.items() if case["ratio"]["median"] < WANTED]
    for name in slow:
        out.print(f"{name}: below {WANTED} of the bare route's rate", style="bold red")
    return 1 if slow or stored != expected else 0


def _case(stage: Stage, out: Console) -> dict[str, Any]:
    def told(pair: rounds.Pair) -> None:
        out.print(f"  {pair.ours.rate:6.0f}/s against {pair.peer.rate:6.0f}/s, ratio {pair.ratio:.2f}")

    pairs = rounds.alternate(stage.play_ours, stage.play_bare, rounds=ROUNDS, told=told)
    return rounds.figures(pairs)


@contextmanager
def _running() -> Iterator[Stage]:
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server())
        url, bare_url = (stack.enter_context(fresh_database(server)) for _ in range(2))
        with psycopg.connect(bare_url) as connection:
            connection.execute(
                "CREATE TABLE received (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), body bytea NOT NULL)"
            )
        redis = stack.enter_context(EmbeddedRedis())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cfar-bench-")))
        ports = {"web": free_port(), "bare": free_port()}
        bare = ["gunicorn", "--workers", "2", "--worker-class", "gthread", "--threads", "4", "--keep-alive", "75"]
        commands = {"bare": [*bare, "--bind", f"127.0.0.1:{ports['bare']}", "bench.webhooks.bare:app"]}
        env = {
            **inherited(),
            **GUNICORN,
            "DATABASE_URL": url,
            "REDIS_URL": redis.url,
            "API_TOKENS": f"bench:{secrets.token_urlsafe(16)}",
            "XCOVER_PARTNER_CODE": "BENCH",
            "XCLAIM_WEBHOOK_KEYS": f"{MASTER},{secrets.token_urlsafe(32)}",
            "PORT": str(ports["web"]),
            "BARE_KEY": KEY,
            "BARE_DATABASE_URL": bare_url,
        }
        processes = stack.enter_context(Processes(env, [], folder, commands=commands))
        processes.run("release")
        for name, port in ports.items():
            processes.start(name)
            processes.wait_ready(f"http://127.0.0.1:{port}/livez", name=name)
        yield Stage(ours=ports["web"], bare=ports["bare"], redis=redis, database=url)


def _event() -> bytes:
    number = secrets.token_hex(4).upper()
    payload = {
        "id": secrets.token_hex(16),
        "claimReference": f"{number}-CLA",
        "bookingReference": f"{number}-INS",
        "status": {"category": "Action Required"},
        "claimDetails": [],
    }
    event = {"event": "claim.status-category-update", "payload": payload}
    room = BODY_BYTES - len(json.dumps(event))
    payload["claimDetails"] = [{"name": "description", "value": "x" * (room - 40)}]
    return json.dumps(event).encode()


def _our_request() -> bytes:
    raw, token = _event(), secrets.token_urlsafe(24)
    return post(f"/webhooks/xclaim/{token}", raw, _headers(sign(raw, derive_key(MASTER, token))))


def _bare_request() -> bytes:
    raw = _event()
    return post("/webhook", raw, _headers(f"sha256={hmac.new(KEY.encode(), raw, hashlib.sha256).hexdigest()}"))


def _headers(signature: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "User-Agent": "XClaim", "XClaim-Signature": signature}


def _all_stored(sent: Sent) -> Sent:
    if set(sent.statuses) != {200}:
        raise RuntimeError(f"not every event was taken: {dict(sent.statuses)}")
    return sent


def _count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a name of ours
        return int(row[0]) if row else 0


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


def _table(cases: Mapping[str, Any]) -> Table:
    table = Table(title="Taking a webhook", caption="medians of the rounds; p99 in ms")
    for name in ("case", "ratio", "min-max", "ours/s", "peer/s", "our p99", "its p99"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for name, case in cases.items():
        ratio, ours, peer = case["ratio"], case["ours"], case["peer"]
        spread = f"{ratio['min']}-{ratio['max']}"
        rates = [f"{side['rate']['median']:.0f}" for side in (ours, peer)]
        slowest = [f"{side['p99_ms']['median']:.1f}" for side in (ours, peer)]
        table.add_row(name, f"{ratio['median']}", spread, *rates, *slowest)
    return table


if __name__ == "__main__":
    sys.exit(main())
