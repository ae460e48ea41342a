"""Keeps Airflow's OpenLineage provider out of processes that tell no lineage.

Airflow imports the plugins of all installed packages in each of its processes, and asks them later what they are for.
This one's takes a third of a second and 20 MiB, in every process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

GROUP, PLUGIN = "airflow.plugins", "openlineage"
# How the variables begin that tell the provider of a receiver. Without any it does nothing, whatever else is set.
PREFIXES = (
    *("AIRFLOW__OPENLINEAGE__TRANSPORT", "AIRFLOW__OPENLINEAGE__CONFIG_"),
    *("OPENLINEAGE__TRANSPORT", "OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"),
)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names a receiver; the provider then decides itself."""
    return any(name.startswith(PREFIXES) and value for name, value in environment.items())


def install(environment: Mapping[str, str] = os.environ) -> None:
    """Do so in this process, before Airflow loads plugins.

    Raises AttributeError if Airflow finds plugins in another way than this module was written for.
    """
    if is_wanted(environment):
        return
    # The same code twice: Airflow's core and its part for tasks each have a copy.
    from airflow._shared import module_loading as of_core
    from airflow.sdk._shared import module_loading as of_tasks

    for module in (of_core, of_tasks):
        module.entry_points_with_dist = _without_lineage(module.entry_points_with_dist)


def _without_lineage(find: Callable[[str], Iterator[Any]]) -> Callable[[str], Iterator[Any]]:
    def entry_points_with_dist(group: str) -> Iterator[Any]:
        for entry_point, dist in find(group):
            if (group, entry_point.name) != (GROUP, PLUGIN):
                yield entry_point, dist

    return entry_points_with_dist
