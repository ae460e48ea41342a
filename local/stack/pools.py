"""Reads which worker pools the deployed stack declares."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.pools import POOLS, Pool, read_pools
from project.clients import Clients
from project.errors import CommandError

SERVICE_OUTPUT = "AirflowServiceName"


def declared_pools(clients: Clients, outputs: Mapping[str, str]) -> tuple[Pool, ...]:
    """Return the pools that the deployed service `airflow` is given. Raises CommandError when it is given none."""
    ecs = clients.ecs
    names = {"cluster": outputs["ClusterName"], "services": [outputs[SERVICE_OUTPUT]]}
    (service,) = ecs.describe_services(**names)["services"]
    definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    for container in definition["containerDefinitions"]:
        for variable in container["environment"]:
            if variable["name"] == POOLS:
                return read_pools(variable["value"])
    raise CommandError(f"no container of the service airflow has the variable {POOLS}")
