"""Reads the pools' ECS services; sets desired counts and revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoscaler.observation import Deployment, Service, Unreadable
from fleet.pools import Pool
from shared.answers import MalformedAnswer
from shared.ecs import Described, describe_services, live_deployments
from shared.tags import is_paused, retire_before, size_asleep

SERVICE = "service"


def read_services(ecs: Any, *, cluster: str, pools: Sequence[Pool]) -> dict[str, Service | Unreadable]:
    """Read each pool's service, by the pool's name. Never raises for AWS."""
    described = describe_services(ecs, cluster=cluster, services=[pool.service for pool in pools], tags=True)
    return {pool.name: _service_of(described[pool.service]) for pool in pools}


def set_desired(ecs: Any, *, cluster: str, pool: Pool, desired: int) -> None:
    """Set the desired count of the pool's service. Raises one of AWS_ERRORS, also when ECS confirms another count."""
    answer = ecs.update_service(cluster=cluster, service=pool.service, desiredCount=desired)
    if (confirmed := answer["service"]["desiredCount"]) != desired:
        raise MalformedAnswer(operation="UpdateService", what=f"with the desired count {confirmed}")


def set_revision(ecs: Any, *, cluster: str, pool: Pool, revision: str) -> None:
    """Let the pool's service start workers from a revision. Raises one of AWS_ERRORS, also when ECS confirms another.

    ECS begins a deployment, and none if the service has this revision already.
    """
    answer = ecs.update_service(cluster=cluster, service=pool.service, taskDefinition=revision)
    if (confirmed := answer["service"].get("taskDefinition", revision)) != revision:
        raise MalformedAnswer(operation="UpdateService", what=f"with the task definition {confirmed}")


def _service_of(described: Described | str) -> Service | Unreadable:
    if isinstance(described, str):
        return Unreadable(source=SERVICE, why=described)
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
                rollout_state=deployment.get("rolloutState", ""),
            )
            for deployment in live_deployments(described)
        ),
        paused=is_paused(described.get("tags", ())),
        asleep=size_asleep(described.get("tags", ())) is not None,
        retire_before=retire_before(described.get("tags", ())),
    )
