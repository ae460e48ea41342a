"""Reads what the Fleet page shows, and the autoscaler's last decisions, from the running stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from agent.page.reader import read_fleet, read_history
from fleet.pools import POOLS, Pool, read_pools
from local.stack.up import Stack
from local.ui.decisions import Repeated, find, without_repetition
from local.ui.decisions_view import note_of
from project.errors import CommandError

LAST = 8  # decisions, those that repeat themselves as one
LOOKED_THROUGH = 200  # decisions of each pool; most say the same as the one before
SERVICE_OUTPUT = "AirflowServiceName"


@dataclass(frozen=True, kw_only=True)
class Look:
    """One moment: `fleet` and `past` as the page's endpoints answer; decisions, the latest at the end, and a note."""

    fleet: dict[str, Any]
    past: dict[str, Any]
    decisions: tuple[Repeated, ...]
    note: str = ""


def take(broker: redis.Redis, pools: Sequence[Pool]) -> Look:
    """What is now. Raises redis.RedisError when Redis does not answer."""
    found = find(broker, LOOKED_THROUGH)
    return Look(
        fleet=read_fleet(broker, pools),
        past=read_history(broker, pools),
        decisions=tuple(without_repetition(found.decisions)[-LAST:]),
        note=note_of(found.unreadable),
    )


def declared_pools(stack: Stack) -> tuple[Pool, ...]:
    """The pools as the service `airflow` was told of them."""
    ecs = stack.clients.ecs
    names = {"cluster": stack.outputs["ClusterName"], "services": [stack.outputs[SERVICE_OUTPUT]]}
    (service,) = ecs.describe_services(**names)["services"]
    definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    for container in definition["containerDefinitions"]:
        for variable in container["environment"]:
            if variable["name"] == POOLS:
                return read_pools(variable["value"])
    raise CommandError(f"no container of the service airflow is told its {POOLS}")
