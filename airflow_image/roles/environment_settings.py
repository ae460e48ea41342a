"""Reads Airflow's settings of an environment from the variables of the task definition."""

from __future__ import annotations

import re
from collections.abc import Mapping

from roles.errors import ConfigurationError
from roles.owned_settings import why_owned

# For tasks and the service airflow, and for the service airflow alone.
TASK_SETTINGS, AIRFLOW_SETTINGS = "TASK_SETTINGS", "AIRFLOW_SETTINGS"
VARIABLES = (TASK_SETTINGS, AIRFLOW_SETTINGS)
_LINE = re.compile(r"(AIRFLOW__[A-Z0-9_]+__[A-Z0-9_]+)=(.*)")


def parse_settings(text: str) -> dict[str, str]:
    """Return the settings in lines AIRFLOW__SECTION__OPTION=value. Raises ConfigurationError, without any value."""
    settings: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ConfigurationError(f"line {number} is not AIRFLOW__SECTION__OPTION=value")
        name, value = match.groups()
        if name in settings:
            raise ConfigurationError(f"line {number}: {name} is there twice")
        settings[name] = value
    return settings


def with_environment_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the environment's settings, which override the image's, in their place.

    Raises ConfigurationError for one that is not an environment's to decide.
    """
    merged = {name: value for name, value in given.items() if name not in VARIABLES}
    for variable in VARIABLES:
        try:
            settings = parse_settings(given.get(variable, ""))
        except ConfigurationError as error:
            raise ConfigurationError(f"{variable}: {error}") from None
        for name in settings:
            if reason := why_owned(name):
                raise ConfigurationError(f"{variable}: {name} cannot be set: {reason}")
        merged.update(settings)
    return merged
