"""What the console needs from its app beside `webhook_gateway.current`."""

from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app

from shared import broker
from shared.config import WebSettings
from webhook_gateway.console.sessions import Sessions
from webhook_gateway.console.throttling import TIMEOUT, Throttle

_EXTENSION = "cfar.console"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    sessions: Sessions
    throttle: Throttle
    redis: Any


def install(app: Flask, settings: WebSettings) -> None:
    """Give an app what its console needs; nothing connects yet."""
    app.extensions[_EXTENSION] = _Parts(
        sessions=Sessions(settings.api_tokens),
        throttle=Throttle(settings),
        redis=broker.redis_client(settings, timeout=TIMEOUT),
    )


def sessions() -> Sessions:
    """Return what reads and writes the cookie."""
    return _parts().sessions


def throttle() -> Throttle:
    """Return what counts failures to sign in."""
    return _parts().throttle


def redis() -> Any:
    """Return a client that gives up after a quarter of a second."""
    return _parts().redis


def _parts() -> _Parts:
    parts = current_app.extensions[_EXTENSION]
    if not isinstance(parts, _Parts):
        raise TypeError(f"the console's parts are a {type(parts).__name__}")
    return parts
