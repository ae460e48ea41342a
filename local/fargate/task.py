"""Takes a task from PENDING through RUNNING to STOPPED, container by container."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from enum import Enum

from local.fargate.container import Container
from local.fargate.definition import ContainerDefinition, TaskDefinition

log = logging.getLogger(__name__)

Start = Callable[[ContainerDefinition], Container]


class Phase(Enum):
    """The phase of a task; the values are ECS's lastStatus."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


class Task:
    """One task. `advance()` is called about twice a second and never blocks.

    `deployment`: of its `service`; empty for a task that a call of RunTask started, whose `service` is its family.
    """

    def __init__(self, *, arn: str, service: str, deployment: str, definition: TaskDefinition, start: Start) -> None:
        self.arn = arn
        self.service = service
        self.deployment = deployment
        self.definition = definition
        self.phase = Phase.PENDING
        self.containers: dict[str, Container] = {}
        self.reason = ""
        self.failed = False
        self.created_at = time.monotonic()
        self.restarted: list[str] = []  # names of containers, one for each restart in place
        self._start = start
        self._deadlines: dict[str, float] = {}

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def alive(self) -> bool:
        """Whether it is neither stopped nor stopping."""
        return self.phase in (Phase.PENDING, Phase.RUNNING)

    @property
    def exit_codes(self) -> dict[str, int]:
        """The exit codes of the containers that have ended, by their names."""
        codes = {name: container.exit_code for name, container in self.containers.items()}
        return {name: code for name, code in codes.items() if code is not None}

    @property
    def was_killed(self) -> bool:
        """Whether a container was killed because it outlived its stop timeout."""
        return any(c.was_killed for c in self.containers.values())

    def advance(self) -> None:
        """Start containers whose dependencies are met, act on exits by restart policy, enforce stop timeouts."""
        if self.alive:
            self._notice_exits()
        if self.phase is Phase.PENDING:
            self._start_ready()
        if self.phase is Phase.STOPPING:
            self._enforce_deadlines()

    def stop(self, reason: str, *, failed: bool = False) -> None:
        """Begin to stop: SIGTERM to every container's first process, SIGKILL at its stop timeout.

        A container that others depend on is told when they have ended, as on Fargate.
        """
        if not self.alive:
            return
        self.phase, self.reason, self.failed = Phase.STOPPING, reason, failed
        self._tell()

    def kill(self) -> None:
        """Kill every container."""
        self.stop("killed")
        for container in self.containers.values():
            container.kill()
        self.phase = Phase.STOPPED

    def _tell(self) -> None:
        """Send SIGTERM to the containers whose turn it is."""
        now = time.monotonic()
        running = {name for name, container in self.containers.items() if container.exit_code is None}
        for definition in self.definition.containers:
            name = definition.name
            dependents = {d.name for d in self.definition.containers if name in d.depends_on}
            if name in running and name not in self._deadlines and not dependents & running:
                self._deadlines[name] = now + definition.stop_timeout_s
                self.containers[name].signal(signal.SIGTERM)

    def _start_ready(self) -> None:
        for definition in self.definition.containers:
            if definition.name not in self.containers and self._may_start(definition):
                self.containers[definition.name] = self._start(definition)
        if len(self.containers) == len(self.definition.containers):
            self.phase = Phase.RUNNING

    def _may_start(self, definition: ContainerDefinition) -> bool:
        for name, condition in definition.depends_on.items():
            other = self.containers.get(name)
            code = other.exit_code if other else None
            met = {"START": other is not None, "COMPLETE": code is not None, "SUCCESS": code == 0}
            if condition not in met:
                raise ValueError(f"{self.definition.arn}: dependsOn {condition} of {name} is not supported locally")
            if not met[condition]:
                return False
        return True

    def _notice_exits(self) -> None:
        needed = {n for d in self.definition.containers for n, c in d.depends_on.items() if c == "SUCCESS"}
        for definition in self.definition.containers:
            container = self.containers.get(definition.name)
            code = container.exit_code if container else None
            if container is None or code is None:
                continue
            policy = definition.restart_policy
            if policy is not None and policy.allows(exit_code=code, ran_s=container.ran_s):
                log.warning("task %s: container %s exited with code %d, restarting it", self.id, container.name, code)
                container.restart()
                self.restarted.append(container.name)
                continue
            if definition.essential or (code != 0 and definition.name in needed):
                self.stop(f"container {definition.name} exited with code {code}: {container.last_line()}", failed=True)
                return

    def _enforce_deadlines(self) -> None:
        self._tell()
        now = time.monotonic()
        for name, container in self.containers.items():
            if container.exit_code is None and now >= self._deadlines.get(name, math.inf):
                log.warning("task %s: container %s outlived its stop timeout and is killed", self.id, name)
                container.kill()
        if all(c.exit_code is not None for c in self.containers.values()):
            for container in self.containers.values():
                container.kill_leftovers()
            self.phase = Phase.STOPPED
