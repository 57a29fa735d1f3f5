"""What a request needs from its app: settings, database, counts. Nothing about one request belongs here."""

from dataclasses import dataclass

from flask import Flask, current_app

from shared.config import WebSettings
from shared.db import Database
from shared.webhook_intake import Intake
from webhook_gateway.tally import Tally

_EXTENSION = "cfar"


@dataclass(frozen=True, kw_only=True)
class Services:
    """What every door of one app shares."""

    settings: WebSettings
    database: Database
    tally: Tally
    intake: Intake


def install(app: Flask, services: Services) -> None:
    """Give an app its services."""
    app.extensions[_EXTENSION] = services


def settings() -> WebSettings:
    """Return the settings of the app that answers this request."""
    return _services().settings


def database() -> Database:
    """Return the database of the app that answers this request."""
    return _services().database


def intake() -> Intake:
    """Return what stores verified webhooks in the process that answers this request."""
    return _services().intake


def tally() -> Tally:
    """Return the counts of the process that answers this request."""
    return _services().tally


def _services() -> Services:
    services = current_app.extensions[_EXTENSION]
    if not isinstance(services, Services):
        raise TypeError(f"the app's services are a {type(services).__name__}")
    return services
