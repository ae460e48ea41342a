"""Computes whether the database accepts the connections that an environment's containers may open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent import variables
from roles.web_processes import CONNECTIONS_A_PROCESS, processes
from stack.sections.airflow_containers import memory_share_mib
from stack.sections.connections import WEBSERVER

MIB = 1024 * 1024
# RDS's default: max_connections is the memory that it leaves to Postgres, divided by this, up to a maximum.
BYTES_A_CONNECTION = 9_531_392
MOST_CONNECTIONS = 5000
# Of a server's memory: what RDS and the operating system keep. Servers of 1, 2 and 8 GiB accept some 87, 198 and 896.
KEPT_MIB = 256
# Kept back for RDS, for Postgres's superuser, and for operators.
RESERVED = 10
# The second set of ECS tasks while a deployment replaces the first.
SETS_IN_DEPLOYMENT = 2
# Connections that the containers beside the webserver may open: they work in a few threads. Health checks open theirs.
OTHERS = {"scheduler": 5, "dag-processor": 5, "triggerer": 5, "forecaster": 1, "checks": 4}
EVENTS = 1  # where events are sent
_CLASS = re.compile(r"db\.(?P<family>[a-z]+)[a-z0-9-]*\.(?P<size>[a-z0-9]+)")
_SMALL_GIB = {"micro": 1.0, "small": 2.0}
_GIB_A_VCPU = {"c": 2, "m": 4, "r": 8, "t": 4, "x": 16, "z": 8}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`needed`: by the containers, at most, in a deployment. `accepted`: by the server; None for an unknown class."""

    instance_class: str
    copies: int
    needed: int
    accepted: int | None
    alarm: int

    @property
    def faults(self) -> list[str]:
        """What cannot work, a line each, with what to do."""
        if self.accepted is None:
            return []
        found = []
        if self.needed > self.accepted:
            found.append(
                f"{self.copies} copies of airflow open up to {self.needed} database connections in a deployment, and "
                f"{self.instance_class} accepts some {self.accepted}: choose a larger DatabaseInstanceClass or a "
                "smaller AirflowMax"
            )
        if self.alarm >= self.accepted:
            found.append(
                f"DatabaseConnectionsAlarm is {self.alarm}, and {self.instance_class} accepts some {self.accepted}: "
                "choose a smaller number, or the alarm never begins"
            )
        return found

    def __str__(self) -> str:
        if self.accepted is None:
            return f"database connections: up to {self.needed} needed; not compared, {self.instance_class} is unknown"
        return f"database connections: up to {self.needed} of {self.accepted}"


def connection_budget(values: Mapping[str, str]) -> Budget:
    """Return the budget of an environment; `values` are its parameters with their defaults."""
    copies = int(values["AirflowMax"])
    size = {
        variables.CPU_UNITS: values["AirflowCpu"],
        variables.MEMORY_MIB: str(
            memory_share_mib(WEBSERVER, int(values["AirflowMemory"]), has_events=bool(values.get("EventBus")))
        ),
    }
    events = EVENTS if values.get("EventBus") else 0
    a_copy = processes(size) * CONNECTIONS_A_PROCESS + sum(OTHERS.values()) + events
    return Budget(
        instance_class=values["DatabaseInstanceClass"],
        copies=copies,
        needed=SETS_IN_DEPLOYMENT * copies * a_copy + RESERVED,
        accepted=accepted_connections(values["DatabaseInstanceClass"]),
        alarm=int(values["DatabaseConnectionsAlarm"]),
    )


def accepted_connections(instance_class: str) -> int | None:
    """Return about how many connections a class accepts; None if its memory does not follow from its name."""
    gib = _memory_gib(instance_class)
    if gib is None:
        return None
    return min(int((gib * 1024 - KEPT_MIB) * MIB / BYTES_A_CONNECTION), MOST_CONNECTIONS)


def _memory_gib(instance_class: str) -> float | None:
    match = _CLASS.fullmatch(instance_class)
    if match is None or match["family"][0] not in _GIB_A_VCPU:
        return None
    family, size = match["family"][0], match["size"]
    if family == "t" and size in _SMALL_GIB:
        return _SMALL_GIB[size]
    # A medium server of the family t has two vCPUs as a large one has, and half its memory.
    vcpus = {"medium": 1, "large": 2, "xlarge": 4}.get(size)
    if vcpus is None and (times := re.fullmatch(r"(\d+)xlarge", size)):
        vcpus = 4 * int(times[1])
    return None if vcpus is None else float(vcpus * _GIB_A_VCPU[family])
