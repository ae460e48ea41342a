"""Reads the targets of schedules of EventBridge Scheduler that run ECS tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RUNS_TASKS = ":cluster/"  # in the ARN of a target that runs an ECS task


def run_task_of(target: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ECS's RunTask with which Scheduler calls a target, as its API describes it."""
    given = target["EcsParameters"]
    network = given["NetworkConfiguration"]["awsvpcConfiguration"]
    vpc = {
        "subnets": network["Subnets"],
        "securityGroups": network["SecurityGroups"],
        "assignPublicIp": network["AssignPublicIp"],
    }
    return {
        "cluster": target["Arn"],
        "taskDefinition": given["TaskDefinitionArn"],
        "launchType": given["LaunchType"],
        "count": given["TaskCount"],
        "networkConfiguration": {"awsvpcConfiguration": vpc},
    }
