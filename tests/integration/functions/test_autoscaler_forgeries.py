"""Forged records, by someone who may write to Redis: the autoscaler neither stops nor runs away. With the local ECS."""

import dataclasses
import json
from collections.abc import Callable, Iterator

import pytest

from fleet import registry
from fleet.member import CONSUMING, DRAINED, DRAINING, Member
from tests.support.aws_api import AwsApi
from tests.support.ecs_pool import CLUSTER, POOL, EcsPool, ecs_pool
from tests.support.members import a_worker_of
from tests.support.servers import RedisServer

FAR_FUTURE = 4e9
NO_TASK = "arn:aws:ecs:eu-central-1:123456789012:task/rollout/"
Forge = Callable[[EcsPool], object]


@pytest.fixture
def pool(api: AwsApi, redis_server: RedisServer) -> Iterator[EcsPool]:
    with ecs_pool(api, redis_server) as found:
        yield found


def two_workers(pool: EcsPool, *, busy: int = 1) -> tuple[str, str]:
    """Let two workers run, the first with `busy` tasks, the other with one less; return their ids."""
    first, second = pool.start(2)
    longest = pool.report(first, CONSUMING, active=busy)
    return longest, pool.report(second, CONSUMING, active=max(0, busy - 1), started_at=1.0)


def forge(pool: EcsPool, name: str, /, **claims: object) -> Member:
    """Report what no container reports: a member of this task id."""
    arn = str(claims.pop("task_arn", f"{NO_TASK}{name}"))
    member = a_worker_of(POOL, arn, **{"id": f"{name}/worker", **claims})
    pool.registry.report(member)
    return member


def list_member(pool: EcsPool, name: str, at: float | None = None) -> None:
    pool.redis.zadd(registry.MEMBERS_KEY, {name: pool.registry.now() if at is None else at})


def of_another_service(pool: EcsPool) -> None:
    (task,) = pool.ecs.run_task(cluster=CLUSTER, taskDefinition="worker", group="service:Airflow")["tasks"]
    pool.ecs.submit_task_state_change(cluster=CLUSTER, task=task["taskArn"], status="RUNNING")
    forge(pool, task["taskArn"].rsplit("/", 1)[-1], task_arn=task["taskArn"])


def of_a_stopped_task(pool: EcsPool) -> None:
    (arn,) = pool.start()
    pool.ecs.submit_task_state_change(cluster=CLUSTER, task=arn, status="STOPPED")
    pool.report(arn, CONSUMING)


def of_another_task(pool: EcsPool) -> None:
    """Claim the ARN of a task that runs under the id of one that does not."""
    (real,) = pool.ecs.list_tasks(cluster=CLUSTER)["taskArns"][:1]
    forge(pool, f"{7:032x}", task_arn=real)


def second_of_a_task(pool: EcsPool) -> None:
    """Claim a container that a running task does not have."""
    (real,) = pool.ecs.list_tasks(cluster=CLUSTER)["taskArns"][:1]
    name = real.rsplit("/", 1)[-1]
    forge(pool, name, id=f"{name}/worker2", task_arn=real)


