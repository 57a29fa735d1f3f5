"""Records each request as a span, where tracing is on: the one that accepts a cancellation begins its trace."""

from typing import Any

from flask import Flask, request

from shared import tracing

QUIET = "livez,readyz,metrics"
"""Asked for every few seconds by machines."""


def register(app: Flask) -> None:
    """Record the app's requests; comes before whatever asks for the trace."""
    provider = tracing.provider()
    if provider is None:
        return
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    instrumentor: Any = FlaskInstrumentor()  # part of it is untyped
    instrumentor.instrument_app(app, tracer_provider=provider, excluded_urls=QUIET)

    @app.before_request
    def tell_route_only() -> None:
        from opentelemetry import trace

        span: Any = trace.get_current_span()
        for name in tracing.ADDRESSES:
            if name in (getattr(span, "attributes", None) or {}):
                span.set_attribute(name, str(request.url_rule or "none"))
