"""Decodes OTLP's requests with metrics and traces. The fields' numbers are those of the protocol, version 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aws.otlp.wire import Message

GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM = "gauge", "sum", "histogram", "exponential histogram"
# Kind -> its field in a metric, and the field of a point with its labels.
KINDS = {GAUGE: (5, 7), SUM: (7, 7), HISTOGRAM: (9, 9), EXPONENTIAL_HISTOGRAM: (10, 1)}
NS = 1_000_000_000
ERROR = 2  # a span's status code

Labels = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a metric. `t`: seconds since the epoch. `value`: of a histogram the sum of its `count` values."""

    name: str
    kind: str
    unit: str
    source: Labels
    labels: Labels
    t: float
    value: float
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span of a trace; ids in hexadecimal, `parent` empty for a root. Times in seconds since the epoch."""

    trace: str
    id: str
    parent: str
    name: str
    start: float
    end: float
    source: Labels
    attributes: Labels
    is_error: bool
    events: tuple[str, ...] = field(default=())


def points_of(body: bytes) -> Iterator[Point]:
    """Yield the points of a request with metrics. Raises BadMessage."""
    for of_source in Message(body).messages(1):
        source = _labels(of_source.message(1), 1)
        for scope in of_source.messages(2):
            for metric in scope.messages(2):
                for kind, (number, labels) in KINDS.items():
                    for point in metric.message(number).messages(1):
                        yield _point(metric, kind, point, source=source, labels=_labels(point, labels))


def _point(metric: Message, kind: str, point: Message, *, source: Labels, labels: Labels) -> Point:
    is_histogram = kind in (HISTOGRAM, EXPONENTIAL_HISTOGRAM)
    value = point.double(4) if 4 in point else float(point.signed(6))
    return Point(
        name=metric.text(1),
        kind=kind,
        unit=metric.text(3),
        source=source,
        labels=labels,
        t=point.integer(3) / NS,
        value=point.double(5) if is_histogram else value,
        count=point.integer(4) if is_histogram else None,
    )


def spans_of(body: bytes) -> Iterator[Span]:
    """Yield the spans of a request with traces. Raises BadMessage."""
    for of_source in Message(body).messages(1):
        source = _labels(of_source.message(1), 1)
        for scope in of_source.messages(2):
            for span in scope.messages(2):
                yield Span(
                    trace=span.bytes(1).hex(),
                    id=span.bytes(2).hex(),
                    parent=span.bytes(4).hex(),
                    name=span.text(5),
                    start=span.integer(7) / NS,
                    end=span.integer(8) / NS,
                    source=source,
                    attributes=_labels(span, 9),
                    is_error=span.message(15).integer(3) == ERROR,
                    events=tuple(event.text(2) for event in span.messages(11)),
                )


def _labels(message: Message, number: int) -> dict[str, Any]:
    return {pair.text(1): _value(pair.message(2)) for pair in message.messages(number)}


def _value(value: Message) -> Any:
    if 2 in value:
        return bool(value.integer(2))
    if 3 in value:
        return value.signed(3)
    if 4 in value:
        return value.double(4)
    return value.text(1)
