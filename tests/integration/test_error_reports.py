"""Sentry is told what failed and where, and nothing that a person or a caller said."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from shared import error_reports
from tests.processes import ROOT

MARK = "qqmark"
REPORTING = f'''
import json, logging
import sentry_sdk, structlog
from flask import Flask
from sentry_sdk.transport import Transport
from shared import error_reports, logs
from shared.config import Settings

class Kept(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            print(json.dumps(item.payload.json))

logs.configure(Settings(log_level="INFO", log_format="json"))
assert error_reports.switch_on(transport=Kept, dsn="https://key@127.0.0.1:9/1")
log = structlog.get_logger()
app = Flask("shop")

@app.post("/v1/<booking>")
def fail(booking):
    customer = "{MARK} in a local variable"
    raise ValueError(f"{{customer}} for {{booking}}")

app.test_client().post("/v1/{MARK}-booking?{MARK}=1", json={{"customer": "{MARK}"}}, headers={{"Cookie": "{MARK}"}})
try:
    raise KeyError("{MARK}")
except KeyError:
    log.exception("callback_failed", cancellation_id="42", token="{MARK}", error="KeyError")
log.error("worker_died", worker_pid=7, email="{MARK}@example.org")
log.warning("postponed", reason="{MARK}")
logging.getLogger("library").error("cannot do %s", "{MARK}")
sentry_sdk.flush()
'''


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """What a process of its own reports: the client patches whatever it finds."""
    environment = {"PATH": os.environ["PATH"], "SENTRY_DSN": "https://key@127.0.0.1:9/1"}
    done = subprocess.run(
        [sys.executable, "-c", REPORTING], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_error_is_told_with_where_it_rose(told: list[dict[str, Any]]) -> None:
    raised = [event for event in told if "exception" in event]
    kinds = [event["exception"]["values"][-1]["type"] for event in raised]

    assert {"ValueError", "KeyError"} <= set(kinds)
    for event in raised:
        frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
        assert frames[-1]["function"]
        assert frames[-1]["lineno"] > 0
        assert not any("vars" in frame for frame in frames)


def test_an_error_of_the_log_is_told_with_its_ids(told: list[dict[str, Any]]) -> None:
    lines = {event["logentry"]["message"]: event for event in told if "logentry" in event}

    assert lines["callback_failed"]["extra"]["cancellation_id"] == "42"
    assert lines["worker_died"]["extra"]["worker_pid"] == 7
    assert "a library's error" in lines
    assert "postponed" not in lines


def test_nothing_that_anybody_said_is_told(told: list[dict[str, Any]]) -> None:
    assert len(told) >= 4
    assert [event for event in told if MARK in json.dumps(event)] == []


def test_nothing_is_reported_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENTRY_DSN", raising=False)

    assert error_reports.switch_on() is False
