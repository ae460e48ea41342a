"""Computes the connections to the database of each environment at its largest size, from its deployed template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.pools import POOLS, read_pools, total_slots
from local.stack.connection_budget import SETS_IN_DEPLOYMENT, accepted_connections
from ops.cost.resolved import read_template
from project.errors import CommandError
from roles import web_processes

ENVIRONMENTS = ("dev", "qa", "prd")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What an environment may use: `copies` of the service airflow, each with `processes` for its webserver.

    `slots`: tasks that run at once at WorkerMax. `needed`: connections at WorkerMax and AirflowMax in a deployment, of
    which the database allows `allowed`.
    """

    environment: str
    slots: int
    copies: int
    processes: int
    needed: int
    allowed: int


def budget(environment: str, *, of_process: int, of_roles: Mapping[str, int]) -> Budget:
    """Return the budget if a process of the webserver takes `of_process` connections, and the other roles these.

    Workers have no connection to the database. Raises CommandError for an environment that cannot be read.
    """
    resources = read_template(environment, None)["Resources"]
    containers = resources["AirflowTaskDefinition"]["Properties"]["ContainerDefinitions"]
    (webserver,) = (each for each in containers if each["Name"] == "webserver")
    variables = {each["Name"]: str(each["Value"]) for each in webserver["Environment"]}
    processes = web_processes.processes(variables)
    copies = int(resources["AirflowCopies"]["Properties"]["MaxCapacity"])
    instance_class = resources["Database"]["Properties"]["DBInstanceClass"]
    allowed = accepted_connections(instance_class)
    if allowed is None:
        raise CommandError(f"{environment}: how many connections {instance_class} accepts is unknown")
    return Budget(
        environment=environment,
        slots=total_slots(read_pools(variables[POOLS])),
        copies=copies,
        processes=processes,
        needed=SETS_IN_DEPLOYMENT * copies * (processes * of_process + sum(of_roles.values())),
        allowed=allowed,
    )
