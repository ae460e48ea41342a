"""A whole environment falls asleep and wakes, on the local AWS API and a real Redis."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fleet.registry import MEMBERS_KEY, Registry, member_key
from fleet.work import DEFAULT_LIMITS, parse_limits
from shared.service_names import ServiceNames
from shared.settings import SettingsError
from sleeper.handler import tick
from sleeper.read import Clients
from tests.support.aws_api import AwsApi
from tests.support.function_role import OF_LAMBDA, FunctionRole, lacks, warnings_in
from tests.support.servers import RedisServer
from tests.support.sleeping_world import ALARMS, NOW, Environment, clients_of, environment, role_of, with_role
from tests.support.version_world import FakeWebserver
from version_check.check import Wiring, check
from version_check.settings import Settings as CheckSettings
from version_check.verdict import ASLEEP as NOBODY_TO_COMPARE
from version_check.verdict import IN_SYNC

ASLEEP, AWAKE = "asleep", "awake"
LONG = NOW + 3600.0
ALL_OFF = {"airflow": 0, "worker": 0, "flower": 0}
ALL_ON = {"airflow": 1, "worker": 1, "flower": 1}
MOST_TICKS = 30
LISTS = "ecs:ListServices"
# Of the role; `make test` takes the first away, `make test-all` each.
ACTIONS = (
    "rds:StopDBInstance",
    *("rds:DescribeDBInstances", "rds:StartDBInstance"),
    *("ecs:DescribeClusters", "ecs:DescribeServices", "ecs:DescribeTasks", LISTS),
    *("ecs:TagResource", "ecs:UntagResource", "ecs:UpdateService"),
    *("application-autoscaling:DescribeScalableTargets", "application-autoscaling:RegisterScalableTarget"),
    *("cloudwatch:DescribeAlarms", "cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions"),
    "cloudwatch:SetAlarmState",
)


def marks_of(action: str) -> list[pytest.MarkDecorator]:
    return [] if action == ACTIONS[0] else [pytest.mark.slow]


@pytest.fixture(scope="module")
def clients(api: AwsApi, redis_server: RedisServer) -> Iterator[Clients]:
    made = clients_of(api, redis_server)
    yield made
    made.broker.close()


@pytest.fixture
def administered(clients: Clients, redis_server: RedisServer) -> Iterator[Environment]:
    redis_server.client.flushall()
    webserver = FakeWebserver()
    yield environment(clients, redis_server, webserver, name=f"c{uuid.uuid4().hex}")
    webserver.close()


@pytest.fixture
def role(administered: Environment, api: AwsApi) -> FunctionRole:
    return role_of(administered, api)


@pytest.fixture
def env(administered: Environment, role: FunctionRole) -> Iterator[Environment]:
    """Yield the environment with a sleeper that has its role and is refused nothing."""
    yield with_role(administered, role)
    assert role.refused == []


def versions(env: Environment) -> Any:
    """Return the version check's outcome, with its memory."""
    settings = CheckSettings(
        broker=env.settings.broker,
        cluster=env.name,
        services=env.fleet.services,
        webserver_url=env.fleet.webserver.url,
        site_url="http://airflow.example.com",
        limits=parse_limits(DEFAULT_LIMITS),
    )
    return check(Wiring(settings=settings, broker=env.clients.broker, ecs=env.clients.ecs, sns=lambda: None))


def test_everything_stops_in_order(env: Environment) -> None:
    env.want(ASLEEP)
    assert env.settle() == [
        "mark asleep",  # the pool: its worker drains by the autoscaler
        *("silence alarms", "suspend scaling", "mark asleep", "mark asleep", "stop tasks", "stop tasks"),
        "stop database",
    ]
    assert (env.sizes(), env.database(), env.loud_alarms()) == (ALL_OFF, "stopped", set())
    assert not env.is_scaling()


