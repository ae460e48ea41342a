"""ECS in the model: the local control plane and its choice of victims, with a network's faults in front of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ClientError

from agent.protection import Answer, TaskProtection, read_answer
from local.aws.ecs.plane import Cluster
from local.aws.ecs.services import Service
from local.aws.ecs.tasks import Task
from local.fargate.reconcile import ServiceView, TaskView, plan
from shared.tags import asleep_tag, retire_before, retire_before_tag, size_asleep
from tests.model.seams import Fault, Seams

SERVICE = "worker"
CLUSTER_ARN = "arn:aws:ecs:eu-west-1:123456789012:cluster/model"
# A caller of the endpoint gives up after 3 s (agent.protection.TIMEOUT_S). Its request may take effect after that.
LATEST_EFFECT_S = 5.0
SCALING = "scaling activity"
MAINTENANCE = "ECS is performing maintenance on the underlying infrastructure hosting the task"


class Ecs:
    """One service. `endpoint` is what becomes of protection calls that no actor makes."""

    def __init__(self, *, seams: Seams, now: Callable[[], float], desired: int) -> None:
        self.seams = seams
        self.endpoint = Fault.NONE
        self.throttled = False
        self.late: list[tuple[float, Callable[[], object]]] = []
        self.trouble: dict[str, float] = {}  # when a protection call of a task failed last, for no fault of ours
        self._now = now
        self._revisions = count(1)
        self._ids = count(1)
        self.cluster = Cluster(arn=CLUSTER_ARN)
        self.target = self._definition()  # the revision of the stack, which the autoscaler is told
        self.broken: set[str] = set()  # revisions whose workers do not come up
        self.moves: list[str] = []  # revisions that the autoscaler asked for
        request = {"serviceName": SERVICE, "desiredCount": desired, "taskDefinition": self.target}
        self.service: Service = self.cluster.create_service(request, now=self.now)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    @property
    def tasks(self) -> list[Task]:
        return [task for task in self.cluster.tasks.values() if task.living]

    @property
    def protected(self) -> int:
        return sum(task.is_protected(self.now) for task in self.tasks)

    @property
    def revision(self) -> str:
        """The revision that new tasks get."""
        return str(self.service.properties["taskDefinition"])

    @property
    def is_rolling_out(self) -> bool:
        return len(self.service.deployments) > 1

    @property
    def is_asleep(self) -> bool:
        return size_asleep(self.service.properties.get("tags", ())) is not None

    # --- what the sleeper does

    def put_to_sleep(self) -> None:
        self._tag(asleep_tag(self.service.desired_count))

    def wake(self) -> None:
        self.service.properties["tags"] = [t for t in self._tags if size_asleep([t]) is None]

    # --- what AWS Health and the function for retirement do

    def announce_retirement(self) -> None:
        """Tell of all tasks that have started. The tag holds whole seconds."""
        self._tag(retire_before_tag(self._now() + 1))

    @property
    def retire_before(self) -> float | None:
        return retire_before(self._tags)

    def retire(self, task_id: str) -> None:
        self.cluster.stop(task_id, reason=MAINTENANCE, now=self.now)

    @property
    def _tags(self) -> list[dict[str, str]]:
        return list(self.service.properties.get("tags", ()))

    def _tag(self, tag: dict[str, str]) -> None:
        self.service.properties["tags"] = [*(t for t in self._tags if t["key"] != tag["key"]), tag]

    # --- what CloudFormation does

    def deploy(self, *, is_broken: bool = False) -> None:
        """Tell the autoscaler of another revision. CloudFormation changes nothing of the service."""
        self.target = self._definition()
        if is_broken:
            self.broken.add(self.target)

    def roll_back(self, revision: str) -> None:
        self.target = revision

    def name_the_family(self) -> None:
        """Change something else of the service while rolling back: the family stands for its latest revision."""
        self.cluster.update_service({"service": SERVICE, "taskDefinition": self._latest}, now=self.now)

    # --- what ECS does

    def set_back(self, revision: str) -> None:
        """Let the circuit breaker fail the newest deployment, as it may while older ones have workers."""
        self.service.deployments[0].failed = True
        self.cluster.update_service({"service": SERVICE, "taskDefinition": revision}, now=self.now)

    def reconcile(self, dice: Random) -> tuple[str, ...]:
        """One step towards what is desired; the ids of the tasks that it chose to stop, before anything else."""
        primary = self.service.deployments[0].id
        view = ServiceView(name=SERVICE, desired=self.service.desired_count, primary=primary)
        tasks = tuple(
            TaskView(
                arn=task.arn,
                deployment=task.started_by or "",
                running=task.last_status == "RUNNING",
                protected=task.is_protected(self.now),
            )
            for task in self.tasks
            if task.wanted
        )
        step = plan(view, tasks, dice)
        for arn in step.stop:
            self.cluster.stop(arn, reason=SCALING, now=self.now)
        if step.start:
            self._launch(primary, step.start)
        return tuple(arn.rsplit("/", 1)[-1] for arn in step.stop)

    def report(self, task_id: str, status: str) -> None:
        self.cluster.report(task_id, status=status, reason=None, containers=(), now=self.now)

    def run_late_requests(self, *, due_only: bool = True) -> None:
        ripe = [entry for entry in self.late if not due_only or entry[0] <= self._now()]
        self.late = [entry for entry in self.late if entry not in ripe]
        for _, request in ripe:
            request()

    def _launch(self, deployment: str, number: int) -> None:
        definition = {
            "taskDefinitionArn": self.revision,
            "family": SERVICE,
            "containerDefinitions": [{"name": SERVICE, "image": "image"}],
        }
        request = {"group": self.service.group, "startedBy": deployment}
        names = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(self._ids):032x}"))
        with patch("local.aws.ecs.plane.uuid", names):  # the same ids in each run
            self.cluster.run(request, definition, count=number, now=self.now)

    def _definition(self) -> str:
        self._latest = f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{SERVICE}:{next(self._revisions)}"
        return self._latest

    # --- what the autoscaler calls

    def describe_services(self, **_: Any) -> dict[str, Any]:
        if self.throttled:
            raise _throttled("DescribeServices")
        described = self.service.described(self.cluster.tasks_of(self.service))
        if self.seams.pause("ecs read") is not Fault.NONE:
            raise _throttled("DescribeServices")
        return {"services": [described], "failures": []}

    def describe_tasks(self, *, tasks: list[str], **_: Any) -> dict[str, Any]:
        found, failures = self.cluster.find(tasks)
        answer = {
            "tasks": [task.described() for task in found],
            "failures": [failure.described() for failure in failures],
        }
        if self.throttled or self.seams.pause("ecs read") is not Fault.NONE:
            raise _throttled("DescribeTasks")
        return answer

    def update_service(self, *, service: str, **asked: Any) -> dict[str, Any]:
        fault = self.seams.pause("ecs write")
        if self.throttled or fault is Fault.FAILS:
            raise _throttled("UpdateService")
        change = {name: value for name, value in asked.items() if name != "cluster"}
        if (revision := change.get("taskDefinition")) is not None:
            self.moves.append(revision)
        self.cluster.update_service({"service": service, **change}, now=self.now)
        if fault is not Fault.NONE:
            raise _throttled("UpdateService")
        return {"service": {"desiredCount": self.service.desired_count, "taskDefinition": self.revision}}


def _throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, operation)


class Endpoint(TaskProtection):
    """The ECS agent beside one task, in front of the control plane; the client over it is production's."""

    def __init__(self, ecs: Ecs, task_id: str) -> None:
        self._ecs, self._task_id = ecs, task_id

    def _put(self, state: dict[str, Any]) -> Answer:
        ecs, now = self._ecs, self._ecs._now
        fault = ecs.seams.pause("protection request") if ecs.seams.pausing else ecs.endpoint
        if fault is not Fault.NONE:
            ecs.trouble[self._task_id] = now()
        if fault is Fault.FAILS:
            return Answer(granted=None, reason="HTTP 500")
        if fault is Fault.LATE:
            ecs.late.append((now() + LATEST_EFFECT_S, lambda: self._apply(state)))
            return Answer(granted=None, reason="timed out")
        answer = self._apply(state)
        if fault is Fault.NONE:
            fault = ecs.seams.pause("protection answer")
        if fault is not Fault.NONE:
            ecs.trouble[self._task_id] = now()
            return Answer(granted=None, reason="the answer is lost")
        return read_answer(answer, asked=state["ProtectionEnabled"])

    def _apply(self, state: dict[str, Any]) -> dict[str, Any]:
        tasks, failures = self._ecs.cluster.protect(
            [self._task_id],
            enabled=state["ProtectionEnabled"],
            minutes=state.get("ExpiresInMinutes"),
            now=self._ecs.now,
        )
        if failures:
            return {"failure": {"Reason": failures[0].reason, "Detail": failures[0].detail}}
        return {"protection": {"ProtectionEnabled": tasks[0].is_protected(self._ecs.now)}}
