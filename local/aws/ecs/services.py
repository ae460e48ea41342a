"""A service with its deployments; counts are worked out from tasks, never stored."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.aws.ecs.capacity import LAUNCH_TYPE, STRATEGY
from local.aws.ecs.tasks import STARTING, Task

# A change of one of these rolls the tasks; of anything else (counts, capacity providers, deployment configuration,
# tags) it does not.
ROLLING = (
    "taskDefinition",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
    "platformVersion",
    "enableExecuteCommand",
    "propagateTags",
    "enableECSManagedTags",
    "serviceConnectConfiguration",
    "volumeConfigurations",
)
# Members of a request that are no properties of the service, or that are kept elsewhere.
_NOT_PROPERTIES = ("cluster", "service", "serviceName", "desiredCount", "forceNewDeployment", "clientToken", "role")
DEFAULT_DEPLOYMENT = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "strategy": "ROLLING",
}


@dataclass(kw_only=True)
class Deployment:
    id: str
    properties: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    failed_tasks: int = 0
    completed: bool = False


@dataclass(kw_only=True)
class Service:
    """`deployments` run from the newest, which is PRIMARY, to the oldest that still has tasks."""

    name: str
    arn: str
    cluster_arn: str
    created_at: datetime
    desired_count: int
    properties: dict[str, Any]
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)

    @property
    def group(self) -> str:
        return f"service:{self.name}"

    @property
    def _launch_type(self) -> str | None:
        """None where a strategy takes its place; an empty one leads back to it."""
        return None if self.properties.get(STRATEGY) else "FARGATE"

    def deploy(self, now: datetime) -> None:
        kept = {name: self.properties[name] for name in ROLLING if name in self.properties}
        number = random.randrange(10**18, 10**19)
        made = Deployment(id=f"ecs-svc/{number}", properties=kept, created_at=now, updated_at=now)
        self.deployments.insert(0, made)

    def update(self, request: Mapping[str, Any], now: datetime) -> None:
        """Takes over what the request names, and starts a deployment when the tasks must change."""
        new = properties_of(request)
        rolls = any(name in new and new[name] != self.properties.get(name) for name in ROLLING)
        self.properties.update(new)
        if request.get("desiredCount") is not None:
            self.desired_count = int(request["desiredCount"])
            self.deployments[0].updated_at = now
        if rolls or request.get("forceNewDeployment"):
            self.deploy(now)

    def settle(self, tasks: Sequence[Task], now: datetime) -> None:
        """Drops older deployments whose tasks are gone, and completes the newest once it alone has what is desired."""
        living = {task.started_by for task in tasks if task.living}
        self.deployments = [d for i, d in enumerate(self.deployments) if i == 0 or d.id in living]
        newest = self.deployments[0]
        running = sum(task.last_status == "RUNNING" for task in tasks if task.started_by == newest.id)
        if not newest.completed and len(self.deployments) == 1 and running == self.desired_count:
            # As in ECS it stays completed: scaling afterwards is no deployment.
            newest.completed, newest.updated_at = True, now

    def described(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """As DescribeServices gives it; `tasks` are the service's, stopped ones may be among them."""
        return {
            LAUNCH_TYPE: self._launch_type,
            "schedulingStrategy": "REPLICA",
            "loadBalancers": [],
            "serviceRegistries": [],
            "placementConstraints": [],
            "placementStrategy": [],
            "healthCheckGracePeriodSeconds": 0,
            "propagateTags": "NONE",
            "enableExecuteCommand": False,
            "enableECSManagedTags": False,
            "tags": [],
            "platformVersion": "LATEST",
            **self.properties,
            "deploymentConfiguration": {**DEFAULT_DEPLOYMENT, **self.properties.get("deploymentConfiguration", {})},
            "serviceName": self.name,
            "serviceArn": self.arn,
            "clusterArn": self.cluster_arn,
            "status": self.status,
            "createdAt": self.created_at,
            "desiredCount": self.desired_count,
            **_counts(tasks),
            "deployments": [
                self._describe_deployment(deployment, primary=index == 0, tasks=tasks)
                for index, deployment in enumerate(self.deployments)
            ],
            "events": [],
        }

    def _describe_deployment(self, deployment: Deployment, *, primary: bool, tasks: Sequence[Task]) -> dict[str, Any]:
        own = [task for task in tasks if task.started_by == deployment.id]
        state = "COMPLETED" if deployment.completed and primary else "IN_PROGRESS"
        return {
            LAUNCH_TYPE: self._launch_type,
            STRATEGY: self.properties.get(STRATEGY),
            **{k: v for k, v in deployment.properties.items() if k in _OF_DEPLOYMENT},
            "id": deployment.id,
            "status": "PRIMARY" if primary else "ACTIVE",
            "desiredCount": self.desired_count if primary else sum(task.wanted for task in own),
            **_counts(own),
            "failedTasks": deployment.failed_tasks,
            "createdAt": deployment.created_at,
            "updatedAt": deployment.updated_at,
            "rolloutState": state,
            "rolloutStateReason": f"ECS deployment {deployment.id} {state.lower().replace('_', ' ')}.",
        }


_OF_DEPLOYMENT = (
    "taskDefinition",
    "networkConfiguration",
    "platformVersion",
    "serviceConnectConfiguration",
    "volumeConfigurations",
)


def properties_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What of a CreateService or UpdateService request describes the service."""
    return {key: value for key, value in request.items() if key not in _NOT_PROPERTIES and value is not None}


def _counts(tasks: Sequence[Task]) -> dict[str, int]:
    return {
        "runningCount": sum(task.last_status == "RUNNING" for task in tasks),
        "pendingCount": sum(task.last_status in STARTING for task in tasks),
    }
