"""`cfar` for tests: run against the real app on a file."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click.testing
import httpx
import structlog.testing

from tests.gateway import BOOKING, SHOP, Gateway
from tests.recording import RecordingDatabase
from webhook_gateway import cli
from webhook_gateway.api_client import Api


class Terminal:
    """Runs `cfar` as a caller whose service is the app."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def run(self, *arguments: str, token: str = SHOP, typed: str | None = None) -> click.testing.Result:
        """Run a command; `typed` is its standard input."""
        transport = httpx.WSGITransport(app=self.gateway.app)
        api = Api("http://cfar", token, transport=transport)
        with structlog.testing.capture_logs():  # the service's own, which would mix with what the command prints
            return click.testing.CliRunner().invoke(cli.main, arguments, obj=api, input=typed)

    def cancel(self, *arguments: str) -> str:
        """Hand over a cancellation and return its id."""
        result = self.run("cancel", BOOKING, "--json", *arguments)
        assert result.exit_code == 0, result.stderr
        return str(json.loads(result.stdout)["id"])


@contextmanager
def on_a_file(template: Path, directory: Path, **settings: Any) -> Iterator[Terminal]:
    """Open a service of its own on a copy of a migrated file."""
    shutil.copy(template, directory / "cfar.db")
    database = RecordingDatabase(f"sqlite:///{directory}/cfar.db")
    yield Terminal(Gateway(database, **settings))
    database.close()
