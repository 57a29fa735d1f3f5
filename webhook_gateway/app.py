"""Puts the gateway together. Nothing connects here: workers are forked afterwards."""

import atexit
from functools import partial

from celery import Celery
from flask import Flask, Response
from werkzeug.middleware.proxy_fix import ProxyFix

from shared import broker
from shared.config import WebSettings
from shared.db import Database
from shared.webhook_intake import Intake
from webhook_gateway import (
    audit_log,
    auth,
    batches,
    bodies,
    callbacks,
    caller_limits,
    cancellations,
    current,
    docs,
    doctor,
    erasures,
    etags,
    health,
    metrics,
    openapi,
    pauses,
    problems,
    request_names,
    request_spans,
    steering,
    webhook_operations,
    webhooks,
    xcover_webhooks,
)
from webhook_gateway.console import app as console
from webhook_gateway.doorbell import Doorbell
from webhook_gateway.tally import WRITE_EVERY, Tally


def create_app(settings: WebSettings, *, database: Database | None = None) -> Flask:
    """Build the app. Without a database of the caller's it uses the configured one, and rings workers through Redis."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = bodies.MAX_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's own provider has it, the base class does not
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False  # a redirect would lose a webhook: its sender counts it as a failure
    celery = broker.create_celery(settings)
    if database is None:
        database = _configured_database(settings, celery)
        tally = Tally(database, write_every=WRITE_EVERY)
        atexit.register(tally.write)
    else:
        tally = Tally(database)
    services = current.Services(
        settings=settings, database=database, tally=tally, intake=Intake(database, source=webhooks.SOURCE)
    )
    current.install(app, services)
    request_spans.register(app)
    request_names.register(app)
    problems.register(app)
    auth.register(app, settings.api_tokens)
    request_names.register_caller(app)
    caller_limits.register(app, settings)
    health.register(app, database)
    metrics.register(app, database, celery)
    doctor.register(app, celery)
    callers_doors = (cancellations, callbacks, batches, webhooks, xcover_webhooks)
    for door in (*callers_doors, webhook_operations, steering, pauses, audit_log, erasures, openapi, docs):
        app.register_blueprint(door.blueprint)
    console.register(app, settings)
    app.after_request(_with_safe_headers)
    etags.register(app)
    if settings.proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxy_hops, x_proto=0)  # type: ignore[method-assign]
    return app


def _configured_database(settings: WebSettings, celery: Celery) -> Database:
    doorbell = Doorbell(partial(broker.publish, celery, is_gathered=True))
    # Small databases allow twenty connections in all: threads wait for one rather than open one each.
    return Database(settings.database_url.get_secret_value(), publish=doorbell.ring, max_overflow=0)


def _with_safe_headers(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")  # answers name bookings and refunds
    return response
