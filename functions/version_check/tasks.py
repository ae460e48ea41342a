"""Asks ECS which members should report: one for every container of every task that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.aws import AWS_ERRORS, in_words
from shared.ecs import describe_services, live_deployments
from version_check.compare import Gap

# A service's containers that report, by the service's key in SERVICES; every other service is a pool of workers.
# (`migrate` ends before the others start.)
ROLES = {"airflow": ("webserver", "scheduler", "dag-processor", "triggerer"), "flower": ("flower",)}
POOL_ROLES = ("worker",)

TASKS_A_CALL = 100  # DescribeTasks takes no more
RUNNING = "RUNNING"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Ids of the members that should report, and what ECS could not say."""

    members: tuple[str, ...]
    gaps: tuple[Gap, ...]


def expected_members(ecs: Any, *, cluster: str, services: Mapping[str, str]) -> Expected:
    """Of `services`, {key: name or ARN}. Never raises for AWS: what it does not say is a gap."""
    gaps = _unsettled(ecs, cluster=cluster, services=services)
    members: list[str] = []
    for key, service in services.items():
        try:
            tasks = list(_running_tasks(ecs, cluster=cluster, service=service))
        except AWS_ERRORS as error:
            gaps.append(Gap(who=key, why=in_words(error)))
        else:
            members += (f"{task.rpartition('/')[2]}/{role}" for task in tasks for role in ROLES.get(key, POOL_ROLES))
    return Expected(members=tuple(members), gaps=tuple(gaps))


def _unsettled(ecs: Any, *, cluster: str, services: Mapping[str, str]) -> list[Gap]:
    """Services that cannot be described, or are in a rollout: what will run there has not reported yet."""
    described = describe_services(ecs, cluster=cluster, services=list(services.values()))
    gaps = []
    for key, service in services.items():
        entry = described[service]
        if isinstance(entry, str):
            gaps.append(Gap(who=key, why=entry))
        elif len(live_deployments(entry)) > 1:
            gaps.append(Gap(who=key, why="a deployment is rolling out"))
    return gaps


def _running_tasks(ecs: Any, *, cluster: str, service: str) -> Iterator[str]:
    """ARNs of the tasks whose containers run. Raises one of AWS_ERRORS."""
    arns: list[str] = []
    for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service):
        arns += page["taskArns"]
    for batch in _batches(arns, size=TASKS_A_CALL):
        for task in ecs.describe_tasks(cluster=cluster, tasks=batch)["tasks"]:
            if task["lastStatus"] == RUNNING:
                yield task["taskArn"]


def _batches(items: Sequence[str], *, size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
