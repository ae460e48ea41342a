"""The autoscaler in a rolling deployment, with a real Redis and the ECS API of the local stack."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from autoscaler.report import Outcome
from autoscaler.settings import Settings
from autoscaler.tick import tick
from fleet import registry
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, Member
from fleet.pools import Pool
from fleet.registry import Registry
from shared.broker import Broker
from shared.settings import BrokerSettings
from tests.support.aws_api import AwsApi, aws_api

CLUSTER = "rollout"
POOL = Pool(name="worker", service="worker", queues=("default",), minimum=1, maximum=10, concurrency=4)


@pytest.fixture(scope="module")
def api() -> Iterator[AwsApi]:
    with aws_api() as running:
        yield running


@dataclass
class Rollout:
    ecs: Any
    registry: Registry
    settings: Settings
    broker: Broker
    calls: list[str] = field(default_factory=list)

    def tick(self) -> Outcome:
        self.calls.clear()
        (outcome,) = tick(settings=self.settings, broker=self.broker, ecs=self.ecs).outcomes
        return outcome

    def described(self) -> dict[str, Any]:
        service: dict[str, Any] = self.ecs.describe_services(cluster=CLUSTER, services=[POOL.service])["services"][0]
        return service

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

    def report(self, arn: str, state: str, *, active: int = 0) -> str:
        name = f"{arn.rsplit('/', 1)[-1]}/worker"
        self.registry.report(
            Member(
                id=name,
                role="worker",
                pool=POOL.name,
                image_version="1",
                dags_hash="1",
                airflow_version="3.3.2",
                state=state,
                slots=4,
                active=active,
                protected=state in (CONSUMING, DRAINING),
                started_at=0.0,
                task_arn=arn,
                container="worker",
                queues=POOL.queues,
            )
        )
        return name


@pytest.fixture
def rollout(api: AwsApi, redis_server: Any) -> Iterator[Rollout]:
    redis_server.client.flushall()
    ecs = api.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    container = {"name": "worker", "image": "i", "memory": 1, "cpu": 1}
    ecs.register_task_definition(family="worker", containerDefinitions=[container])
    ecs.create_service(cluster=CLUSTER, serviceName=POOL.service, taskDefinition="worker", desiredCount=2)
    where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, user="default", secret_arn="-")
    broker = Broker(where, read_password=lambda: "")
    found = Rollout(
        ecs=ecs,
        registry=Registry(redis_server.client),
        settings=Settings(broker=where, cluster=CLUSTER, pools=(POOL,), poll_seconds=15, scale_in_after_s=0),
        broker=broker,
    )
    ecs.meta.events.register("before-call.ecs", lambda model, **_: found.calls.append(model.name))
    yield found
    broker.close()
    ecs.delete_service(cluster=CLUSTER, service=POOL.service, force=True)
    for arn in ecs.list_tasks(cluster=CLUSTER)["taskArns"]:
        ecs.submit_task_state_change(cluster=CLUSTER, task=arn, status="STOPPED")
    redis_server.client.flushall()


def deploy(rollout: Rollout) -> None:
    rollout.ecs.update_service(cluster=CLUSTER, service=POOL.service, forceNewDeployment=True)


def test_protection_that_was_blocked_is_granted_and_taken_back_as_old_workers_go(rollout: Rollout) -> None:
    old = rollout.start(2)
    for arn in old:
        assert rollout.protect(arn)
        rollout.report(arn, CONSUMING, active=4)
    deploy(rollout)
    rollout.tick()
    assert rollout.desired == 2  # no worker could use more yet

    new = rollout.start(2)
    for arn in new:
        assert not rollout.protect(arn)  # DEPLOYMENT_BLOCKED: the old ones hold all the protection that desired allows
        rollout.report(arn, STARTING)
    rollout.tick()
    assert rollout.desired == 4
    assert [rollout.protect(arn) for arn in (*old, *new)] == [True] * 4  # old ones renew it, new ones acquire it
    names = [rollout.report(arn, CONSUMING) for arn in new]
    olds = [rollout.report(arn, CONSUMING, active=4) for arn in old]
    rollout.tick()
    assert [rollout.registry.order(name) for name in olds] == [registry.ORDER_DRAIN] * 2
    assert [rollout.registry.order(name) for name in names] == [None, None]
    assert rollout.desired == 4

    for arn in old:
        rollout.report(arn, DRAINING, active=1)
    rollout.tick()
    assert rollout.desired == 4
    assert rollout.protect(old[0], enabled=False)
    rollout.report(old[0], DRAINED)
    rollout.tick()
    assert rollout.desired == 3
    assert all(rollout.protect(arn) for arn in (old[1], *new))  # no renewal is refused


def test_ecs_is_asked_which_workers_are_old_only_during_a_rollout(rollout: Rollout) -> None:
    for arn in rollout.start(2):
        rollout.report(arn, CONSUMING, active=4)
    rollout.tick()
    assert rollout.calls == ["DescribeServices"]
    deploy(rollout)
    rollout.tick()
    assert rollout.calls == ["DescribeServices", "DescribeTasks"]


def test_a_hundred_members_cost_one_call_and_one_more_costs_another(rollout: Rollout) -> None:
    arns = rollout.start(101)
    for arn in arns[:100]:
        rollout.report(arn, CONSUMING, active=4)
    deploy(rollout)
    rollout.tick()
    assert rollout.calls.count("DescribeTasks") == 1
    rollout.report(arns[100], CONSUMING, active=4)
    rollout.tick()
    assert rollout.calls.count("DescribeTasks") == 2


def test_a_throttled_request_for_the_old_workers_keeps_the_size_and_says_why(rollout: Rollout) -> None:
    for arn in rollout.start(2):
        rollout.report(arn, CONSUMING)
    deploy(rollout)
    for arn in rollout.start(1):
        rollout.report(arn, CONSUMING)

    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "DescribeTasks")

    rollout.ecs.meta.events.register_first("before-call.ecs.DescribeTasks", throttled)
    outcome = rollout.tick()
    assert (outcome.decision.desired, outcome.decision.drain) == (2, ())
    assert "ThrottlingException" in outcome.decision.reason
    assert outcome.figures()["Unreadable"] == 1
    rollout.ecs.meta.events.unregister("before-call.ecs.DescribeTasks", throttled)
    assert len(rollout.tick().decision.drain) == 2


def test_a_member_that_ecs_does_not_know_prevents_draining_until_it_is_gone(rollout: Rollout) -> None:
    (old,) = rollout.start()
    rollout.report(old, CONSUMING)
    deploy(rollout)
    (new,) = rollout.start()
    rollout.report(new, CONSUMING)
    ghost = rollout.report(f"{new[:-4]}0000", CONSUMING)
    assert "it is unknown which workers are old" in rollout.tick().decision.reason
    rollout.registry.forget(ghost)
    assert rollout.tick().decision.drain == (f"{old.rsplit('/', 1)[-1]}/worker",)
