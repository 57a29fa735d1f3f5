"""Puts the console together."""

from flask import Flask

from shared.config import WebSettings
from webhook_gateway.console import (
    audit_log,
    batches,
    bulk,
    cancellations,
    doctor_page,
    door,
    overview,
    pauses,
    pressing,
    webhooks,
    wiring,
    words,
)

PAGES = (overview, cancellations, pressing, webhooks, batches, bulk, pauses, audit_log, doctor_page, words)
"""Imported, so that each has added its routes and words to the blueprint."""


def register(app: Flask, settings: WebSettings) -> None:
    """Add the console to the app."""
    wiring.install(app, settings)
    app.register_blueprint(door.blueprint)
