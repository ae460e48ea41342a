"""Decides which span of time is added up next, and what the workers of a span cost.

Pure. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleet.attribution import Use
from fleet.costs import DAY_S, Day
from fleet.worker_price import WorkerSize

# A task's end reaches the database a moment after it, and a sample of the autoscaler within half a minute.
LAG_S = 45.0
SHORTEST_S = 45.0  # of a span of the present day; the forecaster ticks each minute
LONGEST_S = float(DAY_S)
HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a day, in seconds since the epoch."""

    day: Day
    begin: float
    end: float


def next_span(days: Iterable[Day], *, now: float, longest_s: float = LONGEST_S) -> Span | None:
    """Return what is to be added next: the rest of the first of the days that is behind, or None."""
    until = now - LAG_S
    for day in days:
        end = min(float(day.end), until)
        is_whole = end == day.end
        if end - day.until >= (0 if is_whole else SHORTEST_S) and end > day.until:
            return Span(day=day, begin=day.until, end=min(end, day.until + longest_s))
    return None


def usd_of(use: Use, size: WorkerSize, processor: str, *, lasted_s: float) -> float:
    """Return the dollars of a pool's workers for a use of this length. Raises KeyError for an unknown processor."""
    return use.worker_s / HOUR_S * size.usd_an_hour(processor, workers=use.worker_s / lasted_s)
