"""The forecaster's settings, with their defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from agent import variables
from fleet.pools import POOLS, read_pools
from fleet.work import DEFAULT_LIMITS, LIMITS, parse_limits
from roles.errors import ConfigurationError

# Each setting's default, minimum and maximum.
NUMBERS = {
    # Every boot ends within this time; 0 for no forecast.
    variables.FORECAST_MINUTES: ("15", 0, 60),
    variables.FORECAST_RUNS: ("10", 1, 100),
    # Measured: with less, tasks of later stages wait longer; more costs more. Above 900 s a forecast could have more
    # pairs than its readers accept.
    variables.FORECAST_WINDOW_S: ("30", 1, 900),
}


def forecast_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the forecaster's settings; raise ConfigurationError for a number outside its limits, or other limits."""
    settings = {name: given.get(name) or default for name, (default, _, _) in NUMBERS.items()}
    for name, (_, lowest, highest) in NUMBERS.items():
        number = _number(settings[name])
        if not lowest <= number <= highest:
            raise ConfigurationError(f"{name} is {settings[name]!r}, not a number from {lowest} to {highest}")
    limits = given.get(LIMITS) or DEFAULT_LIMITS
    try:
        parse_limits(limits)
    except ValueError as error:
        raise ConfigurationError(f"{LIMITS}: {error}") from None
    pools = read_pools(given[POOLS])
    pool_of = {queue: pool.name for pool in pools for queue in pool.queues}
    return {**settings, LIMITS: limits, variables.POOL_OF_QUEUE: json.dumps(pool_of, separators=(",", ":"))}


def _number(value: str) -> float:
    """Return a whole number, or NaN for any other text."""
    try:
        return int(value)
    except ValueError:
        return math.nan
