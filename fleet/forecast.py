"""A pool's forecast as the registry holds it; agent.forecaster.forecast defines its meaning."""

from __future__ import annotations

import json
from typing import Any

from fleet.validation import LATEST_S

# The forecaster writes each minute. After two missed writes its last forecast must no longer count.
FORECAST_TTL_S = 180
MOST_FORECAST_PAIRS = 5_000  # one a second for an hour is 3,600
MOST_FORECAST_SLOTS = 1_000_000  # far beyond any pool's maximum

Forecast = tuple[tuple[int, int], ...]
"""Pairs of (seconds since the epoch, slots), ascending by time, no time twice."""


def parse_forecast(raw: bytes | str | None) -> Forecast | None:
    """Return the forecast stored as `raw`, ascending by time, or None if there is none.

    An empty forecast is not None: it says that nothing is due. Raises ValueError for an invalid forecast. That is no
    reason to keep the current size: without a forecast the autoscaler uses the measured demand.
    """
    if raw is None:
        return None
    try:
        pairs = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("the forecast is not JSON") from None
    if not isinstance(pairs, list) or len(pairs) > MOST_FORECAST_PAIRS:
        raise ValueError(f"the forecast is not a list of at most {MOST_FORECAST_PAIRS} pairs")
    for pair in pairs:
        if not _is_forecast_pair(pair):
            raise ValueError(f"the forecast holds {pair!r:.80}")
    if len({at for at, _ in pairs}) < len(pairs):
        raise ValueError("the forecast names a time twice")
    return tuple(sorted((at, slots) for at, slots in pairs))


def _is_forecast_pair(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(number) is int for number in pair):
        return False
    at, slots = pair
    return 0 < int(at) <= LATEST_S and 1 <= int(slots) <= MOST_FORECAST_SLOTS
