"""The calls to ECS that the agent makes, within the API's limits for one call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from local.aws.ecs.errors import TaskProtected
from local.fargate.definition import TaskDefinition

# Limits of the API.
SERVICES_A_CALL, LISTED_SERVICES, TASKS_A_CALL, LAUNCHES_A_CALL = 10, 100, 100, 10
FROM_SERVICE = "SERVICE"
OF_SERVICE = "service:"  # how the group of a service's tasks begins
WAITING = "PROVISIONING"  # of a task that no agent has begun
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-local"], "securityGroups": []}}


class ControlPlane:
    """One cluster as its API describes it. Every call raises ClientError or BotoCoreError."""

    def __init__(self, ecs: Any, cluster: str) -> None:
        self._ecs, self.cluster = ecs, cluster
        self._definitions: dict[str, TaskDefinition] = {}

    def services(self) -> list[dict[str, Any]]:
        """Describe every service of the cluster."""
        arns = self._ecs.list_services(cluster=self.cluster, maxResults=LISTED_SERVICES)["serviceArns"]
        found: list[dict[str, Any]] = []
        for some in _chunks(arns, SERVICES_A_CALL):
            found += self._ecs.describe_services(cluster=self.cluster, services=some, include=["TAGS"])["services"]
        return found

    def definition(self, arn: str) -> TaskDefinition:
        """Return a task definition, which never changes."""
        if arn not in self._definitions:
            answer = self._ecs.describe_task_definition(taskDefinition=arn)
            self._definitions[arn] = TaskDefinition.of(answer["taskDefinition"])
        return self._definitions[arn]

    def launch(self, service: dict[str, Any], deployment: dict[str, Any], count: int) -> tuple[list[str], list[str]]:
        """Start tasks of a service's deployment, as many as one call can; return their ARNs, and reasons of failures.

        They get the service's tags if it propagates them.
        """
        strategy = deployment.get("capacityProviderStrategy")
        answer = self._ecs.run_task(
            cluster=self.cluster,
            taskDefinition=deployment["taskDefinition"],
            **({"capacityProviderStrategy": strategy} if strategy else {"launchType": "FARGATE"}),
            networkConfiguration=deployment.get("networkConfiguration") or NETWORK,
            startedBy=deployment["id"],
            group=f"{OF_SERVICE}{service['serviceName']}",
            tags=service["tags"] if service.get("propagateTags") == FROM_SERVICE else [],
            count=min(count, LAUNCHES_A_CALL),
        )
        failures = [str(failure.get("reason")) for failure in answer.get("failures") or ()]
        return [task["taskArn"] for task in answer["tasks"]], failures

    def started_alone(self, known: Collection[str]) -> list[dict[str, Any]]:
        """Describe the tasks that calls of RunTask started for no service, except those that are `known`."""
        pages = self._ecs.get_paginator("list_tasks").paginate(cluster=self.cluster, desiredStatus="RUNNING")
        new = [arn for page in pages for arn in page["taskArns"] if arn not in known]
        found: list[dict[str, Any]] = []
        for some in _chunks(new, TASKS_A_CALL):
            found += self._ecs.describe_tasks(cluster=self.cluster, tasks=some)["tasks"]
        return [t for t in found if t["lastStatus"] == WAITING and not str(t.get("group")).startswith(OF_SERVICE)]

    def stop(self, task: str, reason: str) -> bool:
        """Stop a task; return False if it has taken protection since it was chosen."""
        try:
            self._ecs.stop_task(cluster=self.cluster, task=task, reason=reason)
        except ClientError as error:
            if error.response["Error"]["Code"] != TaskProtected.code:
                raise
            return False
        return True

    def stopped(self, tasks: Sequence[str]) -> dict[str, str]:
        """Return the tasks that a client stopped through the API (StopTask), with the reasons."""
        found = {}
        for some in _chunks(tasks, TASKS_A_CALL):
            for task in self._ecs.describe_tasks(cluster=self.cluster, tasks=some)["tasks"]:
                if task["desiredStatus"] == "STOPPED":
                    found[task["taskArn"]] = task.get("stoppedReason") or "stopped through the API"
        return found

    def protected(self, tasks: Sequence[str]) -> set[str]:
        """Return the tasks that are protected from scale-in."""
        found = set()
        for some in _chunks(tasks, TASKS_A_CALL):
            answer = self._ecs.get_task_protection(cluster=self.cluster, tasks=some)
            found |= {p["taskArn"] for p in answer["protectedTasks"] if p["protectionEnabled"]}
        return found

    def submit(self, task: str, status: str, *, reason: str = "", exit_codes: Mapping[str, int] | None = None) -> None:
        """Report a task's new status, and the exit codes of its containers by their names."""
        ended = [{"containerName": name, "exitCode": code} for name, code in (exit_codes or {}).items()]
        self._ecs.submit_task_state_change(
            cluster=self.cluster, task=task, status=status, reason=reason, containers=ended
        )


def _chunks(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(items), size):
        yield list(items[first : first + size])
