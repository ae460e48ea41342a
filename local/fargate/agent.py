"""The loop that brings the tasks on this machine to what the control plane asks for."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.ecs.plane import SCALING_ACTIVITY
from local.fargate import image
from local.fargate.container import Container
from local.fargate.container_user import ContainerUsers
from local.fargate.control_plane import ControlPlane
from local.fargate.definition import ContainerDefinition, TaskDefinition
from local.fargate.endpoint import Endpoint
from local.fargate.memory_limit import MemoryGroup, MemoryLimits
from local.fargate.network import Network
from local.fargate.reconcile import ServiceView, TaskView, plan
from local.fargate.roles import InitializationError, Roles
from local.fargate.task import Phase, Task
from project import paths
from project.errors import CommandError

log = logging.getLogger(__name__)

TICK_S = 0.5
FAILED = "FAILED"  # a deployment's rollout state
# The stack fails after this many failed tasks of a service in a row, as with a deployment's circuit breaker.
MOST_FAILURES = 3
STEADY_S = 120  # a task that ran this long before it failed starts a new count
BACKOFF_S = (1, 5, 15, 60)
EVENTS_KEPT = 200


class Agent:
    """Reconciles in one thread. That thread starts every container, because their death signal follows it."""

    def __init__(
        self,
        *,
        clients: Any,
        cluster: str,
        network: Network,
        platform: dict[str, str],
        on_deployment: Callable[..., None],
        on_failure: Callable[[str], None],
        users: ContainerUsers | None = None,
        memory: MemoryLimits | None = None,
    ) -> None:
        """Prepare the loop. `on_failure` is called with the reason when a service's tasks cannot start.

        `platform`: the variables that every container gets; it gets its task role's credentials from the endpoint.
        `users`: of the containers' processes; without them they are this process's. `memory`: makes their limits.
        """
        self._clients, self._network, self._platform = clients, network, platform
        self._control_plane = ControlPlane(clients.ecs, cluster)
        self._on_deployment, self._on_failure, self._users = on_deployment, on_failure, users
        self._memory = memory
        self._tasks: dict[str, Task] = {}
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._rollouts: dict[str, tuple[str, str]] = {}
        self._replacing: set[str] = set()  # services that still have tasks of an older deployment
        self._rng = random.Random(os.urandom(8))
        self._closing = threading.Event()
        self.events: deque[str] = deque(maxlen=EVENTS_KEPT)
        self.killed_tasks = 0
        self._log_groups: dict[Path, str] = {}
        self._roles = Roles(endpoint=clients.endpoint, region=clients.region)
        self.endpoint = Endpoint(roles=self._roles, cluster=cluster, metadata_of=self._metadata)
        self._thread = threading.Thread(target=self._run, name="fargate", daemon=True)

    def start(self) -> None:
        """Begin to reconcile."""
        self._thread.start()

    def close(self, grace_s: float) -> None:
        """Stop every task: SIGTERM to all at once, SIGKILL to those left after `grace_s`."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + grace_s
        live = [t for t in self._tasks.values() if t.phase is not Phase.STOPPED]
        for task in live:
            task.stop("the stack is stopped")
        while any(t.phase is not Phase.STOPPED for t in live) and time.monotonic() < deadline:
            for task in live:
                task.advance()
            time.sleep(0.05)
        for task in live:
            if task.phase is not Phase.STOPPED:
                task.kill()
        self.endpoint.close()

    def kill(self, task_arn: str) -> None:
        """SIGKILL the first process of each of a task's containers, as the kernel does when memory runs out."""
        for container in self._tasks[task_arn].containers.values():
            container.signal(signal.SIGKILL)

    def kill_containers(self, name: str) -> int:
        """SIGKILL the first process of each container of that name that runs; return how many there are."""
        found = [task.containers[name] for task in list(self._tasks.values()) if name in task.containers]
        running = [container for container in found if container.exit_code is None]
        for container in running:
            container.signal(signal.SIGKILL)
        return len(running)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.tick()
            except (BotoCoreError, ClientError) as error:
                # The control plane may be away briefly; the tasks go on, as on AWS.
                log.warning("control plane: %s", error)
            self._closing.wait(TICK_S)

    def tick(self) -> None:
        """Advance every task and take one step for each service."""
        for task in list(self._tasks.values()):
            self._advance(task)
        found = self._control_plane.services()
        self._end_deleted({service["serviceName"] for service in found if service["status"] == "DRAINING"})
        services = [service for service in found if service["status"] == "ACTIVE"]
        self._network.register_services(services)
        for service in services:
            self._reconcile(service)
        self._run_alone()

    def _end_deleted(self, names: set[str]) -> None:
        """Stop the tasks of services that were deleted, whose deletion waits for them."""
        for task in self._tasks.values():
            if task.alive and task.service in names:
                self._stop(task, "service deleted")

    def _run_alone(self) -> None:
        """Start the tasks that belong to no service, and stop those that a client stopped."""
        for described in self._control_plane.started_alone(self._tasks):
            definition = self._control_plane.definition(described["taskDefinitionArn"])
            family = definition.arn.rsplit("/", 1)[-1].partition(":")[0]
            overrides = described.get("overrides") or {}
            self._add(described["taskArn"], family, "", definition.with_overrides(overrides))
        alone = [task for task in self._tasks.values() if task.alive and not task.deployment]
        for arn, reason in self._control_plane.stopped([task.arn for task in alone]).items():
            self._stop(self._tasks[arn], reason)

    def _reconcile(self, service: dict[str, Any]) -> None:
        name = service["serviceName"]
        primary = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
        if self._rollouts.get(name, (primary["id"],))[0] != primary["id"]:  # earlier failures are not its own
            self._failures.pop(name, None)
            self._not_before.pop(name, None)
        (self._replacing.add if len(service["deployments"]) > 1 else self._replacing.discard)(name)
        self._publish_rollout(service, primary)
        mine = [t for t in self._tasks.values() if t.service == name and t.alive]
        for arn, reason in self._control_plane.stopped([t.arn for t in mine]).items():
            self._stop(self._tasks[arn], reason)
        protected = self._control_plane.protected([t.arn for t in mine])
        configuration = service.get("deploymentConfiguration") or {}
        view = ServiceView(
            name=name,
            desired=service["desiredCount"],
            primary=primary["id"],
            minimum_healthy_percent=int(configuration.get("minimumHealthyPercent", 100)),
            maximum_percent=int(configuration.get("maximumPercent", 200)),
        )
        tasks = tuple(
            TaskView(
                arn=t.arn,
                deployment=t.deployment,
                running=t.phase is Phase.RUNNING and self._network.ready(t.id),
                protected=t.arn in protected,
            )
            for t in mine
            if t.alive
        )
        step = plan(view, tasks, self._rng)
        reason = f"{SCALING_ACTIVITY} of service {name}"
        for arn in step.stop:
            if self._control_plane.stop(arn, reason):
                self._stop(self._tasks[arn], reason)
        if primary.get("rolloutState") == FAILED:
            return  # ECS starts no task of a deployment that failed
        if step.start and time.monotonic() >= self._not_before.get(name, 0):
            self._launch(service, primary, step.start)

    def _launch(self, service: dict[str, Any], primary: dict[str, Any], count: int) -> None:
        name = service["serviceName"]
        arns, failures = self._control_plane.launch(service, primary, count)
        for failure in failures:
            self._say(f"{name}: could not start a task: {failure}")
        for arn in arns:
            self._add(arn, name, primary["id"], self._control_plane.definition(primary["taskDefinition"]))

    def _add(self, arn: str, service: str, deployment: str, definition: TaskDefinition) -> None:
        start = partial(self._start_container, arn)
        task = Task(arn=arn, service=service, deployment=deployment, definition=definition, start=start)
        self._tasks[arn] = task
        self._say(f"{service}: started task {task.id[:8]}")

    def _start_container(self, arn: str, definition: ContainerDefinition) -> Container:
        task = self._tasks[arn]
        built = image.load(task.definition.image)
        log_path = self.log_path(task, definition.name)
        if definition.log is not None:
            self._log_groups[log_path] = definition.log.group
        grant = self._roles.take(task.id, task.definition)
        resolved = self._roles.prepare(task.id, task.definition, definition, log_path=log_path)
        home = paths.TASKS / task.id / definition.name
        home.mkdir(parents=True, exist_ok=True)
        given = self._network.environment(task.service, task.id, definition.name, definition.environment)
        shared = []
        for path, volume in task.definition.shared_mounts(definition).items():
            folder = paths.TASKS / task.id / volume
            folder.mkdir(exist_ok=True)
            shared.append(folder)
            given = {name: str(folder) if value == path else value for name, value in given.items()}
        user = None if self._users is None else self._users.new(shared=shared, reveal=(built.packages, built.root))
        env = {
            **built.environment(home),
            **({} if user is None else user.environment),
            **self._platform,
            **self.endpoint.environment(task.id, definition.name, grant),
            **given,
            **resolved,
        }
        return Container(
            name=definition.name,
            argv=[str(built.entrypoint), *definition.command],
            env=env,
            home=home,
            log_path=log_path,
            user=user,
            memory=self._memory_group(definition),
        )

    def _memory_group(self, definition: ContainerDefinition) -> MemoryGroup | None:
        if self._memory is None or definition.memory_mib is None:
            return None
        return self._memory.new(definition.memory_mib)

    def log_groups(self) -> dict[Path, str]:
        """Return the log group of each container that has run here, by its log."""
        return dict(self._log_groups)

    @staticmethod
    def log_path(task: Task, container: str) -> Path:
        """Return where a container's output goes."""
        path = paths.LOGS / task.service / f"{container}-{task.id[:8]}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _advance(self, task: Task) -> None:
        before, restarts = task.phase, len(task.restarted)
        try:
            task.advance()
        except (CommandError, ValueError) as error:
            task.stop(str(error), failed=True)
            self._on_failure(str(error))
        except InitializationError as error:
            task.stop(str(error), failed=True)
        for container in task.restarted[restarts:]:
            self._say(f"{task.service}: task {task.id[:8]} goes on, its container {container} was restarted")
        if task.phase is before:
            return
        if task.phase is Phase.RUNNING:
            self._control_plane.submit(task.arn, "RUNNING")
        elif task.phase is Phase.STOPPING:
            self._network.forget(task.id)
        elif task.phase is Phase.STOPPED:
            self._ended(task)

    def _ended(self, task: Task) -> None:
        self._network.forget(task.id)
        if not task.deployment:
            self._deliver_logs(task)
        self._roles.drop(task.id)
        self.killed_tasks += task.was_killed
        del self._tasks[task.arn]
        self._control_plane.submit(task.arn, "STOPPED", reason=task.reason, exit_codes=task.exit_codes)
        shutil.rmtree(paths.TASKS / task.id, ignore_errors=True)
        self._say(f"{task.service}: task {task.id[:8]} stopped: {task.reason}")
        if task.failed and task.deployment:
            # A start alone is no success: only a task that ran for STEADY_S begins a new count.
            steady = time.monotonic() - task.created_at > STEADY_S
            failures = self._failures[task.service] = 1 if steady else self._failures.get(task.service, 0) + 1
            self._not_before[task.service] = time.monotonic() + BACKOFF_S[min(failures, len(BACKOFF_S)) - 1]
            # With old tasks, it is the circuit breaker's turn, or the autoscaler's.
            if failures >= MOST_FAILURES and task.service not in self._replacing:
                self._on_failure(f"service {task.service} is unable to start tasks: {task.reason}")

    def _deliver_logs(self, task: Task) -> None:
        """Send what the containers have said to CloudWatch, where the caller of RunTask reads it."""
        for definition in task.definition.containers:
            if (container := task.containers.get(definition.name)) is not None:
                text = container.log_path.read_text(errors="replace")
                self._roles.deliver_log(task.id, task.definition, definition, text)

    def _stop(self, task: Task, reason: str) -> None:
        if task.alive:
            self._network.forget(task.id)
            task.stop(reason)

    def _publish_rollout(self, service: dict[str, Any], primary: dict[str, Any]) -> None:
        """Publish ECS's deployment events when a rollout begins and when it has completed."""
        state = (primary["id"], primary.get("rolloutState") or "COMPLETED")
        if self._rollouts.get(service["serviceName"]) != state:
            self._rollouts[service["serviceName"]] = state
            self._on_deployment(service_arn=service["serviceArn"], deployment=state[0], state=state[1])

    def _metadata(self, task_id: str) -> dict[str, Any] | None:
        task = next((t for t in list(self._tasks.values()) if t.id == task_id), None)
        if task is None:
            return None
        family, _, revision = task.definition.arn.rsplit("/", 1)[-1].partition(":")
        return {
            "Cluster": self._control_plane.cluster,
            "TaskARN": task.arn,
            "Family": family,
            "Revision": revision,
            "ServiceName": task.service,
            "DesiredStatus": "RUNNING" if task.alive else "STOPPED",
            "KnownStatus": task.phase.value,
            "LaunchType": "FARGATE",
            "AvailabilityZone": f"{self._clients.region}a",
            "Containers": [{"Name": c.name, "Image": task.definition.image} for c in task.definition.containers],
        }

    def _say(self, message: str) -> None:
        log.info(message)
        self.events.append(message)