def test_everything_starts_in_order_with_the_sizes_that_were(env: Environment) -> None:
    env.clients.ecs.update_service(cluster=env.name, service=env.settings.airflow, desiredCount=2)
    env.do()
    env.want(ASLEEP)
    env.settle()
    env.want(AWAKE)
    assert env.settle() == [
        "start database",
        "restore tasks",
        "resume scaling",
        "restore tasks",
        "restore tasks",
        "arm alarms",
        "clear desired state",
    ]
    assert (env.sizes(), env.database()) == ({**ALL_ON, "airflow": 2}, "available")
    assert env.loud_alarms() == set(ALARMS)
    assert env.is_scaling()
    assert [tag for key in env.fleet.services for tag in env.described(key).get("tags", ())] == []


def test_a_desired_state_that_is_set_twice_is_reached_once(env: Environment) -> None:
    for wanted in (ASLEEP, AWAKE):
        env.want(wanted)
        env.settle()
        env.want(wanted)
        assert set(env.settle()) <= {"clear desired state"}


def test_a_running_task_is_waited_for(env: Environment) -> None:
    task = env.work(2)
    env.want(ASLEEP)
    record = env.tick()
    assert (record["steps"], record["says"]) == ([], f"waits: 2 active on {task}/worker of pool worker")
    assert env.sizes() == ALL_ON
    env.work(0)
    env.settle()
    assert env.sizes() == ALL_OFF


def test_a_task_that_is_queued_while_workers_drain_is_run_first(env: Environment) -> None:
    env.want(ASLEEP)
    env.tick()
    env.fleet.redis.lpush("default", "message")
    assert env.tick()["steps"] == ["restore tasks"]
    assert env.sizes()["worker"] == 1
    env.fleet.redis.delete("default")
    env.settle()
    assert env.sizes() == ALL_OFF


def test_what_the_scheduler_queues_in_its_last_second_does_not_wait_in_the_broker(env: Environment) -> None:
    env.want(ASLEEP)
    while "stop tasks" not in env.tick()["steps"]:
        pass
    env.fleet.redis.lpush("default", "message")
    assert env.settle() == ["drop messages", "stop database"]
    assert env.fleet.redis.llen("default") == 0


def test_an_environment_that_is_busy_for_too_long_stays_awake(env: Environment) -> None:
    task = env.work(1)
    env.want(ASLEEP)
    env.tick()
    record = env.tick(now=LONG)
    assert record["gave_up"]
    assert record["says"] == f"stays awake, too busy to sleep: 1 active on {task}/worker of pool worker"
    assert env.tick(now=LONG)["says"] == "awake"


def test_what_cannot_be_read_changes_nothing(env: Environment) -> None:
    env.want(ASLEEP)
    env.clients.rds.delete_db_instance(DBInstanceIdentifier=env.name, SkipFinalSnapshot=True)
    record = env.tick()
    assert (record["phase"], record["steps"], record["is_settled"]) == ("unknown", [], False)
    assert env.sizes() == ALL_ON


def test_queues_that_cannot_be_read_keep_the_environment_awake(env: Environment) -> None:
    env.fleet.redis.hset("default", "key", "value")  # no list: its length is an error
    env.want(ASLEEP)
    record = env.tick()
    assert record["steps"] == []
    assert record["says"].startswith("waits: queues and running tasks could not be read: ResponseError")


FORGED = f"{7:032x}"


def test_records_without_a_running_task_do_not_keep_the_environment_awake(env: Environment) -> None:
    env.fleet.report_one(FORGED, "worker", active=3)
    env.fleet.report_one("x", "worker", active=3)
    env.fleet.redis.zadd(MEMBERS_KEY, {f"{FORGED}/worker2": Registry(env.fleet.redis).now(), "y": 4e9})
    env.want(ASLEEP)
    env.settle()
    assert env.sizes() == ALL_OFF


def test_a_malformed_record_of_a_running_task_keeps_the_environment_awake(env: Environment) -> None:
    (task,) = env.fleet.tasks["worker"]
    env.want(ASLEEP)
    env.fleet.redis.set(member_key(f"{task}/worker"), "no JSON")
    assert "malformed members in the fleet registry: 1" in env.tick()["says"]
    assert env.sizes() == ALL_ON


