"""Records spans for a tracing backend, where OpenTelemetry is installed (`cfar[traces]`) and an exporter is named.

Its own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, …) say where to. Without them nothing is loaded and nothing is done.
What a span says of an address is its host alone: paths and queries of ours and of callers hold tokens.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from shared import statement_spans, trace_context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

NAMED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
ADDRESSES = ("http.url", "url.full", "http.target", "url.path", "url.query")
"""Names under which the instrumentations of libraries write addresses."""

log = structlog.get_logger()

_recording: "list[TracerProvider]" = []
"""What records: one, or none."""


def switch_on(service: str) -> bool:
    """Record from now on under this service's name, unless OTEL_SERVICE_NAME says another; return whether."""
    if not _is_wanted():
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces_not_recorded", next="install cfar[traces], or unset OTEL_EXPORTER_OTLP_ENDPOINT")
        return False
    name = os.environ.get("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    record_with(provider)
    return True


def record_with(provider: "TracerProvider | None") -> None:
    """Record with this provider, requests over HTTP and statements included; with None not any more."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    http: Any = HTTPXClientInstrumentor()
    if http.is_instrumented_by_opentelemetry:
        http.uninstrument()
    _recording[:] = [] if provider is None else [provider]
    if provider is not None:
        http.instrument(tracer_provider=provider, request_hook=_tell_host_only)
    statement_spans.listen(_tracer if provider is not None else None)


def is_on() -> bool:
    """Tell whether spans are recorded."""
    return bool(_recording)


def provider() -> "TracerProvider | None":
    """Return what records; None while nothing does."""
    return _recording[0] if _recording else None


def traceparent() -> str | None:
    """Return the name of the span that is being recorded; None when there is none."""
    if not _recording:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


@contextmanager
def span(name: str, *, parent: str | None = None, **attributes: str) -> Iterator[str]:
    """Record the block as a part of the trace that `parent` names, or as one of its own; give its traceparent."""
    if not _recording:
        yield parent or trace_context.fresh()
        return
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    said = {} if parent is None else {"traceparent": parent}
    within = TraceContextTextMapPropagator().extract(said, context=context.Context())
    given = {f"cfar.{key}": value for key, value in attributes.items()}
    # An error's message may name persons: that it rose is told, and of which kind, in the log.
    with _tracer().start_as_current_span(name, context=within, attributes=given, record_exception=False):
        yield traceparent() or trace_context.fresh()


def _tracer() -> "Tracer":
    from opentelemetry import trace

    return trace.get_tracer("cfar", tracer_provider=_recording[0])


def _tell_host_only(span: Any, request: Any) -> None:
    url = request.url
    said = f"{url.scheme}://{url.host}" if hasattr(url, "scheme") else "(not shown)"
    for name in ADDRESSES:
        if name in (span.attributes or {}):
            span.set_attribute(name, said)


def _is_wanted() -> bool:
    is_off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not is_off and any(os.environ.get(name) for name in NAMED_BY)
