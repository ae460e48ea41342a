"""The autoscaler against a real Redis and an ECS by moto."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from moto import mock_aws

from autoscaler.handler import Wiring, look_repeatedly
from autoscaler.look import look, look_at_all
from autoscaler.report import Outcome
from autoscaler.settings import Settings
from fleet import registry
from fleet.registry import Member, Registry
from shared import aws
from shared.broker import Broker
from shared.pools import Pool
from shared.settings import BrokerSettings

CLUSTER = "stack-Cluster"
DEFAULT = Pool(name="worker", service="stack-Worker", queues=("default",), minimum=1, maximum=10, concurrency=4)
BIG = Pool(name="big", service="stack-Big", queues=("big", "huge"), minimum=0, maximum=3, concurrency=1)


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

    def look(self) -> dict[str, Outcome]:
        self.calls.clear()
        outcomes = look(settings=self.parts.settings, broker=self.parts.broker, ecs=self.ecs)
        return {outcome.pool: outcome for outcome in outcomes}

    def desired(self, pool: Pool) -> int:
        (service,) = self.ecs.describe_services(cluster=CLUSTER, services=[pool.service])["services"]
        return int(service["desiredCount"])

    def enqueue(self, name: str, count: int) -> None:
        self.redis.lpush(name, *["a message"] * count)

    def report(self, name: str, **other: Any) -> Member:
        plain = Member(
            id=f"{name}/worker",
            role="worker",
            pool=DEFAULT.name,
            image_version="1",
            dags_hash="1",
            airflow_version="3.3.2",
            state=registry.CONSUMING,
            slots=4,
            active=0,
            protected=True,
            started_at=0.0,
            task_arn=f"arn:aws:ecs:eu-central-1:123456789012:task/{CLUSTER}/{name}",
            container="worker",
            queues=DEFAULT.queues,
        )
        member = replace(plain, **other)
        self.registry.report(member)
        return member


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_METRICS_NAMESPACE": "AirflowOnEcs",
        "POWERTOOLS_SERVICE_NAME": "autoscaler",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def stack(redis_server: Any, aws_environment: None) -> Iterator[Stack]:
    redis_server.client.flushall()
    with mock_aws():
        ecs = aws.client("ecs")
        ecs.create_cluster(clusterName=CLUSTER)
        ecs.register_task_definition(
            family="worker", containerDefinitions=[{"name": "worker", "image": "i", "memory": 1, "cpu": 1}]
        )
        for pool in (DEFAULT, BIG):
            ecs.create_service(
                cluster=CLUSTER, serviceName=pool.service, taskDefinition="worker", desiredCount=pool.minimum
            )
        where = BrokerSettings(host=redis_server.host, port=redis_server.port, tls=False, secret_arn="-")
        settings = Settings(broker=where, cluster=CLUSTER, pools=(DEFAULT, BIG), poll_seconds=15, scale_in_after_s=0)
        broker = Broker(where, read_password=lambda: "")
        found = Stack(redis=redis_server.client, ecs=ecs, parts=Wiring(settings=settings, broker=broker, ecs=ecs))
        ecs.meta.events.register("before-call.ecs", lambda model, **_: found.calls.append(model.name))
        yield found
        broker.close()
        redis_server.client.flushall()


def refuse(stack: Stack, operation: str) -> None:
    """Every further call of the operation is throttled."""

    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, operation)

    stack.ecs.meta.events.register_first(f"before-call.ecs.{operation}", throttled)


def test_a_backlog_raises_the_desired_count_and_is_recorded(stack: Stack) -> None:
    stack.enqueue("default", 9)
    stack.look()
    assert stack.desired(DEFAULT) == 3  # 9 / 4, rounded up
    (raw,) = stack.redis.lrange(registry.decisions_key(DEFAULT.name), 0, -1)
    record = json.loads(raw)
    assert (record["was"], record["desired"], record["queued"]) == (1, 3, 9)
    assert "9 queued + 0 active need 3" in record["reason"]


def test_messages_of_every_priority_and_every_queue_of_the_pool_count(stack: Stack) -> None:
    for name in ("big", "big\x06\x163", "big\x06\x166", "big\x06\x169", "huge"):
        stack.enqueue(name, 1)
    assert stack.look()["big"].figures()["Queued"] == 5


def test_nothing_is_updated_when_nothing_changes(stack: Stack) -> None:
    stack.enqueue("default", 9)
    stack.look()
    assert stack.calls == ["DescribeServices", "UpdateService"]
    stack.look()
    assert stack.calls == ["DescribeServices"]


def test_a_worker_drains_before_desired_falls(stack: Stack) -> None:
    stack.ecs.update_service(cluster=CLUSTER, service=DEFAULT.service, desiredCount=2)
    stack.report("a", active=3)
    idle = stack.report("b")
    stack.look()
    assert stack.registry.order("b/worker") == registry.ORDER_DRAIN
    assert stack.desired(DEFAULT) == 2

    stack.report("b", state=registry.DRAINING)
    stack.look()
    assert stack.desired(DEFAULT) == 2

    stack.report("b", state=registry.DRAINED, protected=False)
    stack.look()
    assert stack.desired(DEFAULT) == 1
    assert list(stack.registry.recall(DEFAULT.name)["released"]) == [idle.id]

    stack.enqueue("default", 2)
    stack.look()
    assert stack.registry.order("b/worker") == registry.ORDER_DRAIN  # released: never recalled
    assert stack.desired(DEFAULT) == 2


def test_a_draining_worker_is_recalled_by_an_order(stack: Stack) -> None:
    stack.ecs.update_service(cluster=CLUSTER, service=DEFAULT.service, desiredCount=2)
    stack.report("a", active=4)
    stack.report("b", state=registry.DRAINING, active=1)
    stack.registry.give_orders({"b/worker": registry.ORDER_DRAIN})
    stack.look()
    assert stack.registry.order("b/worker") == registry.ORDER_CONSUME
    assert stack.calls == ["DescribeServices"]


def test_workers_of_another_pool_and_other_roles_are_not_counted(stack: Stack) -> None:
    stack.report("a", active=1)
    stack.report("b", active=1, pool=BIG.name)
    stack.report("c", active=1, role="triggerer")
    outcomes = stack.look()
    assert {pool: outcome.figures()["Active"] for pool, outcome in outcomes.items()} == {"worker": 1, "big": 1}


def test_a_queue_key_of_another_type_keeps_that_pools_size_only(stack: Stack) -> None:
    stack.redis.set("huge", "no list")
    stack.enqueue("big", 2)
    stack.enqueue("default", 9)
    outcomes = stack.look()
    assert (stack.desired(BIG), stack.desired(DEFAULT)) == (0, 3)
    assert "huge: WRONGTYPE" in outcomes["big"].decision.reason
    assert outcomes["big"].figures()["Unreadable"] == 1
    assert "Queued" not in outcomes["big"].figures()  # an error is never read as zero
    assert outcomes["worker"].figures()["Unreadable"] == 0


def test_a_registry_of_another_type_keeps_the_size(stack: Stack) -> None:
    stack.redis.set(registry.MEMBERS_KEY, "no sorted set")
    stack.enqueue("default", 9)
    outcome = stack.look()["worker"]
    assert stack.desired(DEFAULT) == 1
    assert "fleet" in outcome.decision.reason
    assert "Active" not in outcome.figures()


def test_a_malformed_member_prevents_scale_in_until_it_is_gone(stack: Stack) -> None:
    stack.ecs.update_service(cluster=CLUSTER, service=DEFAULT.service, desiredCount=2)
    stack.report("a", active=1)
    stack.report("b")
    broken = stack.report("c", pool=BIG.name)
    stack.redis.set(registry.member_key(broken.id), "no JSON")
    outcome = stack.look()["worker"]
    assert (outcome.decision.drain, outcome.figures()["Malformed"]) == ((), 1)
    stack.registry.forget(broken.id)
    assert stack.look()["worker"].decision.drain == ("b/worker",)


@pytest.mark.parametrize(
    "change",
    [{"version": 99}, {"active": -1}, {"active": 10**9}, {"slots": True}, {"state": "dancing"}, {"queues": "default"}],
    ids=str,
)
def test_a_record_that_no_worker_would_write_moves_nothing_and_is_counted(stack: Stack, change: dict[str, Any]) -> None:
    stack.ecs.update_service(cluster=CLUSTER, service=DEFAULT.service, desiredCount=2)
    stack.report("a", active=1)
    stack.report("b")
    odd = stack.report("c", active=1)
    record = json.loads(odd.to_json()) | change
    stack.redis.set(registry.member_key(odd.id), json.dumps(record))
    outcome = stack.look()["worker"]
    assert (outcome.decision.desired, outcome.decision.drain) == (2, ())
    assert outcome.figures()["Malformed"] == 1
    assert "1 malformed" in outcome.decision.reason
    stack.registry.report(odd)  # the next good report
    assert stack.look()["worker"].figures()["Malformed"] == 0


def test_a_member_from_the_future_moves_nothing_and_is_counted(stack: Stack) -> None:
    stack.ecs.update_service(cluster=CLUSTER, service=DEFAULT.service, desiredCount=2)
    stack.report("a", active=1)
    stack.report("b")
    stack.redis.zadd(registry.MEMBERS_KEY, {"b/worker": stack.registry.now() + 3600})
    outcome = stack.look()["worker"]
    assert (outcome.decision.desired, outcome.decision.drain) == (2, ())
    assert outcome.figures()["Malformed"] == 1
    stack.report("b")
    assert stack.look()["worker"].decision.drain == ("b/worker",)


def test_an_absurd_backlog_asks_for_no_more_than_the_maximum(stack: Stack) -> None:
    stack.enqueue("default", 50_000)
    stack.look()
    assert stack.desired(DEFAULT) == DEFAULT.maximum


@pytest.mark.parametrize("lacking", ["desiredCount", "runningCount", "deployments"])
def test_an_answer_of_ecs_that_lacks_something_keeps_the_size(stack: Stack, lacking: str) -> None:
    stack.enqueue("default", 9)

    def lose(parsed: dict[str, Any], **_: Any) -> None:
        for service in parsed["services"]:
            del service[lacking]

    stack.ecs.meta.events.register("after-call.ecs.DescribeServices", lose)
    outcome = stack.look()["worker"]
    assert outcome.decision.desired is None
    assert lacking in outcome.decision.reason
    stack.ecs.meta.events.unregister("after-call.ecs.DescribeServices", lose)
    stack.look()
    assert stack.desired(DEFAULT) == 3


def test_a_rotated_password_costs_no_look(stack: Stack) -> None:
    passwords = ["old"]
    where = stack.parts.broker._settings
    rotating = Broker(where, read_password=lambda: passwords[-1])
    stack.parts = replace(stack.parts, broker=rotating)
    stack.redis.config_set("requirepass", "old")
    try:
        stack.redis.auth("old")
        assert not stack.look()["worker"].observation.unreadable
        passwords.append("new")
        stack.redis.config_set("requirepass", "new")
        rotating.close()  # as a failover, or a long freeze of the function, does
        assert not stack.look()["worker"].observation.unreadable
        passwords.append("wrong")
        rotating.close()
        refused = stack.look()["worker"]
        assert refused.figures()["Unreadable"] == 2
        assert "AuthenticationError" in refused.decision.reason
        passwords.append("new")
        assert not stack.look()["worker"].observation.unreadable
    finally:
        stack.redis.config_set("requirepass", "")
        rotating.close()


def test_an_order_that_is_none_is_no_order(stack: Stack) -> None:
    stack.report("a")
    stack.redis.set(registry.order_key("a/worker"), b"\xff")
    assert stack.look()["worker"].decision.needed == 1


def test_redis_away_keeps_every_size_and_says_so(stack: Stack) -> None:
    stack.enqueue("default", 9)
    nowhere = Broker(BrokerSettings(host="127.0.0.1", port=1, tls=False, secret_arn="-"), read_password=lambda: "")
    outcomes = look(settings=stack.parts.settings, broker=nowhere, ecs=stack.ecs)
    nowhere.close()
    assert [outcome.figures()["Unreadable"] for outcome in outcomes] == [2, 2]
    assert all("ConnectionError" in outcome.decision.reason for outcome in outcomes)
    assert stack.desired(DEFAULT) == 1
    assert stack.look()["worker"].figures()["Unreadable"] == 0
    assert stack.desired(DEFAULT) == 3


def test_an_ecs_that_throttles_keeps_every_size(stack: Stack) -> None:
    stack.enqueue("default", 9)
    refuse(stack, "DescribeServices")
    outcome = stack.look()["worker"]
    assert outcome.decision.desired is None
    assert "ThrottlingException" in outcome.decision.reason
    assert "UpdateService" not in stack.calls


def test_a_desired_count_that_ecs_refuses_is_a_problem_with_a_name(stack: Stack) -> None:
    stack.enqueue("default", 9)
    refuse(stack, "UpdateService")
    outcome = stack.look()["worker"]
    assert outcome.figures()["Failed"] == 1
    assert "ThrottlingException" in outcome.problems[0]
    assert json.loads(stack.redis.lindex(registry.decisions_key(DEFAULT.name), 0))["problems"]  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["INACTIVE", "MISSING"])
def test_a_service_deleted_by_hand_is_left_alone(stack: Stack, status: str) -> None:
    stack.enqueue("default", 9)
    if status == "INACTIVE":
        stack.ecs.delete_service(cluster=CLUSTER, service=DEFAULT.service, force=True)
    else:
        absent = replace(DEFAULT, service="stack-Absent")
        settings = replace(stack.parts.settings, pools=(absent, BIG))
        stack.parts = replace(stack.parts, settings=settings)
    outcome = stack.look()["worker"]
    assert outcome.decision.desired is None
    assert stack.calls == ["DescribeServices"]
    assert "service" in outcome.decision.reason


@pytest.mark.parametrize("memory", ["no JSON", "[]", '{"released": 3}', None])
def test_a_memory_that_makes_no_sense_is_replaced(stack: Stack, memory: str | None) -> None:
    key = registry.scaler_key(DEFAULT.name)
    if memory is None:
        stack.redis.lpush(key, "no string")
    else:
        stack.redis.set(key, memory)
    stack.enqueue("default", 9)
    assert "memory lost" in stack.look()["worker"].problems[0]
    assert stack.desired(DEFAULT) == 3
    assert stack.look()["worker"].problems == ()


def test_a_tag_on_the_service_pauses_its_pool_and_no_other(stack: Stack) -> None:
    (service,) = stack.ecs.describe_services(cluster=CLUSTER, services=[DEFAULT.service])["services"]
    stack.ecs.tag_resource(resourceArn=service["serviceArn"], tags=[{"key": "airflow-on-ecs:paused", "value": " True"}])
    stack.report("a", state=registry.DRAINING)
    stack.enqueue("default", 9)
    stack.enqueue("big", 1)
    outcomes = stack.look()
    assert (stack.desired(DEFAULT), stack.desired(BIG)) == (1, 1)
    assert "paused" in outcomes["worker"].decision.reason
    assert stack.registry.order("a/worker") is None

    stack.ecs.untag_resource(resourceArn=service["serviceArn"], tagKeys=["airflow-on-ecs:paused"])
    stack.look()
    assert stack.desired(DEFAULT) == 3


def test_a_pool_goes_from_zero_to_work_and_back_to_zero(stack: Stack) -> None:
    stack.enqueue("big", 2)
    stack.look()
    assert stack.desired(BIG) == 2
    stack.redis.delete("big")
    for state, protected in ((registry.CONSUMING, True), (registry.DRAINED, False)):
        for name in ("a", "b"):
            stack.report(name, pool=BIG.name, state=state, protected=protected)
        stack.look()
    assert stack.desired(BIG) == 0
    for name in ("a/worker", "b/worker"):
        stack.registry.forget(name)
    stack.look()
    assert stack.desired(BIG) == 0


def test_services_are_described_ten_to_a_call(stack: Stack) -> None:
    pools = tuple(replace(DEFAULT, name=f"p{n}", service=f"s{n}") for n in range(11))
    for pool in pools:
        stack.ecs.create_service(cluster=CLUSTER, serviceName=pool.service, taskDefinition="worker", desiredCount=1)
    stack.parts = replace(stack.parts, settings=replace(stack.parts.settings, pools=pools))
    outcomes = stack.look()
    assert stack.calls == ["DescribeServices"] * 2
    assert not any(outcome.observation.unreadable for outcome in outcomes.values())


def test_a_service_may_be_given_by_its_arn(stack: Stack) -> None:
    (service,) = stack.ecs.describe_services(cluster=CLUSTER, services=[DEFAULT.service])["services"]
    pool = replace(DEFAULT, service=service["serviceArn"])
    stack.parts = replace(stack.parts, settings=replace(stack.parts.settings, pools=(pool,)))
    stack.enqueue("default", 9)
    stack.look()
    assert stack.desired(DEFAULT) == 3


def test_an_invocation_looks_at_even_intervals_and_not_once_more_than_asked(stack: Stack) -> None:
    clock = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds + 1.0  # each look takes a second

    answer = look_repeatedly(stack.parts, looks=4, seconds_left=lambda: 60.0, sleep=sleep, clock=lambda: clock[0])
    assert answer["looks"] == 4
    assert slept == [15.0, 14.0, 14.0]
    assert set(answer["pools"]) == {"worker", "big"}


@pytest.mark.parametrize(
    ("timeout_s", "looks"),
    [(60.0, 4), (55.0, 4), (54.9, 3), (9.0, 1)],  # the last of four begins at 45 s, and may take 10 s
)
def test_an_invocation_ends_before_its_time_does(stack: Stack, timeout_s: float, looks: int) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    answer = look_repeatedly(
        stack.parts, looks=9, seconds_left=lambda: timeout_s - clock[0], sleep=sleep, clock=lambda: clock[0]
    )
    assert answer["looks"] == looks


def test_every_look_explains_itself_and_no_message_is_read(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.redis.lpush("default", "a message with a token")
    stack.report("a", active=2)
    look_repeatedly(stack.parts, looks=1, seconds_left=lambda: 60.0)
    out = capsys.readouterr().out
    assert "a message" not in out
    lines = [json.loads(line) for line in out.splitlines()]
    metrics = {line.get("pool", "fleet"): line for line in lines if "_aws" in line}
    worker = metrics["worker"]
    assert worker["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["cluster", "pool"]]
    assert {line["cluster"] for line in metrics.values()} == {CLUSTER}
    # moto runs no task.
    names = ("Queued", "Active", "Desired", "Running", "Consuming", "Draining", "Unreadable")
    assert [worker[name][0] for name in names] == [1, 2, 1, 0, 1, 0, 0]
    assert set(metrics) == {"worker", "big", "fleet"}
    fleet = metrics["fleet"]
    assert fleet["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["cluster"]]
    assert (fleet["Phantoms"], fleet["UnconsumedQueues"]) == ([0], [0])
    assert 0 < fleet["DecisionLatency"][0] < 10_000


def test_the_oldest_message_has_waited_for_as_long_as_it_is_seen(stack: Stack) -> None:
    secret = "a message with a token"
    stack.redis.lpush("default", secret)
    stack.redis.lpush("default\x06\x163", "another")
    assert stack.look()["worker"].oldest_wait_s == 0
    (stored,) = [stack.redis.get(registry.scaler_key(DEFAULT.name))]
    assert isinstance(stored, bytes)
    assert secret.encode() not in stored
    heads = json.loads(stored)["heads"]
    assert set(heads) == {"default", "default\x06\x163"}
    assert [len(digest) for digest, _ in heads.values()] == [16, 16]

    heads["default"][1] -= 100  # a hundred seconds later
    stack.redis.set(registry.scaler_key(DEFAULT.name), json.dumps({"heads": heads}))
    stack.redis.lpush("default", "a younger one")
    wait = stack.look()["worker"].oldest_wait_s
    assert wait is not None
    assert 100 <= wait < 110
    stack.redis.rpop("default")  # the oldest is taken
    assert stack.look()["worker"].oldest_wait_s < 10  # type: ignore[operator]
    assert json.loads(stack.redis.lindex(registry.decisions_key(DEFAULT.name), 0))["oldest_wait"] < 10  # type: ignore[arg-type]


def test_what_redis_is_asked_depends_on_no_queues_length(stack: Stack) -> None:
    def commands() -> int:
        stack.look()
        before = int(stack.redis.info("stats")["total_commands_processed"])  # type: ignore[index]
        stack.look()
        return int(stack.redis.info("stats")["total_commands_processed"]) - before  # type: ignore[index]

    stack.enqueue("default", 1)
    few = commands()
    stack.enqueue("default", 50_000)
    assert commands() == few


def test_what_a_killed_worker_left_is_a_metric_and_no_demand(stack: Stack) -> None:
    stack.report("a", active=2)
    stack.redis.hset("unacked", mapping={f"tag-{n}": "a message" for n in range(5)})
    seen = look_at_all(settings=stack.parts.settings, broker=stack.parts.broker, ecs=stack.ecs)
    assert seen.state.phantoms == 3
    assert seen.outcomes[0].decision.needed == 1  # 2 / 4, rounded up
    stack.redis.set(registry.member_key("a/worker"), "no JSON")
    seen = look_at_all(settings=stack.parts.settings, broker=stack.parts.broker, ecs=stack.ecs)
    assert seen.state.phantoms is None  # nobody knows what that one runs


def test_a_queue_that_nobody_listens_to_is_named(
    stack: Stack, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stack.report("a", active=1)
    for name in ("default", "gpu", "gpu\x06\x163", "big", "x.reply.celery.pidbox", "celeryev.1"):
        stack.enqueue(name, 1)
    look_repeatedly(stack.parts, looks=1, seconds_left=lambda: 60.0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (fleet,) = [line for line in lines if "UnconsumedQueues" in line]
    assert fleet["UnconsumedQueues"] == [2]
    (warning,) = [record for record in caplog.records if hasattr(record, "queues")]
    assert (warning.levelname, warning.queues) == ("WARNING", ["big", "gpu"])  # big has no worker yet


def test_a_scan_without_end_gives_no_figure(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoscaler.broker_state.KEYS_A_PAGE", 1)
    stack.redis.mset({f"key-{n}": "" for n in range(200)})
    seen = look_at_all(settings=stack.parts.settings, broker=stack.parts.broker, ecs=stack.ecs)
    assert seen.state.unconsumed is None
    assert not seen.outcomes[0].observation.unreadable


def test_unacked_of_another_type_costs_its_figures_only(stack: Stack) -> None:
    stack.redis.set("unacked", "no hash")
    stack.enqueue("default", 9)
    seen = look_at_all(settings=stack.parts.settings, broker=stack.parts.broker, ecs=stack.ecs)
    assert (seen.state.phantoms, seen.state.unconsumed) == (None, None)
    assert stack.desired(DEFAULT) == 3
