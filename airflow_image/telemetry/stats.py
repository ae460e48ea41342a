"""Airflow's statistics by OpenTelemetry, bounded: in their labels, in what a process holds, and in how long it ends.

Airflow can do it itself (`[metrics] otel_on`), but with all labels that it has, without a signature, in each process
that is forked, and with an export at the end that waits for the receiver.
"""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from airflow._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow._shared.observability.metrics.otel_logger import SafeOtelLogger
from airflow._shared.observability.metrics.validators import get_validator
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from telemetry.delivery import TIMEOUT_S, Delivery
from telemetry.names import Labels
from telemetry.source import LAST_EXPORT_S, resource

PREFIX = "airflow"
# Of a histogram. OpenTelemetry's 160 are five times as dear, and tell a time within 2 %; these within 40 %.
BUCKETS = 20


class Exporter(OTLPMetricExporter):  # type: ignore[misc]  # not type-checked here, as Airflow
    """OpenTelemetry's exporter, which counts what it cannot deliver."""

    def __init__(self, delivery: Delivery, *, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(session=delivery, timeout=timeout_s)
        self._delivery = delivery

    def export(self, metrics_data: Any, timeout_millis: float | None = None, **options: Any) -> MetricExportResult:
        """Send what was measured."""
        result = super().export(metrics_data, timeout_millis, **options)
        if result is not MetricExportResult.SUCCESS:
            self._delivery.note_failure(1)
        return result


class Provider(MeterProvider):  # type: ignore[misc]
    """OpenTelemetry's provider, of which a forked process makes no use: that has no statistics (see OneProcess).

    OpenTelemetry's would start threads there, and wait for a lock that no one frees (see `traces.Provider`).
    """

    def _handle_fork(self) -> None:
        """Do nothing."""


class Reader(PeriodicExportingMetricReader):  # type: ignore[misc]
    """OpenTelemetry's reader, without a thread in each process that is forked from this one."""

    def _at_fork_reinit(self) -> None:
        """Do nothing: what a forked process would send is a copy of this one's."""


class BoundedStats:
    """Airflow's logger of statistics, with fewer labels. `is_documented`: whether a metric of this name may be sent."""

    def __init__(self, logger: SafeOtelLogger, labels: Labels, is_documented: Callable[[str], bool]) -> None:
        self._logger, self._labels, self._is_documented = logger, labels, is_documented
        self._known: dict[str, bool] = {}

    def _is_sent(self, stat: str) -> bool:
        # Airflow's own check compares the name with a pattern, each time.
        if stat not in self._known:
            if len(self._known) > 10_000:
                return False
            self._known[stat] = self._is_documented(stat) and self._logger.metrics_validator.test(stat)
        return self._known[stat]

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: Mapping[str, Any] | None = None) -> None:
        """Add to a counter."""
        if self._is_sent(stat):
            self._logger.incr(stat, count, rate, tags=self._labels.kept(stat, tags))

    def decr(self, stat: str, count: int = 1, rate: float = 1, *, tags: Mapping[str, Any] | None = None) -> None:
        """Subtract from a counter."""
        if self._is_sent(stat):
            self._logger.decr(stat, count, rate, tags=self._labels.kept(stat, tags))

    def gauge(
        self, stat: str, value: float, rate: float = 1, delta: bool = False, *, tags: Mapping[str, Any] | None = None
    ) -> None:
        """Set a gauge. A pool without a limit has an infinite number of open slots, which has no point in OTLP."""
        if self._is_sent(stat) and math.isfinite(value):
            self._logger.gauge(stat, value, rate, delta, tags=self._labels.kept(stat, tags))

    def timing(self, stat: str, dt: Any, *, tags: Mapping[str, Any] | None = None) -> None:
        """Record a duration: a timedelta, or milliseconds."""
        if self._is_sent(stat):
            self._logger.timing(stat, dt, tags=self._labels.kept(stat, tags))

    def timer(self, stat: str | None = None, *, tags: Mapping[str, Any] | None = None, **_: Any) -> Any:
        """Return a timer, which records what it has measured."""
        if stat is None or not self._is_sent(stat):
            return self._logger.timer(None)
        return self._logger.timer(stat, tags=self._labels.kept(stat, tags))


def documented() -> Callable[[str], bool]:
    """Return whether Airflow's own registry, of which its documentation is made, has a name."""
    from airflow._shared.observability.metrics.metrics_registry import MetricsRegistry

    registry = MetricsRegistry()
    return lambda name: registry.get(name) is not None


def make_stats(
    choice: str,
    *,
    delivery: Delivery,
    allow_list: str | None,
    block_list: str | None,
    environment: Mapping[str, str],
    timeout_s: float = TIMEOUT_S,
) -> BoundedStats:
    """Return the process's logger of statistics, whose thread sends them."""
    reader = Reader(Exporter(delivery, timeout_s=timeout_s))
    view = View(instrument_type=metrics.Histogram, aggregation=ExponentialBucketHistogramAggregation(max_size=BUCKETS))
    provider = Provider(resource=resource(environment), metric_readers=[reader], views=[view], shutdown_on_exit=False)
    own = os.getpid()

    def send_last() -> None:
        if os.getpid() == own:  # not in a forked process
            provider.shutdown(timeout_millis=1000 * LAST_EXPORT_S)

    atexit.register(send_last)
    logger = SafeOtelLogger(provider, PREFIX, get_validator(allow_list, block_list))
    return BoundedStats(logger, Labels(choice), documented())


class OneProcess:
    """A factory of statistics for the process that makes it; one that is forked from it has none."""

    def __init__(self, make: Callable[[], BoundedStats]) -> None:
        self._make, self._process = make, os.getpid()

    def __call__(self) -> BoundedStats | NoStatsLogger:
        """Return the logger for the calling process."""
        return self._make() if os.getpid() == self._process else NoStatsLogger()
