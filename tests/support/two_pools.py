"""The autoscaler on a real Redis and an ECS by moto, with two pools of workers, for tests."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ecs.models import Task, ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from autoscaler.handler import Wiring
from autoscaler.report import Outcome
from autoscaler.settings import Settings
from autoscaler.tick import TickResult, tick
from fleet.member import Member
from fleet.pools import Pool
from fleet.registry import Registry
from shared import aws
from shared.broker import Broker
from shared.known_tasks import KnownTasks
from shared.service_names import ServiceNames
from shared.settings import BrokerSettings
from tests.support.members import a_worker_of
from tests.support.servers import RedisServer
from tests.support.throttling import throttling

CLUSTER = "stack-Cluster"
REGION = "eu-central-1"
DEFAULT = Pool(name="worker", service="stack-Worker", queues=("default",), minimum=1, maximum=10, concurrency=4)
BIG = Pool(name="big", service="stack-Big", queues=("big", "huge"), minimum=0, maximum=3, concurrency=1)
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "POWERTOOLS_METRICS_NAMESPACE": "AirflowOnEcs",
    "POWERTOOLS_SERVICE_NAME": "autoscaler",
}


def task_id(name: str) -> str:
    """Return the id of the ECS task of this short name."""
    return name.encode().hex().rjust(32, "0")


def worker_id(name: str) -> str:
    """Return the id of the worker of this short name."""
    return f"{task_id(name)}/worker"


@dataclass
class Stack:
    """Two pools on a real Redis; `calls` are the names of the ECS operations that were called."""

    redis: redis.Redis
    ecs: Any
    parts: Wiring
    calls: list[str] = field(default_factory=list)

    @property
    def registry(self) -> Registry:
        return Registry(self.redis)

    def tick_all(self) -> TickResult:
        self.calls.clear()
        return tick(settings=self.parts.settings, broker=self.parts.broker, ecs=self.ecs, tasks=self.parts.tasks)

    def tick(self) -> dict[str, Outcome]:
        return {outcome.pool: outcome for outcome in self.tick_all().outcomes}

    def serve(self, pool: Pool, *, desired: int) -> None:
        """Create the pool's service as a deployment of the stack does."""
        self.ecs.create_service(
            cluster=CLUSTER, serviceName=pool.service, taskDefinition="worker", desiredCount=desired
        )

    def set_desired(self, pool: Pool, desired: int) -> None:
        self.ecs.update_service(cluster=CLUSTER, service=pool.service, desiredCount=desired)

    def desired(self, pool: Pool) -> int:
        (service,) = self.ecs.describe_services(cluster=CLUSTER, services=[pool.service])["services"]
        return int(service["desiredCount"])

    def enqueue(self, name: str, count: int) -> None:
        self.redis.lpush(name, *["a message"] * count)

    def run(self, name: str, pool: Pool) -> str:
        """Let ECS run a task of the pool's service, if it does not yet; return its ARN."""
        backend = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        task = Task(
            cluster=backend.clusters[CLUSTER],
            task_definition=backend.describe_task_definition("worker"),
            container_instance_arn=None,
            resource_requirements=None,
            backend=backend,
            group=f"service:{pool.service}",
        )
        task.id = task_id(name)
        backend.tasks.setdefault(CLUSTER, {}).setdefault(task.task_arn, task)
        return str(task.task_arn)

    def report(self, name: str, **other: Any) -> Member:
        """Report a worker whose ECS task runs."""
        arn = self.run(name, BIG if other.get("pool") == BIG.name else DEFAULT)
        member = a_worker_of(DEFAULT, arn, id=worker_id(name), **other)
        self.registry.report(member)
        return member

    def refusing(self, operation: str, *, of: str | None = None) -> contextlib.AbstractContextManager[None]:
        """Every call of the operation, or each that concerns the service `of`, is throttled."""
        return throttling(self.ecs, operation, of=of)


@functools.cache
def _ecs() -> Any:
    """Return one client for all tests, since making one is slow. A test that hooks into its events unhooks again."""
    return aws.client("ecs")


def _describe_tasks(request: Any) -> ActionResult:
    """Name the tasks that do not exist, as ECS does and moto does not."""
    asked = request._get_param("tasks", [])
    found = request.ecs_backend.describe_tasks(request._get_param("cluster"), asked)
    known = {task.task_arn.rpartition("/")[2] for task in found}
    missing = [{"arn": name, "reason": "MISSING"} for name in asked if name.rpartition("/")[2] not in known]
    return ActionResult({"tasks": found, "failures": missing})


@contextlib.contextmanager
def two_pools(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """At their minimum, with nothing queued and no worker registered."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(EC2ContainerServiceResponse, "describe_tasks", _describe_tasks)
    server.client.flushall()
    with mock_aws():
        ecs = _ecs()
        ecs.create_cluster(clusterName=CLUSTER)
        ecs.register_task_definition(
            family="worker", containerDefinitions=[{"name": "worker", "image": "i", "memory": 1, "cpu": 1}]
        )
        where = BrokerSettings(host=server.host, port=server.port, tls=False, user="default", secret_arn="-")
        settings = Settings(broker=where, cluster=CLUSTER, pools=(DEFAULT, BIG), poll_seconds=15, scale_in_after_s=0)
        broker = Broker(where, read_password=lambda: "")
        tasks, names = KnownTasks(ecs, cluster=CLUSTER), ServiceNames(ecs, cluster=CLUSTER)
        parts = Wiring(settings=settings, broker=broker, ecs=ecs, tasks=tasks, names=names)
        found = Stack(redis=server.client, ecs=ecs, parts=parts)
        for pool in (DEFAULT, BIG):
            found.serve(pool, desired=pool.minimum)

        def count(model: Any, **_: Any) -> None:
            found.calls.append(model.name)

        ecs.meta.events.register("before-call.ecs", count)
        yield found
        ecs.meta.events.unregister("before-call.ecs", count)
        broker.close()
        server.client.flushall()
