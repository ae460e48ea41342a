"""Traces by OpenTelemetry: Airflow's own spans of sampled DAG runs, of the service `airflow` alone.

Airflow makes a run one trace: the scheduler sends the run's span, and the webserver each task's, from being queued to
its end. Whether a run is traced is decided once, when it is made.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from telemetry.delivery import TIMEOUT_S, Delivery
from telemetry.source import LAST_EXPORT_S, resource

# Spans that wait to be sent: 2,048 take some 4 MB. Further ones are dropped.
MOST_WAITING = 2048
MOST_A_REQUEST = 512
EVERY_MS = 5000
LONGEST_TEXT = 1024  # characters of an attribute


class Provider(TracerProvider):  # type: ignore[misc]
    """OpenTelemetry's provider, which a fork does not stop.

    OpenTelemetry's asks threads of a pool who the forked process is. The pool's lock is held at that moment if the pool
    was imported later than the provider was made: the forked process would never go on.
    """

    def _handle_fork(self) -> None:
        self._tracers_lock = threading.Lock()


class Exporter(OTLPSpanExporter):  # type: ignore[misc]  # not type-checked here, as Airflow
    """OpenTelemetry's exporter, which counts what it cannot deliver. `dropped`: spans that found no room to wait."""

    def __init__(self, delivery: Delivery, *, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(session=delivery, timeout=timeout_s)
        self._delivery, self.dropped = delivery, 0

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Send the spans."""
        result = super().export(spans)
        lost = 0 if result is SpanExportResult.SUCCESS else len(spans)
        dropped, self.dropped = self.dropped, 0
        if lost + dropped:
            self._delivery.note_failure(lost + dropped)
        return result


class Processor(BatchSpanProcessor):  # type: ignore[misc]
    """OpenTelemetry's processor, which drops the newest span when too many wait, and counts it."""

    def on_end(self, span: Any) -> None:
        """Let a span wait for the next request, if it is sampled."""
        waiting = self._batch_processor._queue
        if len(waiting) >= MOST_WAITING:
            self.span_exporter.dropped += 1
        else:
            super().on_end(span)


def install(share: float, *, delivery: Delivery, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> None:
    """Let this process send the spans of sampled runs. Airflow's `[traces] otel_on` must be off."""
    from airflow._shared.observability.traces import OverrideableRandomIdGenerator

    provider = Provider(
        sampler=ParentBased(TraceIdRatioBased(share)),
        # A run's span has the id that its tasks' spans name as their parent.
        id_generator=OverrideableRandomIdGenerator(),
        resource=resource(environment),
        span_limits=SpanLimits(max_attribute_length=LONGEST_TEXT),
        shutdown_on_exit=False,
    )
    processor = Processor(
        Exporter(delivery, timeout_s=timeout_s),
        max_queue_size=MOST_WAITING,
        max_export_batch_size=MOST_A_REQUEST,
        schedule_delay_millis=EVERY_MS,
    )
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    own = os.getpid()

    def send_last() -> None:
        if os.getpid() == own:  # not in a forked process
            processor._batch_processor.shutdown(timeout_millis=int(1000 * LAST_EXPORT_S))

    atexit.register(send_last)
