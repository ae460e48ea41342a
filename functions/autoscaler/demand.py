"""How fast tasks end, from what the looks have seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

# A boot takes about this long (measured: 40-90 s), so what ended in such a time tells what will end in the next.
WINDOW_S = 60.0
MOST_SIGHTS = 64  # more than one a second of the window would teach nothing new


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What one look saw: at which time (Redis's), how many tasks waited or ran."""

    at: float
    demand: int


def remember(sights: Sequence[Sight], sight: Sight) -> tuple[Sight, ...]:
    """Those of the last minute with the newest, oldest first; a clock that went back forgets what is in its future."""
    recent = [past for past in sights if sight.at - WINDOW_S <= past.at < sight.at]
    return (*recent, sight)[-MOST_SIGHTS:]


def ended(sights: Sequence[Sight]) -> int:
    """Tasks that have ended between the sights, at least: an arrival between two of them hides an end."""
    demands = [sight.demand for sight in sights]
    return sum([before - after for before, after in itertools.pairwise(demands) if before > after])
