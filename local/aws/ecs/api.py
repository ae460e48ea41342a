"""The ECS API of the control plane; clusters and task definitions stay moto's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.core.responses import ActionResult, EmptyResult
from moto.ecs.responses import EC2ContainerServiceResponse

from local.aws.ecs.capacity import check_capacity
from local.aws.ecs.errors import ClusterNotFound, InvalidParameter
from local.aws.ecs.plane import Cluster, Failure, short
from local.aws.ecs.services import Service
from local.aws.ecs.tasks import Task

# Limits of the API, by request member.
DESCRIBED_SERVICES = 10
DESCRIBED_TASKS = 100
UPDATED_PROTECTIONS = 10
READ_PROTECTIONS = 100
LISTED_SERVICES_A_PAGE = 10
LISTED_A_PAGE = 100
RUN_AT_ONCE = 10


class EcsApi(EC2ContainerServiceResponse):  # type: ignore[misc]  # mypy is told not to look into moto
    """One request. The state belongs to the class, because moto makes an instance for each request."""

    # moto changes its own mapping with each request (with or without tags), so this class must not share it.
    RESPONSE_KEY_PATH_TO_TRANSFORMER: ClassVar[dict[str, Callable[[Any], Any]]] = {}
    _clusters: ClassVar[dict[str, Cluster]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    @classmethod
    def cluster(cls, arn: str) -> Cluster | None:
        """Return the cluster's services and tasks; None if it has had none yet."""
        return cls._clusters.get(arn)

    def call_action(self) -> Any:
        with self._lock:
            return super().call_action()

    def _cluster(self) -> Cluster:
        name = short(self._get_param("cluster") or "default")
        cluster = self.ecs_backend.clusters.get(name)
        if cluster is None or cluster.status != "ACTIVE":
            raise ClusterNotFound
        return self._clusters.setdefault(cluster.arn, Cluster(arn=cluster.arn))

    def _request(self) -> dict[str, Any]:
        return dict(self._get_params())

    def _definition(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the task definition that the request names, and put its full ARN there. Raises when there is none."""
        definition = definition_of(self.ecs_backend, request["taskDefinition"])
        request["taskDefinition"] = definition.arn
        return {
            "taskDefinitionArn": definition.arn,
            "family": definition.family,
            "containerDefinitions": definition.container_definitions,
            "cpu": definition.cpu,
            "memory": definition.memory,
        }

    def _active_definition(self, request: dict[str, Any]) -> None:
        """As `_definition`. A service takes no revision that was deregistered; it keeps one that it has."""
        arn = self._definition(request)["taskDefinitionArn"]
        service = self._clusters[self._cluster().arn].services.get(short(request.get("service", "")))
        if self.ecs_backend.describe_task_definition(arn).status != "ACTIVE" and (
            service is None or service.properties.get("taskDefinition") != arn
        ):
            raise InvalidParameter("TaskDefinition is inactive")

    def _check_capacity(self, request: dict[str, Any]) -> None:
        cluster = self.ecs_backend.clusters[short(self._get_param("cluster") or "default")]
        check_capacity(request, associated=cluster.capacity_providers or ())

    def _several(self, member: str, limit: int) -> list[str]:
        values: list[str] = self._get_param(member, [])
        if not values or len(values) > limit:
            raise InvalidParameter(f"{member} must have between 1 and {limit} entries")
        return values

    def _page(self, member: str, arns: Sequence[str], default_size: int) -> ActionResult:
        start = int(self._get_param("nextToken") or 0)
        end = start + (self._get_int_param("maxResults") or default_size)
        return ActionResult({member: list(arns[start:end]), "nextToken": str(end) if end < len(arns) else None})

    # --- clusters

    def describe_clusters(self) -> ActionResult:
        for cluster in self.ecs_backend.clusters.values():
            state = self._clusters.get(cluster.arn, Cluster(arn=cluster.arn))
            statuses = [task.last_status for task in state.tasks.values()]
            cluster.running_tasks_count = statuses.count("RUNNING")
            cluster.pending_tasks_count = sum(task.living for task in state.tasks.values()) - statuses.count("RUNNING")
            cluster.active_services_count = sum(s.status == "ACTIVE" for s in state.services.values())
        return super().describe_clusters()

    def list_clusters(self) -> ActionResult:
        """List active clusters only; moto lists deleted ones, too."""
        arns = [cluster.arn for cluster in self.ecs_backend.clusters.values() if cluster.status == "ACTIVE"]
        return self._page("clusterArns", arns, LISTED_A_PAGE)

    def delete_cluster(self) -> ActionResult:
        cluster = self._cluster()
        if any(service.status == "ACTIVE" for service in cluster.services.values()):
            raise InvalidParameter("The cluster cannot be deleted while Services are active.")
        self._clusters.pop(cluster.arn)
        return super().delete_cluster()

    # --- services

    def create_service(self) -> ActionResult:
        request, cluster = self._request(), self._cluster()
        self._active_definition(request)
        self._check_capacity(request)
        service = cluster.create_service(request, now=_now())
        return ActionResult({"service": self._service(cluster, service, tags=True)})

    def update_service(self) -> ActionResult:
        request, cluster = self._request(), self._cluster()
        if request.get("taskDefinition"):
            self._active_definition(request)
        self._check_capacity(request)
        service = cluster.update_service(request, now=_now())
        return ActionResult({"service": self._service(cluster, service, tags=True)})

    def delete_service(self) -> ActionResult:
        cluster = self._cluster()
        force = bool(self._get_param("force", False))
        service = cluster.delete_service(self._get_param("service"), force=force, now=_now())
        return ActionResult({"service": self._service(cluster, service, tags=True)})

    def describe_services(self) -> ActionResult:
        cluster, tags = self._cluster(), "TAGS" in self._get_param("include", [])
        found, failures = [], []
        for wanted in self._several("services", DESCRIBED_SERVICES):
            service = cluster.services.get(short(wanted))
            if service is None:
                arn = f"{cluster.arn.replace(':cluster/', ':service/')}/{short(wanted)}"
                failures.append(Failure(arn=arn, reason="MISSING").described())
            else:
                found.append(self._service(cluster, service, tags=tags))
        return ActionResult({"services": found, "failures": failures})

    def list_services(self) -> ActionResult:
        services = self._cluster().services.values()
        arns = [service.arn for service in services if service.status != "INACTIVE"]
        return self._page("serviceArns", arns, LISTED_SERVICES_A_PAGE)

    def _service(self, cluster: Cluster, service: Service, *, tags: bool) -> dict[str, Any]:
        described = service.described(cluster.tasks_of(service))
        return described if tags else {key: value for key, value in described.items() if key != "tags"}

    # --- tasks

    def run_task(self) -> ActionResult:
        request, cluster = self._request(), self._cluster()
        count = self._get_int_param("count") or 1
        if count > RUN_AT_ONCE:
            raise InvalidParameter(f"count must be at most {RUN_AT_ONCE}")
        self._check_capacity(request)
        tasks = cluster.run(request, self._definition(request), count=count, now=_now())
        return ActionResult({"tasks": [_task(task, tags=True) for task in tasks], "failures": []})

    def describe_tasks(self) -> ActionResult:
        tasks, failures = self._cluster().find(self._several("tasks", DESCRIBED_TASKS))
        tags = "TAGS" in self._get_param("include", [])
        return ActionResult(
            {"tasks": [_task(task, tags=tags) for task in tasks], "failures": [f.described() for f in failures]}
        )

    def list_tasks(self) -> ActionResult:
        cluster = self._cluster()
        tasks = [t for t in cluster.tasks.values() if t.desired_status == self._get_param("desiredStatus", "RUNNING")]
        if name := self._get_param("serviceName"):
            group = cluster.service(name).group
            tasks = [task for task in tasks if task.group == group]
        if started_by := self._get_param("startedBy"):
            tasks = [task for task in tasks if task.started_by == started_by]
        if family := self._get_param("family"):
            tasks = [task for task in tasks if short(task.definition).split(":")[0] == family]
        return self._page("taskArns", [task.arn for task in tasks], LISTED_A_PAGE)

    def stop_task(self) -> ActionResult:
        task = self._cluster().stop(self._get_param("task"), reason=self._get_param("reason"), now=_now())
        return ActionResult({"task": _task(task, tags=True)})

    def submit_task_state_change(self) -> ActionResult:
        self._cluster().report(
            self._get_param("task"),
            status=self._get_param("status"),
            reason=self._get_param("reason"),
            containers=self._get_param("containers", []),
            now=_now(),
        )
        return ActionResult({"acknowledgment": "ACK"})

    # --- protection

    def update_task_protection(self) -> ActionResult:
        now = _now()
        tasks, failures = self._cluster().protect(
            self._several("tasks", UPDATED_PROTECTIONS),
            enabled=bool(self._get_param("protectionEnabled")),
            minutes=self._get_int_param("expiresInMinutes"),
            now=now,
        )
        return _protections(tasks, failures, now)

    def get_task_protection(self) -> ActionResult:
        cluster = self._cluster()
        wanted = self._get_param("tasks") or list(cluster.tasks)[:READ_PROTECTIONS]
        if len(wanted) > READ_PROTECTIONS:
            raise InvalidParameter(f"tasks must have at most {READ_PROTECTIONS} entries")
        return _protections(*cluster.find(wanted), _now())

    # --- tags

    def tag_resource(self) -> ActionResult:
        service = self._tagged_service()
        if service is None:
            return super().tag_resource()
        given = {tag["key"]: tag for tag in self._get_param("tags", [])}
        kept = [tag for tag in service.properties.get("tags", []) if tag["key"] not in given]
        service.properties["tags"] = [*kept, *given.values()]
        return EmptyResult()

    def untag_resource(self) -> ActionResult:
        service = self._tagged_service()
        if service is None:
            return super().untag_resource()
        gone = self._get_param("tagKeys", [])
        service.properties["tags"] = [tag for tag in service.properties.get("tags", []) if tag["key"] not in gone]
        return EmptyResult()

    def list_tags_for_resource(self) -> ActionResult:
        service = self._tagged_service()
        if service is None:
            return super().list_tags_for_resource()
        return ActionResult({"tags": service.properties.get("tags", [])})

    def _tagged_service(self) -> Service | None:
        arn = self._get_param("resourceArn")
        services = (service for cluster in self._clusters.values() for service in cluster.services.values())
        return next((service for service in services if service.arn == arn), None)


def definition_of(backend: Any, named: str) -> Any:
    """Return moto's task definition by its ARN, or by its family, which stands for its latest active revision.

    Raises moto's error when there is none.
    """
    if ":" not in short(named):
        revisions = backend.task_definitions.get(short(named), {})
        active = [number for number, each in revisions.items() if each.status == "ACTIVE"]
        named = f"{short(named)}:{max(active, default=0)}"
    return backend.describe_task_definition(named)


def _now() -> datetime:
    return datetime.now(UTC)


def _task(task: Task, *, tags: bool) -> dict[str, Any]:
    described = {key: value for key, value in task.described().items() if value is not None}
    return described if tags else {key: value for key, value in described.items() if key != "tags"}


def _protections(tasks: Sequence[Task], failures: Sequence[Failure], now: datetime) -> ActionResult:
    protected = [
        {
            "taskArn": task.arn,
            "protectionEnabled": task.is_protected(now),
            **({"expirationDate": task.protected_until} if task.is_protected(now) else {}),
        }
        for task in tasks
    ]
    return ActionResult({"protectedTasks": protected, "failures": [failure.described() for failure in failures]})
