"""One trace per cancellation, whoever works on it and whoever dies; and nothing in it that opens anything."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import trace_context, tracing
from tests.gateway import Gateway, bearer
from tests.simulator import PARTNER_CODE
from tests.world import World
from workers import cancel_booking, celery_door

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"


class Killed(BaseException):
    """The worker is gone in the middle of a step."""


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Everything recorded from here on."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.record_with(provider)
    yield kept
    tracing.record_with(None)
    provider.shutdown()


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def accepted(world: World, **headers: str) -> UUID:
    """Hand one over by HTTP."""
    gateway = Gateway(world.database, xcover_partner_code=PARTNER_CODE)
    answer = gateway.client.post(
        "/v1/cancellations", json={"booking_id": world.booking().id, "refund": {"mode": "skip"}},
        headers={"Idempotency-Key": "k-1", **bearer("shop-token"), **headers},
    )  # fmt: skip
    return UUID(answer.get_json()["id"])


def test_one_that_is_killed_in_the_middle_and_resumed_is_one_trace(
    world: World, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_id = accepted(world, traceparent=f"00-{TRACE}-{CALLERS_SPAN}-01")

    def die(*_about: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(cancel_booking, "stop_if_lost", die)
        with pytest.raises(Killed):
            world.drain()
    assert world.row(row_id).next_step == "confirm"
    trace_context.begin(None)  # the next worker knows nothing but the row
    world.later(60)
    world.sweep()
    world.drain()

    assert world.row(row_id).status == "completed"
    steps = [span for span in spans.get_finished_spans() if span.name.startswith("cancellation.")]
    assert [span.name.removeprefix("cancellation.") for span in steps] == [
        *("look_up", "preview", "refund", "confirm", "confirm"),
    ]
    (request,) = named(spans, "POST /v1/cancellations")
    assert {trace_of(span) for span in [request, *steps]} == {TRACE}
    assert request.context is not None
    for span in steps:
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
        assert (span.attributes or {})["cfar.cancellation_id"] == str(row_id)


def test_requests_to_the_insurer_and_statements_are_parts_of_their_step(
    world: World, spans: InMemorySpanExporter
) -> None:
    accepted(world)
    world.drain()

    (confirm,) = named(spans, "cancellation.confirm")
    assert confirm.context is not None
    within = [
        span
        for span in spans.get_finished_spans()
        if span.parent is not None and span.parent.span_id == confirm.context.span_id
    ]
    kinds = {span.name.split()[0] for span in within}
    assert "POST" in kinds
    assert kinds & {"UPDATE", "SELECT"}


def test_no_span_holds_an_address_beyond_its_host(world: World, spans: InMemorySpanExporter) -> None:
    accepted(world)
    world.drain()
    Gateway(world.database).client.post("/webhooks/xclaim/qqmark-token?key=qqmark", data=b"{}")

    told = [span for span in spans.get_finished_spans() if set(span.attributes or {}) & set(tracing.ADDRESSES)]
    addresses = {str((span.attributes or {}).get(name)) for span in told for name in tracing.ADDRESSES} - {"None"}
    assert told
    assert not any("qqmark" in str(dict(span.attributes or {})) for span in spans.get_finished_spans())
    assert not any("/partners/" in address or "bookings" in address for address in addresses), addresses


def test_each_message_of_the_celery_door_begins_a_trace(world: World, spans: InMemorySpanExporter) -> None:
    for number in range(2):
        celery_door.request(booking_id=f"B-{number}-INS", idempotency_key=f"k-{number}")

    recorded = {trace_of(span) for span in named(spans, "cancellations.request")}
    assert {trace_context.trace_id(row.traceparent) for row in world.rows()} == recorded
    assert len(recorded) == 2


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["unset", "disabled", "no exporter"],
)
def test_nothing_is_recorded_unless_somebody_says_where_to(
    variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tracing.NAMED_BY:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert tracing.switch_on("cfar-test") is False
    assert not tracing.is_on()
    with tracing.span("anything") as traceparent:
        assert trace_context.well_formed(traceparent)
        assert tracing.traceparent() is None
