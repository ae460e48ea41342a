"""The forecaster's settings, with their defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from agent import variables
from fleet.pools import POOLS, read_pools
from roles.errors import ConfigurationError

# Each setting's default, minimum and maximum.
LIMITS = {
    # Every boot ends within this time.
    variables.FORECAST_MINUTES: ("15", 1, 60),
    variables.FORECAST_RUNS: ("10", 1, 100),
    # Measured: with less, tasks of later stages wait longer; more costs more. Above 900 s a forecast could have more
    # pairs than its readers accept.
    variables.FORECAST_WINDOW_S: ("30", 1, 900),
}


def forecast_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the forecaster's settings; raise ConfigurationError for a number outside its limits."""
    settings = {name: given.get(name) or default for name, (default, _, _) in LIMITS.items()}
    for name, (_, lowest, highest) in LIMITS.items():
        number = _number(settings[name])
        if not lowest <= number <= highest:
            raise ConfigurationError(f"{name} is {settings[name]!r}, not a number from {lowest} to {highest}")
    pools = read_pools(given[POOLS])
    pool_of = {queue: pool.name for pool in pools for queue in pool.queues}
    return {**settings, variables.POOL_OF_QUEUE: json.dumps(pool_of, separators=(",", ":"))}


def _number(value: str) -> float:
    """Return a whole number, or NaN for any other text."""
    try:
        return int(value)
    except ValueError:
        return math.nan
