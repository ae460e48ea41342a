"""The forecaster's settings, with their defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from agent import variables
from fleet.pools import POOLS, read_pools
from roles.errors import ConfigurationError

# Of each: the default, the lowest, the highest.
LIMITS = {
    # Any boot ends within this.
    variables.FORECAST_MINUTES: ("15", 1, 60),
    variables.FORECAST_RUNS: ("10", 1, 100),
    # Measured: with less, tasks of later stages wait longer, and more costs more. Above 900 s there might be more pairs
    # than a reader believes.
    variables.FORECAST_WINDOW_S: ("30", 1, 900),
}


def forecast_settings(given: Mapping[str, str]) -> dict[str, str]:
    """What the forecaster reads; raises ConfigurationError for a number that cannot be meant."""
    settings = {name: given.get(name) or default for name, (default, _, _) in LIMITS.items()}
    for name, (_, lowest, highest) in LIMITS.items():
        number = _number(settings[name])
        if not lowest <= number <= highest:
            raise ConfigurationError(f"{name} is {settings[name]!r}, not a number from {lowest} to {highest}")
    pools = read_pools(given[POOLS])
    pool_of = {queue: pool.name for pool in pools for queue in pool.queues}
    return {**settings, variables.POOL_OF_QUEUE: json.dumps(pool_of, separators=(",", ":"))}


def _number(value: str) -> float:
    """Not a number where it is no whole one."""
    try:
        return int(value)
    except ValueError:
        return math.nan