def test_a_full_redis_is_read(env: Environment) -> None:
    task = env.work(2)
    env.want(ASLEEP)
    env.fleet.redis.config_set("maxmemory", 1)
    try:
        record = tick(settings=env.settings, clients=env.own, now=NOW)
    finally:
        env.fleet.redis.config_set("maxmemory", 0)
    assert record["says"] == f"waits: 2 active on {task}/worker of pool worker"


def test_a_database_that_starts_by_itself_is_stopped_again(env: Environment) -> None:
    env.want(ASLEEP)
    env.settle()
    env.clients.rds.start_db_instance(DBInstanceIdentifier=env.name)
    assert env.settle(now=LONG) == ["stop database"]


def test_a_sleeping_environment_is_neither_scaled_nor_compared(env: Environment) -> None:
    assert versions(env).verdict.status == IN_SYNC
    env.want(ASLEEP)
    env.settle()
    env.do()
    assert env.sizes() == ALL_OFF
    seen = versions(env)
    assert (seen.verdict.status, seen.memory, seen.problems) == (NOBODY_TO_COMPARE, None, ())
    env.want(AWAKE)
    env.settle()
    assert versions(env).memory.seconds_out_of_sync() == 0.0


def test_a_sleep_does_not_count_as_time_out_of_sync(env: Environment) -> None:
    env.fleet.webserver.mode = "error"
    versions(env)
    env.want(ASLEEP)
    env.settle()
    versions(env)
    env.want(AWAKE)
    env.settle()
    assert versions(env).memory.seconds_out_of_sync() == 0.0  # the time starts again


def test_an_alarm_that_is_still_on_after_waking_notifies_again(env: Environment) -> None:
    env.want(ASLEEP)
    env.settle()
    env.want(AWAKE)
    name = f"{env.name}-{ALARMS[0]}"
    env.clients.alarms.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    env.settle()
    assert env.loud_alarms() == {ALARMS[1]}
    env.settle(now=LONG)
    assert env.loud_alarms() == set(ALARMS)
    (alarm,) = env.clients.alarms.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"


def night(env: Environment) -> Iterator[Any]:
    """Yield the record of each tick of a night that needs every action of the role."""
    ServiceNames(env.own.ecs, cluster=env.name).find(env.fleet.services.values())  # as the handler does
    env.work(2)
    env.want(ASLEEP)
    yield env.tick()
    env.work(0)
    yield from until_settled(env)
    env.want(AWAKE)
    env.clients.alarms.set_alarm_state(AlarmName=f"{env.name}-{ALARMS[0]}", StateValue="ALARM", StateReason="test")
    yield from until_settled(env)
    yield from until_settled(env, now=LONG)


def until_settled(env: Environment, *, now: float = NOW) -> Iterator[Any]:
    for _ in range(MOST_TICKS):
        record = env.tick(now=now)
        yield record
        if record["is_settled"]:
            return
    raise AssertionError(record)


def test_a_night_needs_every_action_that_the_role_allows(env: Environment, role: FunctionRole) -> None:
    busy, *_ = list(night(env))
    assert busy["steps"] == []
    # This broker has no password. `make demo` reads that of the deployed one.
    assert role.granted - role.used == OF_LAMBDA | {"secretsmanager:GetSecretValue"}
    assert role.used == set(ACTIONS)


@pytest.mark.parametrize("action", [pytest.param(action, marks=marks_of(action)) for action in ACTIONS])
def test_an_action_that_the_role_lacks_is_told_in_words(
    administered: Environment, api: AwsApi, caplog: pytest.LogCaptureFixture, action: str
) -> None:
    role = role_of(administered, api, without=action)
    said: list[str] = []
    try:
        for record in night(with_role(administered, role)):
            said.append(record["says"])
            if role.refused:
                break
    except ClientError as error:  # as the desired state was written down: the invocation fails
        said.append(str(error))
    assert lacks(action) in said[-1] or (action == LISTS and lacks(action) in warnings_in(caplog))
    assert all(lacks(action) in message for message in role.refused)


def test_a_desired_state_other_than_asleep_and_awake_is_refused(env: Environment) -> None:
    with pytest.raises(SettingsError, match="want is 'dead': it must be one of asleep, awake"):
        env.want("dead")
