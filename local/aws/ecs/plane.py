"""The state of ECS in one region and its operations, on plain values and given times, without HTTP."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.aws.ecs.capacity import PROVIDER, STRATEGY, next_provider
from local.aws.ecs.errors import InvalidParameter, ServiceNotActive, ServiceNotFound, TaskProtected
from local.aws.ecs.services import Service, properties_of
from local.aws.ecs.tasks import STATUSES, Task, containers_of

# ECS shows stopped tasks for about an hour; a local run may stop thousands and must not keep them all.
STOPPED_TASKS_KEPT = 200
PROTECTION_MINUTES = range(1, 2881)
SCALING_ACTIVITY = "scaling activity"
DEFAULT_PROTECTION_MINUTES = 120


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An entry of `failures` in an answer."""

    arn: str
    reason: str
    detail: str | None = None

    def described(self) -> dict[str, str | None]:
        """Return the failure as the API gives it."""
        return {"arn": self.arn, "reason": self.reason, "detail": self.detail}


def short(arn_or_name: str) -> str:
    """Return the name at the end of an ARN, or a name unchanged."""
    return arn_or_name.rsplit("/", 1)[-1]


@dataclass(kw_only=True)
class Cluster:
    """A cluster with its services and tasks."""

    arn: str
    services: dict[str, Service] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The cluster's name."""
        return short(self.arn)

    def _arn(self, kind: str, name: str) -> str:
        return f"{self.arn.replace(':cluster/', f':{kind}/')}/{name}"

    # --- services

    def create_service(self, request: Mapping[str, Any], *, now: datetime) -> Service:
        name = request["serviceName"]
        existing = self.services.get(name)
        if existing is not None and existing.status == "ACTIVE":
            raise InvalidParameter("Creation of service was not idempotent.")
        service = Service(
            name=name,
            arn=self._arn("service", name),
            cluster_arn=self.arn,
            created_at=now,
            desired_count=_count(request.get("desiredCount", 0)),
            properties=properties_of(request),
        )
        service.deploy(now)
        self.services[name] = service
        return service

    def update_service(self, request: Mapping[str, Any], *, now: datetime) -> Service:
        service = self.service(request["service"])
        if service.status != "ACTIVE":
            raise ServiceNotActive
        _count(request.get("desiredCount") or 0)
        service.update(request, now)
        self._settle(service, now)
        return service

    def delete_service(self, name: str, *, force: bool, now: datetime) -> Service:
        service = self.service(name)
        if service.desired_count and not force:
            raise InvalidParameter("The service cannot be stopped while it is scaled above 0.")
        service.desired_count = 0
        for task in self.tasks_of(service):
            task.stop(now=now, code="ServiceSchedulerInitiated", reason="Service was deleted.")
        service.status = "DRAINING"
        self._settle(service, now)
        return service

    def service(self, name_or_arn: str) -> Service:
        service = self.services.get(short(name_or_arn))
        if service is None:
            raise ServiceNotFound
        return service

    def tasks_of(self, service: Service) -> list[Task]:
        return [task for task in self.tasks.values() if task.group == service.group]

    def _settle(self, service: Service, now: datetime) -> None:
        tasks = self.tasks_of(service)
        service.settle(tasks, now)
        if service.status == "DRAINING" and not any(task.living for task in tasks):
            service.status = "INACTIVE"

    # --- tasks

    def run(
        self, request: Mapping[str, Any], definition: Mapping[str, Any], *, count: int, now: datetime
    ) -> list[Task]:
        return [self._start(self._placed(request), definition, now) for _ in range(count)]

    def _placed(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the request for one task, with its capacity provider if there is a strategy."""
        if not request.get(STRATEGY):
            return request
        group = [task for task in self.tasks.values() if task.living and task.group == request.get("group")]
        placed = Counter(str(task.request.get(PROVIDER)) for task in group)
        return {**request, PROVIDER: next_provider(request[STRATEGY], placed=placed)}

    def _start(self, request: Mapping[str, Any], definition: Mapping[str, Any], now: datetime) -> Task:
        task_id = uuid.uuid4().hex
        arn = self._arn("task", task_id)
        task = Task(
            id=task_id,
            arn=arn,
            cluster_arn=self.arn,
            definition=definition["taskDefinitionArn"],
            group=request.get("group") or f"family:{definition['family']}",
            started_by=request.get("startedBy"),
            created_at=now,
            containers=containers_of(definition, task_arn=arn),
            request=dict(request),
            cpu=definition.get("cpu"),
            memory=definition.get("memory"),
        )
        self.tasks[task_id] = task
        return task

    def task(self, id_or_arn: str) -> Task:
        task = self.tasks.get(short(id_or_arn))
        if task is None:
            raise InvalidParameter("The referenced task was not found.")
        return task

    def find(self, ids_or_arns: Iterable[str]) -> tuple[list[Task], list[Failure]]:
        """Return the tasks, and a failure MISSING for each that does not exist."""
        found, failures = [], []
        for wanted in ids_or_arns:
            task = self.tasks.get(short(wanted))
            if task is None:
                failures.append(Failure(arn=wanted, reason="MISSING"))
            else:
                found.append(task)
        return found, failures

    def stop(self, id_or_arn: str, *, reason: str | None, now: datetime) -> Task:
        """Ask a task to stop. A reason that begins with SCALING_ACTIVITY says that ECS scales.

        Raises TaskProtected if ECS scales and the task is protected now, even if it was not when it was chosen.
        """
        task = self.task(id_or_arn)
        scaling = (reason or "").lower().startswith(SCALING_ACTIVITY)
        if scaling and task.is_protected(now):
            raise TaskProtected
        task.stop(now=now, code="ServiceSchedulerInitiated" if scaling else "UserInitiated", reason=reason)
        return task

    def report(
        self,
        id_or_arn: str,
        *,
        status: str | None,
        reason: str | None,
        containers: Sequence[Mapping[str, Any]],
        now: datetime,
    ) -> None:
        """Take the agent's report on a task. Raises InvalidParameter for a status that ECS does not have."""
        if status is not None and status not in STATUSES:
            raise InvalidParameter(f"{status} is not a task status")
        task = self.task(id_or_arn)
        failed_to_start = status == "STOPPED" and task.living and task.wanted and task.started_at is None
        task.report(now=now, status=status, reason=reason, containers=containers)
        for service in self.services.values():
            if service.group != task.group:
                continue
            for deployment in tuple(service.deployments):
                if deployment.id == task.started_by and failed_to_start:
                    service.count_failure(deployment, now)
            self._settle(service, now)
        self._forget_old_tasks()

    def _forget_old_tasks(self) -> None:
        times = [(t.stopped_at, t.id) for t in self.tasks.values() if t.stopped_at is not None]
        stopped = sorted(times, key=lambda pair: pair[0])
        for _, task_id in stopped[:-STOPPED_TASKS_KEPT]:
            del self.tasks[task_id]

    # --- protection

    def protect(
        self, tasks: Iterable[str], *, enabled: bool, minutes: int | None, now: datetime
    ) -> tuple[list[Task], list[Failure]]:
        """Set the tasks' protection; return the tasks for which that succeeded, and failures.

        MISSING: unknown task. TASK_NOT_VALID: the task belongs to no service, or is stopping. DEPLOYMENT_BLOCKED: more
        tasks would be protected than the service desires. The protection of a task that failed does not change.
        """
        minutes = DEFAULT_PROTECTION_MINUTES if minutes is None else minutes
        if minutes not in PROTECTION_MINUTES:
            raise InvalidParameter("expiresInMinutes must be between 1 and 2880")
        found, failures = self.find(tasks)
        done = []
        for task in found:
            failure = self._why_not_protect(task, now) if enabled else self._why_not_valid(task)
            if failure is not None:
                failures.append(failure)
                continue
            if enabled:
                task.protect(now=now, minutes=minutes)
            else:
                task.unprotect()
            done.append(task)
        return done, failures

    def _service_of(self, task: Task) -> Service | None:
        return next((service for service in self.services.values() if service.group == task.group), None)

    def _why_not_valid(self, task: Task) -> Failure | None:
        if self._service_of(task) is None:
            return Failure(arn=task.arn, reason="TASK_NOT_VALID", detail="The task is not part of a service.")
        if not task.wanted:
            return Failure(arn=task.arn, reason="TASK_NOT_VALID", detail="The task is stopping.")
        return None

    def _why_not_protect(self, task: Task, now: datetime) -> Failure | None:
        failure = self._why_not_valid(task)
        service = self._service_of(task)
        if failure is not None or service is None:
            return failure
        others = sum(other.is_protected(now) for other in self.tasks_of(service) if other is not task)
        if others + 1 > service.desired_count:
            return Failure(
                arn=task.arn,
                reason="DEPLOYMENT_BLOCKED",
                detail=f"{others} other tasks are protected and the service desires {service.desired_count}.",
            )
        return None


def _count(value: Any) -> int:
    if int(value) < 0:
        raise InvalidParameter("Invalid desired count")
    return int(value)
