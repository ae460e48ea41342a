"""Describe ECS services and tasks; a service that cannot be described comes with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from shared.answers import MalformedAnswer
from shared.aws import AWS_ERRORS, in_words

SERVICES_A_CALL = 10  # DescribeServices takes no more
TASKS_A_CALL = 100  # DescribeTasks takes no more
ACTIVE = "ACTIVE"
# Deployments that still have tasks, the current one first; others (INACTIVE) are history.
LIVE_DEPLOYMENTS = ("PRIMARY", "ACTIVE")
MISSING = "MISSING"  # the reason of a failure: there is no such task
IN_PROGRESS = "IN_PROGRESS"  # a deployment's rollout state until it is steady, or has failed

Described = Mapping[str, Any]


def describe_services(
    ecs: Any, *, cluster: str, services: Sequence[str], tags: bool = False
) -> dict[str, Described | str]:
    """Return each active service by the name or ARN given; for the others, the reason in words.

    One call describes ten services. A call that fails is the reason for its ten and does not affect the others.
    """
    include: dict[str, Any] = {"include": ["TAGS"]} if tags else {}
    found: dict[str, Described | str] = {}
    left = iter(services)
    while batch := list(islice(left, SERVICES_A_CALL)):
        try:
            answer = ecs.describe_services(cluster=cluster, services=batch, **include)
        except AWS_ERRORS as error:
            found |= dict.fromkeys(batch, in_words(error))
        else:
            found |= {service: _found(service, answer) for service in batch}
    return found


def describe_tasks(ecs: Any, *, cluster: str, tasks: Iterable[str]) -> list[Described]:
    """Return the descriptions of those ECS tasks that exist. Raises one of AWS_ERRORS.

    ECS names a task that does not exist as a failure. An answer that leaves a task out tells nothing about it.
    """
    found: list[Described] = []
    left = iter(tasks)
    while batch := list(islice(left, TASKS_A_CALL)):
        answer = ecs.describe_tasks(cluster=cluster, tasks=batch)
        named = [task["taskArn"] for task in answer["tasks"]]
        named += [failed.get("arn", "") for failed in answer.get("failures", ()) if failed.get("reason") == MISSING]
        if left_out := {_last_part(task) for task in batch} - set(map(_last_part, named)):
            raise MalformedAnswer(operation="DescribeTasks", what=f"without {len(left_out)} of {len(batch)} ECS tasks")
        found += answer["tasks"]
    return found


def running_tasks(ecs: Any, *, cluster: str, service: str) -> list[str]:
    """Return the ARNs of the ECS tasks that ECS wants to run. Raises one of AWS_ERRORS."""
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service)
    return [arn for page in pages for arn in page["taskArns"]]


def with_time(name: str, tasks: list[Described], *, status: str | None = None) -> list[Described]:
    """Return the tasks. Raises MalformedAnswer when ECS does not say a time of one, or of one in this status."""
    if any(name not in task for task in tasks if status in (None, task["lastStatus"])):
        raise MalformedAnswer(operation="DescribeTasks", what=f"without {name} of an ECS task")
    return tasks


def live_deployments(described: Described) -> list[Mapping[str, Any]]:
    """Return the deployments that still have tasks: more than one during a rollout."""
    return [deployment for deployment in described["deployments"] if deployment["status"] in LIVE_DEPLOYMENTS]


def is_rolling_out(described: Described) -> bool:
    """Return whether tasks of an older deployment are left, or the newest deployment is not steady yet."""
    live = live_deployments(described)
    return len(live) > 1 or any(deployment.get("rolloutState") == IN_PROGRESS for deployment in live)


def _found(service: str, answer: Mapping[str, Any]) -> Described | str:
    for described in answer.get("services", ()):
        if service in (described.get("serviceName"), described.get("serviceArn")):
            if (status := described.get("status")) != ACTIVE:
                return f"the service {service} is {status}"
            return described if live_deployments(described) else f"ECS returned no deployment of the service {service}"
    for failure in answer.get("failures", ()):
        if _last_part(failure.get("arn", "")) == _last_part(service):
            return f"the service {service} is {failure.get('reason')}"
    return f"ECS did not return the service {service}"


def _last_part(arn: str) -> str:
    """Return the id of a task or the name of a service, which may be given by its ARN."""
    return arn.rpartition("/")[2]
