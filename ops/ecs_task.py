"""Runs the ECS task that a schedule of the stack starts, with another command or other variables, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from project.schedules import run_task_of

SCHEDULE = "CleanScheduleName"  # the output with the schedule's name
CONTAINER = "clean"
ASK_EVERY_S = 3.0


class NotRun(Exception):
    """The ECS task did not start, or its end is unknown; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The exit code of the container, and the lines of its log."""

    exit_code: int
    log: Sequence[str]


class EcsTask:
    """The schedule's target: its cluster, network and task definition."""

    def __init__(
        self,
        *,
        client: Callable[[str], Any],
        schedule: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read the schedule. `client` returns one of an API by its name. Raises what boto3 raises."""
        self._ecs, self._logs = client("ecs"), client("logs")
        self._arguments = run_task_of(client("scheduler").get_schedule(Name=schedule)["Target"])
        self._say, self._clock, self._sleep = say, clock, sleep

    def run(self, variables: Mapping[str, str], *, command: Sequence[str] = (), seconds: float) -> Ended:
        """Start it, with these in place of the task definition's, and wait for its end.

        Raises NotRun when it does not start or has not ended in time, and what boto3 raises.
        """
        overridden: dict[str, Any] = {"name": CONTAINER}
        overridden["environment"] = [{"name": name, "value": value} for name, value in variables.items()]
        if command:
            overridden["command"] = list(command)
        answer = self._ecs.run_task(**self._arguments, overrides={"containerOverrides": [overridden]})
        if not answer["tasks"]:
            raise NotRun(f"ECS did not start the task: {[failure.get('reason') for failure in answer['failures']]}")
        task = self._until_stopped(answer["tasks"][0], seconds=seconds)
        (container,) = (each for each in task["containers"] if each["name"] == CONTAINER)
        if "exitCode" not in container:
            raise NotRun(f"the container did not run: {task.get('stoppedReason', container.get('reason'))}")
        return Ended(exit_code=int(container["exitCode"]), log=self._log_of(task))

    def _until_stopped(self, task: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        cluster, arn = self._arguments["cluster"], task["taskArn"]
        self._say(f"ECS task {arn}")
        deadline = self._clock() + seconds
        while task["lastStatus"] != "STOPPED":
            if self._clock() > deadline:
                raise NotRun(f"the ECS task {arn} still runs after {seconds:g} s")
            self._sleep(ASK_EVERY_S)
            task = self._ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"][0]
        return task

    def _log_of(self, task: Mapping[str, Any]) -> list[str]:
        definition = self._ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])["taskDefinition"]
        (container,) = definition["containerDefinitions"]
        options = container["logConfiguration"]["options"]
        stream = f"{options['awslogs-stream-prefix']}/{CONTAINER}/{task['taskArn'].rpartition('/')[2]}"
        where = {"logGroupName": options["awslogs-group"], "logStreamName": stream, "startFromHead": True}
        lines: list[str] = []
        token = None
        while True:
            answer = self._logs.get_log_events(**where, **({"nextToken": token} if token else {}))
            lines += [event["message"] for event in answer["events"]]
            if answer["nextForwardToken"] == token:  # of the last page
                return lines
            token = answer["nextForwardToken"]
