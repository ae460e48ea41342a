"""What the forecaster needs to know to add up what tasks cost."""

from __future__ import annotations

from collections.abc import Mapping

from agent import variables
from fleet.worker_price import VCPU_HOUR, read_sizes
from roles.errors import ConfigurationError


def cost_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return no setting: agent.costs reads the variables itself, which are checked here. Raises ConfigurationError."""
    try:
        read_sizes(given[variables.WORKER_SIZES])
    except ValueError as error:
        raise ConfigurationError(f"{variables.WORKER_SIZES}: {error}") from None
    if given[variables.WORKER_PROCESSOR] not in VCPU_HOUR:
        known = " or ".join(VCPU_HOUR)
        raise ConfigurationError(f"{variables.WORKER_PROCESSOR} is {given[variables.WORKER_PROCESSOR]!r}, not {known}")
    return {}