FORGERIES: dict[str, Forge] = {
    "a name of the far future": lambda pool: list_member(pool, "x", FAR_FUTURE),
    "a task's name of the far future": lambda pool: list_member(pool, f"{7:032x}/worker", FAR_FUTURE),
    "a name without a record": lambda pool: list_member(pool, f"{7:032x}/worker"),
    "a name that is no task's": lambda pool: forge(pool, "x"),
    "a name that is no text": lambda pool: pool.redis.zadd(registry.MEMBERS_KEY, {b"\xff/worker": pool.registry.now()}),
    "a task that ECS does not know": lambda pool: forge(pool, f"{7:032x}"),
    "a busy worker that ECS does not know": lambda pool: forge(pool, f"{7:032x}", active=10_000),
    "a task of another service": of_another_service,
    "a task that has stopped": of_a_stopped_task,
    "another task's ARN": of_another_task,
    "a second worker of a task": second_of_a_task,
    "a pool that is not declared": lambda pool: forge(pool, f"{7:032x}", pool="other"),
    "a role that is not declared": lambda pool: forge(pool, f"{7:032x}", role="dancer"),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_record_without_a_running_task_blocks_no_scale_in_and_is_counted_and_shown(
    pool: EcsPool, forgery: Forge
) -> None:
    _, idle = two_workers(pool)
    forgery(pool)
    outcome = pool.tick()
    assert outcome.decision.drain == (idle,)
    assert (outcome.figures()["Unknown"], outcome.figures()["Malformed"]) == (1, 0)
    assert outcome.figures()["Active"] == 1
    assert "1 registry record is ignored: no running ECS task of the pool" in outcome.decision.reason
    assert len(outcome.to_record()["ignored"]) == 1
    assert not outcome.is_well


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_record_without_a_running_task_is_no_capacity(pool: EcsPool, forgery: Forge) -> None:
    two_workers(pool, busy=5)
    forgery(pool)
    pool.redis.lpush("default", *["a message"] * 8)
    pool.tick()
    assert pool.desired == 4  # 8 queued, 4 a worker, and no slot is free


def test_a_hundred_forged_idle_members_do_not_stop_scale_out(pool: EcsPool) -> None:
    two_workers(pool)
    for number in range(100):
        forge(pool, f"{number:032x}")
    pool.redis.lpush("default", *["a message"] * 160)
    outcome = pool.tick()
    assert pool.desired == POOL.maximum
    assert outcome.figures()["Unknown"] == 100
    assert len(outcome.to_record()["ignored"]) == 20
    assert pool.calls.count("DescribeTasks") == 2


def test_names_of_the_future_are_swept_at_once_and_others_when_they_are_old(pool: EcsPool) -> None:
    two_workers(pool)
    list_member(pool, "x", FAR_FUTURE)
    list_member(pool, "y")
    list_member(pool, "z", pool.registry.now() - registry.MEMBER_TTL_S - 1)
    pool.tick()
    assert b"x" not in pool.redis.zrange(registry.MEMBERS_KEY, 0, -1)
    assert b"z" not in pool.redis.zrange(registry.MEMBERS_KEY, 0, -1)
    assert pool.redis.zcard(registry.MEMBERS_KEY) == 3  # both workers and y
    assert pool.tick().figures()["Unknown"] == 1


def test_a_malformed_record_of_a_running_task_still_blocks_scale_in(pool: EcsPool) -> None:
    _, idle = two_workers(pool)
    pool.redis.set(registry.member_key(idle), "no JSON")
    outcome = pool.tick()
    assert "no scale-in: 1 registry record is malformed" in outcome.decision.reason
    assert (outcome.figures()["Unknown"], outcome.figures()["Malformed"]) == (0, 1)


def test_a_worker_claims_no_more_than_a_worker_can_have(pool: EcsPool) -> None:
    first, _ = pool.start(2)
    name = first.rsplit("/", 1)[-1]
    forge(pool, name, task_arn=first, slots=10_000, active=10_000)
    outcome = pool.tick()
    assert outcome.figures()["Active"] == 8
    assert outcome.figures()["Malformed"] == 1
    assert "1 record claims more than a worker can have" in outcome.decision.reason
    forge(pool, name, task_arn=first, slots=10_000)
    pool.redis.lpush("default", *["a message"] * 160)
    pool.tick()
    assert pool.desired == POOL.maximum


def test_a_worker_whose_task_has_stopped_ends_as_soon_as_there_are_more_members_than_tasks(pool: EcsPool) -> None:
    clock = [0.0]
    pool.watch(lambda: clock[0])
    first, second = pool.start(2)
    for arn in (first, second):
        pool.report(arn, CONSUMING, active=4)
    assert pool.tick().figures()["Unknown"] == 0
    pool.ecs.submit_task_state_change(cluster=CLUSTER, task=second, status="STOPPED")
    clock[0] += 60
    outcome = pool.tick()
    assert (outcome.figures()["Unknown"], outcome.figures()["Active"]) == (1, 4)


class TestWithoutECSsAnswer:
    """DescribeTasks is refused; DescribeServices is not."""

    @pytest.fixture(autouse=True)
    def throttled(self, pool: EcsPool) -> Iterator[None]:
        with pool.refusing("DescribeTasks"):
            yield

    def test_no_worker_stops_and_the_reason_says_why(self, pool: EcsPool) -> None:
        two_workers(pool)
        outcome = pool.tick()
        assert outcome.decision.drain == ()
        assert "no scale-in: ECS did not say which tasks run (tasks: ClientError" in outcome.decision.reason
        assert outcome.figures()["Unreadable"] == 1

    def test_no_more_members_count_than_there_are_tasks(self, pool: EcsPool) -> None:
        two_workers(pool)
        for number in range(100):
            forge(pool, f"{number:032x}")
        pool.redis.lpush("default", *["a message"] * 160)
        outcome = pool.tick()
        assert pool.desired == POOL.maximum
        assert outcome.figures()["Unknown"] == 100

    def test_a_malformed_record_may_be_a_worker(self, pool: EcsPool) -> None:
        two_workers(pool)
        list_member(pool, f"{7:032x}/worker")
        assert pool.tick().figures()["Malformed"] == 1


MEMORIES = {
    "a launch of a billion tasks": {"launches": [[1.0, 999_999_999]]},
    "boots that take a year": {"boots_took": [31e6] * 50},
}


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_forged_memory_is_replaced(pool: EcsPool, memory: dict[str, object]) -> None:
    two_workers(pool)
    pool.redis.set(registry.scaler_key(POOL.name), json.dumps(memory))
    assert "memory lost" in pool.tick().problems[0]
    assert pool.tick().problems == ()


def test_a_forged_forecast_reaches_the_maximum_and_no_more_and_only_as_fast_as_allowed(pool: EcsPool) -> None:
    two_workers(pool)
    pool.registry.write_forecast(POOL.name, ((int(pool.registry.now()) + 30, 1_000_000),))
    pool.settings = dataclasses.replace(pool.settings, max_step_out=1)
    pool.tick()
    assert pool.desired == 3
    pool.settings = dataclasses.replace(pool.settings, max_step_out=None)
    pool.tick()
    assert pool.desired == POOL.maximum


class TestAFullRedis:
    """It refuses what could need memory, and every command of a transaction."""

    def test_it_is_read_and_workers_are_started(self, pool: EcsPool) -> None:
        two_workers(pool, busy=4)
        pool.redis.lpush("default", *["a message"] * 160)
        with pool.full():
            outcome = pool.tick()
            assert outcome.observation.unreadable == ()
            assert pool.desired == POOL.maximum
        assert "not carried out: OutOfMemoryError" in "; ".join(outcome.problems)
        assert "not recorded: OutOfMemoryError" in "; ".join(outcome.problems)
        assert outcome.figures()["Queued"] == 160

    def test_the_count_does_not_fall_before_the_memory_can_be_written(self, pool: EcsPool) -> None:
        first, second = pool.start(2)
        pool.report(first, CONSUMING, active=1)
        drained = pool.report(second, DRAINED)
        pool.registry.give_orders({drained: registry.ORDER_DRAIN})
        with pool.full():
            outcome = pool.tick()
            assert pool.desired == 2
            assert "desired 2 not lowered" in outcome.problems
        assert pool.tick().problems == ()
        assert pool.desired == 1

    def test_names_are_swept(self, pool: EcsPool) -> None:
        two_workers(pool)
        list_member(pool, "x", FAR_FUTURE)
        with pool.full():
            pool.tick()
            assert pool.redis.zcard(registry.MEMBERS_KEY) == 2

    def test_orders_are_given_once_there_is_room(self, pool: EcsPool) -> None:
        _, idle = two_workers(pool)
        with pool.full():
            assert pool.tick().problems
        assert pool.registry.order(idle) is None
        assert pool.tick().problems == ()
        assert pool.registry.order(idle) == registry.ORDER_DRAIN


def test_a_draining_worker_that_reports_no_more_slots_than_its_deployment_had_is_believed(pool: EcsPool) -> None:
    """While a deployment lowers the concurrency, old workers have more slots than the pool declares."""
    (old,) = pool.start()
    forge(pool, old.rsplit("/", 1)[-1], task_arn=old, slots=32, active=20, state=DRAINING)
    pool.ecs.update_service(cluster=CLUSTER, service=POOL.service, forceNewDeployment=True)
    outcome = pool.tick()
    assert (outcome.figures()["Active"], outcome.figures()["Malformed"]) == (20, 0)
