"""A service with its deployments; counts are computed from tasks and never stored."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.aws.ecs.capacity import LAUNCH_TYPE, STRATEGY
from local.aws.ecs.tasks import STARTING, Task

# A change of one of these starts a deployment. A change of anything else (counts, capacity providers, deployment
# configuration, tags) does not.
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
# Members of a request that are no properties of the service, or that are stored elsewhere.
_NOT_PROPERTIES = ("cluster", "service", "serviceName", "desiredCount", "forceNewDeployment", "clientToken", "role")
# The circuit breaker's threshold: half of the desired count, within these.
LEAST_FAILURES, MOST_FAILURES = 3, 200
DEFAULT_DEPLOYMENT = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "strategy": "ROLLING",
}


@dataclass(kw_only=True)
class Deployment:
    """A deployment of a service, with the properties that its tasks have."""

    id: str
    properties: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    failed_tasks: int = 0
    completed: bool = False
    failed: bool = False


@dataclass(kw_only=True)
class Service:
    """A service. Its first deployment is the newest, which is PRIMARY; the others still have tasks."""

    name: str
    arn: str
    cluster_arn: str
    created_at: datetime
    desired_count: int
    properties: dict[str, Any]
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)
    last_completed: Deployment | None = None

    @property
    def group(self) -> str:
        """The group of the service's tasks."""
        return f"service:{self.name}"

    @property
    def _launch_type(self) -> str | None:
        """The launch type; None if a capacity provider strategy takes its place."""
        return None if self.properties.get(STRATEGY) else "FARGATE"

    def deploy(self, now: datetime) -> None:
        """Start a deployment."""
        kept = {name: self.properties[name] for name in ROLLING if name in self.properties}
        number = random.randrange(10**18, 10**19)
        made = Deployment(id=f"ecs-svc/{number}", properties=kept, created_at=now, updated_at=now)
        self.deployments.insert(0, made)

    def update(self, request: Mapping[str, Any], now: datetime) -> None:
        """Take over the request's properties, and start a deployment if the tasks must change."""
        new = properties_of(request)
        rolls = any(name in new and new[name] != self.properties.get(name) for name in ROLLING)
        self.properties.update(new)
        if request.get("desiredCount") is not None:
            self.desired_count = int(request["desiredCount"])
            self.deployments[0].updated_at = now
        if rolls or request.get("forceNewDeployment"):
            self.deploy(now)

    def settle(self, tasks: Sequence[Task], now: datetime) -> None:
        """Drop older deployments without tasks, and complete the newest once it alone runs the desired count."""
        living = {task.started_by for task in tasks if task.living}
        newest = self.deployments[0]
        # What failed is shown until what it is rolled back to has completed.
        self.deployments = [
            d for d in self.deployments if d is newest or d.id in living or (d.failed and not newest.completed)
        ]
        others = [d for d in self.deployments if d is not newest and not (d.failed and d.id not in living)]
        running = sum(task.last_status == "RUNNING" for task in tasks if task.started_by == newest.id)
        if not newest.completed and not newest.failed and not others and running == self.desired_count:
            # As in ECS, it stays completed: later scaling is no deployment.
            newest.completed, newest.updated_at = True, now
            self.deployments, self.last_completed = [newest], newest

    def count_failure(self, deployment: Deployment, now: datetime) -> None:
        """Count a task that failed to start; after some, the circuit breaker fails the deployment and may roll back."""
        deployment.failed_tasks += 1
        breaker = self.properties.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
        is_newest = deployment is self.deployments[0]
        threshold = min(max(LEAST_FAILURES, math.ceil(self.desired_count / 2)), MOST_FAILURES)
        if not breaker.get("enable") or not is_newest or deployment.completed or deployment.failed_tasks < threshold:
            return
        deployment.failed, deployment.updated_at = True, now
        if breaker.get("rollback") and self.last_completed is not None:
            self.properties.update(self.last_completed.properties)
            self.deploy(now)

    def described(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """Return the service as DescribeServices gives it; `tasks` are the service's, with or without stopped ones."""
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
        state = "FAILED" if deployment.failed else state
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
    """Return the part of a CreateService or UpdateService request that describes the service."""
    return {key: value for key, value in request.items() if key not in _NOT_PROPERTIES and value is not None}


def _counts(tasks: Sequence[Task]) -> dict[str, int]:
    return {
        "runningCount": sum(task.last_status == "RUNNING" for task in tasks),
        "pendingCount": sum(task.last_status in STARTING for task in tasks),
    }
