"""The autoscaler with one pool on a real Redis and the ECS API of the local stack, for tests."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from autoscaler.report import Outcome
from autoscaler.settings import Settings
from autoscaler.tick import tick
from fleet.member import CONSUMING, DRAINING
from fleet.pools import Pool
from fleet.registry import Registry
from shared.broker import Broker
from shared.known_tasks import KnownTasks
from shared.settings import BrokerSettings
from tests.support.aws_api import AwsApi
from tests.support.members import a_worker_of
from tests.support.servers import RedisServer
from tests.support.throttling import throttling

CLUSTER = "rollout"
POOL = Pool(name="worker", service="worker", queues=("default",), minimum=1, maximum=10, concurrency=4)


@dataclass
class EcsPool:
    """A pool on a real Redis and the local AWS API, whose ECS tasks the test starts."""

    ecs: Any
    redis: redis.Redis
    registry: Registry
    settings: Settings
    broker: Broker
    tasks: KnownTasks
    calls: list[str] = field(default_factory=list)

    def tick(self, *, invoked_at: float | None = None) -> Outcome:
        self.calls.clear()
        seen = tick(settings=self.settings, broker=self.broker, ecs=self.ecs, tasks=self.tasks, invoked_at=invoked_at)
        (outcome,) = seen.outcomes
        return outcome

    def watch(self, clock: Callable[[], float]) -> None:
        """Forget what ECS answered; measure the age of its answers by this clock from now on."""
        self.tasks = KnownTasks(self.ecs, cluster=CLUSTER, clock=clock)

    def refusing(self, operation: str) -> contextlib.AbstractContextManager[None]:
        """ECS throttles every call of the operation."""
        return throttling(self.ecs, operation)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Redis has no memory left and evicts nothing."""
        self.redis.config_set("maxmemory-policy", "noeviction")
        self.redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            self.redis.config_set("maxmemory", 0)

    def described(self) -> dict[str, Any]:
        service: dict[str, Any] = self.ecs.describe_services(cluster=CLUSTER, services=[POOL.service])["services"][0]
        return service

    @property
    def revision(self) -> str:
        return str(self.described()["taskDefinition"])

    @property
    def desired(self) -> int:
        return int(self.described()["desiredCount"])

    def start(self, count: int = 1) -> list[str]:
        """Start ECS tasks of the current deployment, as the local Fargate agent does, and return their ARNs."""
        primary = self.described()["deployments"][0]
        arns = []
        for _ in range(count):
            (task,) = self.ecs.run_task(
                cluster=CLUSTER,
                taskDefinition=primary["taskDefinition"],
                startedBy=primary["id"],
                group=f"service:{POOL.service}",
            )["tasks"]
            self.ecs.submit_task_state_change(cluster=CLUSTER, task=task["taskArn"], status="RUNNING")
            arns.append(task["taskArn"])
        return arns

    def protect(self, arn: str, *, enabled: bool = True) -> bool:
        answer = self.ecs.update_task_protection(cluster=CLUSTER, tasks=[arn], protectionEnabled=enabled)
        return not answer["failures"]

    def report(self, arn: str, state: str, *, active: int = 0, started_at: float = 0.0) -> str:
        protected = state in (CONSUMING, DRAINING)
        claims = {"state": state, "active": active, "protected": protected, "started_at": started_at}
        member = a_worker_of(POOL, arn, **claims)
        self.registry.report(member)
        return member.id


@contextlib.contextmanager
def ecs_pool(api: AwsApi, redis_server: RedisServer) -> Iterator[EcsPool]:
    """With two desired tasks, and none running."""
    redis_server.client.flushall()
    ecs = api.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    container = {"name": "worker", "image": "i", "memory": 1, "cpu": 1}
    ecs.register_task_definition(family="worker", containerDefinitions=[container])
    ecs.create_service(cluster=CLUSTER, serviceName=POOL.service, taskDefinition="worker", desiredCount=2)
    where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, user="default", secret_arn="-")
    broker = Broker(where, read_password=lambda: "")
    found = EcsPool(
        ecs=ecs,
        redis=redis_server.client,
        registry=Registry(redis_server.client),
        settings=Settings(broker=where, cluster=CLUSTER, pools=(POOL,), poll_seconds=15, scale_in_after_s=0),
        broker=broker,
        tasks=KnownTasks(ecs, cluster=CLUSTER),
    )
    ecs.meta.events.register("before-call.ecs", lambda model, **_: found.calls.append(model.name))
    yield found
    broker.close()
    # ListTasks answers with 100 at most, and a task left over is one of the next test's service of the same name.
    for arn in ecs.get_paginator("list_tasks").paginate(cluster=CLUSTER).build_full_result()["taskArns"]:
        ecs.submit_task_state_change(cluster=CLUSTER, task=arn, status="STOPPED")
    ecs.delete_service(cluster=CLUSTER, service=POOL.service, force=True)
    redis_server.client.flushall()
