"""The autoscaler in a rolling deployment, with a real Redis and the ECS API of the local stack."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fleet import registry
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from shared.known_tasks import KnownTasks
from tests.support import rendered
from tests.support.aws_api import AwsApi
from tests.support.ecs_pool import CLUSTER, POOL, EcsPool, ecs_pool
from tests.support.servers import RedisServer


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


def update_stack(rollout: EcsPool, *, patience_s: float = 600.0) -> str:
    """Register another revision, and tell the autoscaler of it, as CloudFormation does; return its ARN."""
    container = {"name": "worker", "image": "i:2", "memory": 1, "cpu": 1}
    made = rollout.ecs.register_task_definition(family="worker", containerDefinitions=[container])
    revision = str(made["taskDefinition"]["taskDefinitionArn"])
    pool = replace(POOL, task_definition=revision)
    rollout.settings = replace(rollout.settings, pools=(pool,), image="i:2", rollout_patience_s=patience_s)
    return revision


def test_the_service_moves_to_the_stacks_revision_which_has_worked_once_a_worker_of_it_consumes(
    rollout: EcsPool,
) -> None:
    (old,) = rollout.start()
    rollout.report(old, CONSUMING, active=4)
    revision = update_stack(rollout)
    assert rollout.tick().reason.endswith(f"; the service moves to {revision.rpartition('/')[2]}")
    assert rollout.revision == revision
    outcome = rollout.tick()
    assert "has consumed yet" in outcome.reason
    (new,) = rollout.start()
    rollout.report(new, CONSUMING)
    outcome = rollout.tick()
    assert outcome.reason == outcome.decision.reason
    assert outcome.figures()["RolloutGivenUp"] == 0
    assert rollout.registry.images_given_up([POOL.name]) == frozenset()


def test_a_revision_that_does_not_work_is_given_up_and_the_registry_names_its_image(rollout: EcsPool) -> None:
    (old,) = rollout.start()
    rollout.report(old, CONSUMING, active=4)
    before, revision = rollout.revision, update_stack(rollout, patience_s=0.0)
    rollout.tick()
    assert rollout.revision == revision
    rollout.tick()
    assert rollout.revision == before
    outcome = rollout.tick()
    assert f"{revision.rpartition('/')[2]} is given up" in outcome.reason
    assert (outcome.figures()["RolloutGivenUp"], outcome.is_well) == (1, False)
    assert rollout.registry.images_given_up([POOL.name]) == {"i:2"}
    rollout.tick()
    assert rollout.revision == before


def test_an_invocation_from_before_the_update_neither_moves_the_service_nor_names_its_own_image(
    rollout: EcsPool,
) -> None:
    (old,) = rollout.start()
    rollout.report(old, CONSUMING, active=4)
    before = replace(rollout.settings, pools=(replace(POOL, task_definition=rollout.revision),), image="i:1")
    began = time.time()
    first = rollout.revision
    update_stack(rollout, patience_s=0.0)
    for _ in range(3):
        rollout.tick()  # it is given up
    rollout.settings = before
    assert "RolloutGivenUp" not in rollout.tick(invoked_at=began - 1).figures()
    assert rollout.revision == first
    assert rollout.registry.images_given_up([POOL.name]) == {"i:2"}


def test_a_paused_service_is_not_moved(rollout: EcsPool) -> None:
    before = rollout.revision
    update_stack(rollout)
    paused = [{"key": "airflow-on-ecs:paused", "value": "true"}]
    rollout.ecs.tag_resource(resourceArn=rollout.described()["serviceArn"], tags=paused)
    assert rollout.tick().step is None
    assert rollout.revision == before


def test_a_move_that_ecs_refuses_is_a_problem_and_is_asked_for_again(rollout: EcsPool) -> None:
    for arn in rollout.start(2):
        rollout.report(arn, CONSUMING, active=4)
    revision = update_stack(rollout)
    with rollout.refusing("UpdateService"):
        assert any("ThrottlingException" in problem for problem in rollout.tick().problems)
    assert rollout.revision != revision
    rollout.tick()
    assert rollout.revision == revision


def test_new_workers_that_take_tasks_and_crash_count_as_working_and_raise_an_alarm(rollout: EcsPool) -> None:
    """Old workers drain once a new one has consumed, and then the new schedulers start: there is no way back."""
    clock = [0.0]
    rollout.watch(lambda: clock[0])
    (old,) = rollout.start()
    rollout.report(old, CONSUMING, active=4)
    revision = update_stack(rollout)
    rollout.tick()
    unknown = []
    for _ in range(5):
        (new,) = rollout.start()
        rollout.report(new, CONSUMING, active=4)
        assert rollout.tick().figures()["RolloutGivenUp"] == 0
        rollout.report(old, DRAINING, active=4)
        rollout.report(new, CONSUMING, active=4)  # the last before its end
        rollout.ecs.submit_task_state_change(cluster=CLUSTER, task=new, status="STOPPED")
        clock[0] += 60
        outcome = rollout.tick()
        unknown.append(outcome.figures()["Unknown"])
        assert not outcome.is_well, outcome.to_record()
        rollout.registry.forget(f"{new.rsplit('/', 1)[-1]}/worker")  # it expires
    assert rollout.revision == revision
    alarm = rendered.resources("AWS::CloudWatch::Alarm")["AlarmWorkerLost"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == ("Unknown", "Maximum", 60)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    breaching = sum(figure > 0 for figure in unknown)  # a minute each, and a crash each two or three minutes
    assert breaching >= alarm["DatapointsToAlarm"] > 1
    assert alarm["EvaluationPeriods"] >= 3 * len(unknown)
