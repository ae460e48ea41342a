"""Reads from the stack's AWS API what Airflow has sent to CloudWatch and X-Ray."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.aws.otlp.receiver import TELEMETRY_PATH

TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class Series:
    """The last points of one series, oldest first: (seconds since the epoch, value, count or None).

    `source`: who sent it; `labels`: its own. The value of a histogram is the sum of its `count` values.
    """

    name: str
    kind: str
    unit: str
    source: Mapping[str, Any]
    labels: Mapping[str, Any]
    points: Sequence[tuple[float, float, int | None]]

    @property
    def last(self) -> tuple[float, float, int | None]:
        """The last point."""
        return self.points[-1]


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """`series`, `spans` as `local.aws.otlp.messages.Span` has them, and the number of requests by their path."""

    series: Sequence[Series]
    spans: Sequence[Mapping[str, Any]]
    requests: Mapping[str, int]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a counter over all who sent it, of the series with these labels."""
        return sum(s.last[1] for s in self.series if s.name == name and labels.items() <= s.labels.items())


def read_telemetry(endpoint: str) -> Telemetry:
    """Ask the API. Raises OSError when it does not answer."""
    with urllib.request.urlopen(endpoint + TELEMETRY_PATH, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the embedded API
        told: dict[str, Any] = json.load(answer)
    return Telemetry(series=tuple(_series(told["series"])), spans=told["spans"], requests=told["requests"])


def spoil(endpoint: str, trouble: int | str | None) -> None:
    """Let the endpoints answer with a status, or hang, until the next call; None: answer as they should.

    Raises OSError.
    """
    request = urllib.request.Request(endpoint + TELEMETRY_PATH, data=json.dumps(trouble).encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - the embedded API
        pass


def _series(told: Iterable[Mapping[str, Any]]) -> Iterable[Series]:
    for each in told:
        points = [(float(t), float(value), count) for t, value, count in each["points"]]
        yield Series(**{**each, "points": points})
