"""From a tag of retirement to younger workers, with a real Redis and the ECS API of the local stack."""

import time
from collections.abc import Iterator

import pytest

from fleet import registry
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from shared.tags import retire_before_tag
from tests.support.aws_api import AwsApi
from tests.support.ecs_pool import EcsPool, ecs_pool
from tests.support.servers import RedisServer


@pytest.fixture
def pool(api: AwsApi, redis_server: RedisServer) -> Iterator[EcsPool]:
    with ecs_pool(api, redis_server) as found:
        yield found


def retire(pool: EcsPool) -> None:
    arn = pool.described()["serviceArn"]
    pool.ecs.tag_resource(resourceArn=arn, tags=[retire_before_tag(time.time() - 1)])


def test_busy_workers_are_replaced_one_by_one_and_none_loses_its_protection(pool: EcsPool) -> None:
    old = pool.start(2)
    names = [pool.report(arn, CONSUMING, active=4) for arn in old]
    assert all(map(pool.protect, old))
    pool.tick()
    assert pool.desired == 2
    retire(pool)
    pool.tick()
    assert pool.desired == 4  # two replacements beside them

    new = pool.start(2)
    assert all(map(pool.protect, new))  # desired leaves room for all
    for arn in new:
        pool.report(arn, STARTING, started_at=time.time())
    pool.tick()
    assert [pool.registry.order(name) for name in names] == [None, None]

    pool.report(new[0], CONSUMING, started_at=time.time())
    pool.tick()
    assert [pool.registry.order(name) for name in names].count(registry.ORDER_DRAIN) == 1
    pool.report(new[1], CONSUMING, started_at=time.time())
    pool.tick()
    assert [pool.registry.order(name) for name in names] == [registry.ORDER_DRAIN] * 2
    for arn in old:
        pool.report(arn, DRAINING, active=1)
    for arn in new:
        pool.report(arn, CONSUMING, active=4, started_at=time.time())
    pool.redis.lpush("default", "a task")  # one worker takes it, and what growth adds
    outcome = pool.tick()
    assert outcome.decision.recall == ()  # they have free slots, which do not count
    assert pool.desired == 5

    pool.redis.delete("default")
    (third,) = pool.start(1)
    pool.report(third, CONSUMING, started_at=time.time())
    for arn in old:
        assert pool.protect(arn, enabled=False)
        pool.report(arn, DRAINED)
    outcome = pool.tick()
    assert "2 drained workers are no longer needed" in outcome.decision.reason
    assert pool.desired == 3
    assert set(outcome.decision.memory.stopping) == set(names)


def test_a_malformed_tag_retires_no_worker(pool: EcsPool) -> None:
    names = [pool.report(arn, CONSUMING, active=4) for arn in pool.start(2)]
    tag = {"key": "airflow-on-ecs:retire-before", "value": "tomorrow"}
    pool.ecs.tag_resource(resourceArn=pool.described()["serviceArn"], tags=[tag])
    pool.tick()
    assert pool.desired == 2
    assert [pool.registry.order(name) for name in names] == [None, None]
