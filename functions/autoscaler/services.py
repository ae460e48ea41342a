"""Reads the pools' ECS services and the deployments of their tasks; sets desired counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoscaler.observation import Deployment, Service, Unreadable
from fleet.pools import Pool
from shared.aws import AWS_ERRORS, in_words
from shared.ecs import Described, describe_services, describe_tasks, live_deployments
from shared.tags import is_paused, size_asleep

SERVICE = "service"
TASKS = "tasks"


def read_services(ecs: Any, *, cluster: str, pools: Sequence[Pool]) -> dict[str, Service | Unreadable]:
    """Read each pool's service, by the pool's name. Never raises for AWS."""
    described = describe_services(ecs, cluster=cluster, services=[pool.service for pool in pools], tags=True)
    return {pool.name: _service_of(described[pool.service]) for pool in pools}


def read_deployments(ecs: Any, *, cluster: str, task_arns: Iterable[str]) -> dict[str, str] | Unreadable:
    """Read the id of the deployment that started each task, by task ARN, without tasks that ECS does not know.

    All or nothing: with half a reply, workers would be taken for old or new at random. Never raises for AWS.
    """
    try:
        tasks = describe_tasks(ecs, cluster=cluster, tasks=task_arns)
    except AWS_ERRORS as error:
        return Unreadable(source=TASKS, why=in_words(error))
    return {task["taskArn"]: task["startedBy"] for task in tasks if task.get("startedBy")}


def set_desired(ecs: Any, *, cluster: str, pool: Pool, desired: int) -> None:
    """Set the desired count of the pool's service. Raises one of AWS_ERRORS."""
    ecs.update_service(cluster=cluster, service=pool.service, desiredCount=desired)


def _service_of(described: Described | str) -> Service | Unreadable:
    if isinstance(described, str):
        return Unreadable(source=SERVICE, why=described)
    try:
        return Service(
            desired=described["desiredCount"],
            running=described["runningCount"],
            pending=described["pendingCount"],
            deployments=tuple(
                Deployment(
                    id=deployment["id"],
                    status=deployment["status"],
                    task_definition=deployment["taskDefinition"],
                    running=deployment["runningCount"],
                )
                for deployment in live_deployments(described)
            ),
            paused=is_paused(described.get("tags", ())),
            asleep=size_asleep(described.get("tags", ())) is not None,
        )
    except KeyError as missing:
        return Unreadable(source=SERVICE, why=f"ECS's reply lacks {missing}")


class TaskDeployments:
    """Remembers which deployment started each task, so that ECS is asked about each task once.

    A task's deployment never changes, and reading DescribeTasks takes longer than the rest of a tick. Only the tasks
    asked for last are kept, by pool.
    """

    def __init__(self, ecs: Any, *, cluster: str) -> None:
        self._ecs, self._cluster = ecs, cluster
        self._known: dict[str, Mapping[str, str]] = {}

    def read(self, *, pool: str, task_arns: Iterable[str]) -> Mapping[str, str] | Unreadable:
        """Return deployments by task ARN. ECS is asked again about tasks it does not know. Never raises for AWS."""
        asked = list(task_arns)
        known = self._known.get(pool, {})
        unknown = [arn for arn in asked if arn not in known]
        answer = read_deployments(self._ecs, cluster=self._cluster, task_arns=unknown)
        if isinstance(answer, Unreadable):
            return answer
        found = {**known, **answer}
        self._known[pool] = {arn: found[arn] for arn in asked if arn in found}
        return self._known[pool]
