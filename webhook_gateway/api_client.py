"""The gateway's own HTTP interface, as the command line uses it. Says only, to standard error, that it waits."""

import os
import re
import time
from types import TracebackType
from typing import Any, Self

import click
import httpx

from shared.idempotency import LONGEST_KEY, is_key

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
"""Seconds. The service answers in milliseconds, or after the 15 s it gives its database."""
PATIENCE = 120.0
"""Seconds that a request waits altogether where the caller has made more of them than it may (429)."""

sleep = time.sleep


class Refused(Exception):
    """The service said no; holds its problem document, and the seconds after which it may be asked again."""

    def __init__(self, document: dict[str, Any], *, retry_after: int | None = None) -> None:
        super().__init__(str(document.get("detail") or document.get("title") or "no reason was given"))
        self.document = document
        self.retry_after = retry_after


class Unreachable(Exception):
    """No usable answer came; whether the request was taken is not known."""


class Misuse(Exception):
    """What was given cannot be sent; says what to give instead."""


class Api:
    """Sends requests with a token and reads JSON answers."""

    def __init__(self, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "cfar-cli"}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT, transport=transport)

    @classmethod
    def from_environment(cls) -> Self:
        """Read CFAR_URL and CFAR_TOKEN; raise Misuse when one cannot be used."""
        url, token = os.environ.get("CFAR_URL") or DEFAULT_URL, os.environ.get("CFAR_TOKEN", "")
        if not url.startswith(("http://", "https://")):
            raise Misuse("CFAR_URL must be an http:// or https:// address")
        if not token or not token.isascii() or not token.isprintable():
            raise Misuse("set CFAR_TOKEN to a token of the service's API_TOKENS")
        return cls(url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int | None) -> dict[str, Any]:
        """Read a resource."""
        return self._send("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> dict[str, Any]:
        """Ask for an action."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": _quoted(key)} if key is not None else {})

    def _send(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Send it again after each 429 that says when; such a request was not taken."""
        waited = 0
        while True:
            response = self._asked(method, path, **more)
            pause = _retry_after(response) if response.status_code == httpx.codes.TOO_MANY_REQUESTS else None
            if pause is None or waited + pause > PATIENCE:
                return self._read(response)
            click.echo(f"The service takes no more requests of this caller for now. Going on in {pause} s.", err=True)
            sleep(pause)
            waited += pause

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{self.url} does not answer ({type(error).__name__}).") from error

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError as error:
            raise Unreachable(f"{self.url} answered {response.status_code} without JSON: is CFAR_URL right?") from error
        if not isinstance(document, dict):
            raise Unreachable(f"{self.url} answered {response.status_code} with something else: is CFAR_URL right?")
        if not response.is_success:
            raise Refused(document, retry_after=_retry_after(response))
        return document


def _retry_after(response: httpx.Response) -> int | None:
    """Return the whole seconds that the header names, at least one, or None."""
    wait = response.headers.get("Retry-After", "")
    return max(int(wait), 1) if re.fullmatch(r"[0-9]{1,9}", wait) else None


def _quoted(key: str) -> bytes:
    """Return a key as a structured-field string, so that no character in it needs a second thought."""
    if not is_key(key):
        raise Misuse(f"a key has 1 to {LONGEST_KEY} visible ASCII characters, without spaces")
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'.encode()
