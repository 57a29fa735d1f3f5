"""Accepting cancellations in chunks of a batch, beside accepting as many one by one at the same gateway.

python -m bench.intake, with ROUNDS, CHUNKS and SINGLES in the environment. Both go over one connection.
"""

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from rich.console import Console

from bench import rounds
from bench.load import Sent, post, send
from shared.bulk_intake import MOST_LINES
from tests.demo.stack import inherited
from tests.embedded import EmbeddedRedis, free_port
from tests.processes import ROOT, Processes
from tests.servers import fresh_database, postgresql_server

ROUNDS = int(os.environ.get("ROUNDS", "7"))
CHUNKS = int(os.environ.get("CHUNKS", "10"))
SINGLES = int(os.environ.get("SINGLES", "400"))
WANTED = 5.0
TOKEN = secrets.token_urlsafe(16)
GUNICORN = {"GUNICORN_CMD_ARGS": "--max-requests 0 --log-level warning", "WEB_CONCURRENCY": "2"}


@dataclass(kw_only=True)
class Stage:
    """A gateway and a batch of its."""

    port: int
    batch: str
    database: str

    def play_chunks(self) -> Sent:
        """Send whole chunks; the rate is that of their rows."""
        path = f"/v1/batches/{self.batch}/cancellations"
        bodies = [{"cancellations": [_line() for _ in range(MOST_LINES)]} for _ in range(CHUNKS)]
        sent = _all_taken(send(self.port, [_post(path, body) for body in bodies], connections=1), status=200)
        sent.latencies = [latency / MOST_LINES for latency in sent.latencies for _ in range(MOST_LINES)]
        return sent

    def play_singles(self) -> Sent:
        """Send as the same body alone what a line of a chunk is."""
        lines = [_line() for _ in range(SINGLES)]
        posts = [_post("/v1/cancellations", line, key=line.pop("idempotency_key")) for line in lines]
        return _all_taken(send(self.port, posts, connections=1), status=202)


def main() -> int:
    """Run the rounds; return 0 only if a row of a chunk is accepted as many times faster as is wanted."""
    out = Console(width=None if sys.stdout.isatty() else 120)

    def told(pair: rounds.Pair) -> None:
        out.print(f"  {pair.ours.rate:6.0f} rows/s against {pair.peer.rate:6.0f}/s, ratio {pair.ratio:.1f}")

    with _running() as stage:
        pairs = rounds.alternate(stage.play_chunks, stage.play_singles, rounds=ROUNDS, told=told)
        stored = _stored(stage.database)
    figures = rounds.figures(pairs)
    expected = (ROUNDS + 1) * (CHUNKS * MOST_LINES + SINGLES)
    path = ROOT / "var" / "bench" / "intake.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cases": {"chunks": figures}, "stored": stored, "expected": expected}, indent=2) + "\n")
    ratio = figures["ratio"]
    out.print(
        f"A row of a chunk: {ratio['median']:.1f} times as fast ({ratio['min']:.1f}-{ratio['max']:.1f}). "
        f"Stored {stored} of {expected}. Written to {path}", highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0 if ratio["median"] >= WANTED and stored == expected else 1


@contextmanager
def _running() -> Iterator[Stage]:
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database(stack.enter_context(postgresql_server())))
        redis = stack.enter_context(EmbeddedRedis())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cfar-bench-")))
        port = free_port()
        env = {
            **inherited(),
            **GUNICORN,
            "DATABASE_URL": url,
            "REDIS_URL": redis.url,
            "API_TOKENS": f"bench:{TOKEN}",
            "CALLER_RATE_LIMIT": "0",
            "XCOVER_PARTNER_CODE": "BENCH",
            "XCLAIM_WEBHOOK_KEYS": secrets.token_urlsafe(32),
            "PORT": str(port),
        }
        processes = stack.enter_context(Processes(env, [], folder))
        processes.run("release")
        processes.start("web")
        processes.wait_ready(f"http://127.0.0.1:{port}/livez", name="web")
        opened = httpx.post(
            f"http://127.0.0.1:{port}/v1/batches", json={"name": "bench"}, headers=_headers("bench"), timeout=30
        )
        yield Stage(port=port, batch=opened.raise_for_status().json()["id"], database=url)


def _line() -> dict[str, Any]:
    number = secrets.token_hex(6).upper()
    quotes = [{"id": secrets.token_hex(16), "reason_for_cancellation": "Show called off"}]
    return {
        "idempotency_key": f"ticket-{number}", "booking_id": f"{number}-INS", "quotes": quotes,
        "metadata": {"order": number},
    }  # fmt: skip


def _post(path: str, body: dict[str, Any], *, key: str = "") -> bytes:
    return post(path, json.dumps(body).encode(), _headers(key))


def _headers(key: str) -> dict[str, str]:
    named = {"Idempotency-Key": key} if key else {}
    return {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", **named}


def _all_taken(sent: Sent, *, status: int) -> Sent:
    if set(sent.statuses) != {status}:
        raise RuntimeError(f"not everything was taken: {dict(sent.statuses)}")
    return sent


def _stored(url: str) -> int:
    with psycopg.connect(url) as connection:
        row: Sequence[int] | None = connection.execute("SELECT count(*) FROM cancellations").fetchone()
        return int(row[0]) if row else 0


if __name__ == "__main__":
    sys.exit(main())
