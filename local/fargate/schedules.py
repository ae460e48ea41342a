"""Plays EventBridge Scheduler for the schedules that run ECS tasks, with the roles of the schedules.

Each runs first after its interval, so that a start of the stack has no more to do. Schedules of other targets are left
out.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.iam.sessions import RoleSession, Service
from local.lambdas.schedules import period_s
from project.schedules import RUNS_TASKS, run_task_of

log = logging.getLogger(__name__)

SCHEDULER = "scheduler.amazonaws.com"


class Schedules:
    """The schedules of the stack that run ECS tasks."""

    def __init__(self, *, clients: Any) -> None:
        """Read them. Raises UnsupportedRule for an enabled one that has no rate, and ClientError."""
        self._service = Service(SCHEDULER, endpoint=clients.endpoint, region=clients.region)
        self._closing = threading.Event()
        names = [each["Name"] for each in clients.scheduler.list_schedules()["Schedules"]]
        found = {name: clients.scheduler.get_schedule(Name=name) for name in names}
        self._targets = {n: each["Target"] for n, each in found.items() if RUNS_TASKS in each["Target"]["Arn"]}
        self._periods = {
            name: period_s(found[name]["ScheduleExpression"])
            for name in self._targets
            if found[name]["State"] == "ENABLED"
        }

    def start(self) -> None:
        """Begin to run what is enabled."""
        for name, seconds in self._periods.items():
            threading.Thread(target=self._repeat, args=(name, seconds), name=f"schedule-{name}", daemon=True).start()

    def close(self) -> None:
        """Start no more tasks."""
        self._closing.set()

    def run(self, name: str) -> str:
        """Start the ECS task of a schedule now, as when it is due; return the task's ARN. Raises ClientError."""
        target = self._targets[name]
        session = RoleSession(self._service, target["RoleArn"], session=name)
        answer = session.client("ecs").run_task(**run_task_of(target))
        return str(answer["tasks"][0]["taskArn"])

    def _repeat(self, name: str, seconds: int) -> None:
        while not self._closing.wait(seconds):
            try:
                self.run(name)
            except (BotoCoreError, ClientError) as error:
                log.warning("schedule %s: %s", name, error)
