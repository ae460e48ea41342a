"""The autoscaler in a rolling deployment, with a real Redis and the ECS API of the local stack."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fleet import registry
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from shared.known_tasks import KnownTasks
from tests.support.aws_api import AwsApi, aws_api
from tests.support.ecs_pool import CLUSTER, POOL, EcsPool, ecs_pool
from tests.support.servers import RedisServer


@pytest.fixture(scope="module")
def api() -> Iterator[AwsApi]:
    with aws_api() as running:
        yield running


@pytest.fixture
def rollout(api: AwsApi, redis_server: RedisServer) -> Iterator[EcsPool]:
    with ecs_pool(api, redis_server) as found:
        yield found


def deploy(rollout: EcsPool) -> None:
    rollout.ecs.update_service(cluster=CLUSTER, service=POOL.service, forceNewDeployment=True)


def test_protection_that_was_blocked_is_granted_and_taken_back_as_old_workers_go(rollout: EcsPool) -> None:
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


def test_ecs_is_asked_about_each_worker_once_and_a_rollout_needs_no_more(rollout: EcsPool) -> None:
    for arn in rollout.start(2):
        rollout.report(arn, CONSUMING, active=4)
    rollout.tick()
    assert rollout.calls == ["DescribeServices", "DescribeTasks"]
    deploy(rollout)
    rollout.tick()
    assert rollout.calls == ["DescribeServices"]


def test_a_hundred_members_cost_one_call_and_one_more_costs_another(rollout: EcsPool) -> None:
    arns = rollout.start(101)
    for arn in arns[:100]:
        rollout.report(arn, CONSUMING, active=4)
    deploy(rollout)
    rollout.tick()
    assert rollout.calls.count("DescribeTasks") == 1
    rollout.tasks = KnownTasks(rollout.ecs, cluster=CLUSTER)
    rollout.report(arns[100], CONSUMING, active=4)
    rollout.tick()
    assert rollout.calls.count("DescribeTasks") == 2


def test_a_throttled_request_for_the_old_workers_keeps_the_size_and_says_why(rollout: EcsPool) -> None:
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


def test_a_member_that_ecs_does_not_know_prevents_no_draining(rollout: EcsPool) -> None:
    (old,) = rollout.start()
    rollout.report(old, CONSUMING)
    deploy(rollout)
    (new,) = rollout.start()
    rollout.report(new, CONSUMING)
    rollout.report(f"{new[:-4]}0000", CONSUMING)
    assert rollout.tick().decision.drain == (f"{old.rsplit('/', 1)[-1]}/worker",)
