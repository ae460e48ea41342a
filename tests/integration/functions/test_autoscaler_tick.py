"""The autoscaler with a real Redis and moto's ECS."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from autoscaler.handler import tick_repeatedly
from fleet import registry
from fleet.member import CONSUMING, DRAINED, DRAINING
from tests.support.servers import RedisServer
from tests.support.two_pools import BIG, CLUSTER, DEFAULT, Stack, two_pools, worker_id


@pytest.fixture
def stack(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with two_pools(redis_server, monkeypatch) as found:
        yield found


def test_a_backlog_raises_the_desired_count_and_is_recorded(stack: Stack) -> None:
    stack.enqueue("default", 9)
    stack.tick()
    assert stack.desired(DEFAULT) == 3  # 9 / 4, rounded up
    (raw,) = stack.redis.lrange(registry.decisions_key(DEFAULT.name), 0, -1)
    record = json.loads(raw)
    assert (record["was"], record["desired"], record["queued"]) == (1, 3, 9)
    assert "9 queued + 0 active need 3" in record["reason"]


def test_messages_of_every_priority_and_every_queue_of_the_pool_count(stack: Stack) -> None:
    for name in ("big", "big\x06\x163", "big\x06\x166", "big\x06\x169", "huge"):
        stack.enqueue(name, 1)
    assert stack.tick()["big"].figures()["Queued"] == 5


def test_the_service_is_not_updated_when_nothing_changes(stack: Stack) -> None:
    stack.enqueue("default", 9)
    stack.tick()
    assert stack.calls == ["DescribeServices", "UpdateService"]
    stack.tick()
    assert stack.calls == ["DescribeServices"]


def test_a_worker_drains_before_desired_falls(stack: Stack) -> None:
    stack.set_desired(DEFAULT, 2)
    stack.report("a", active=3)
    idle = stack.report("b")
    stack.tick()
    assert stack.registry.order(worker_id("b")) == registry.ORDER_DRAIN
    assert stack.desired(DEFAULT) == 2

    stack.report("b", state=DRAINING)
    stack.tick()
    assert stack.desired(DEFAULT) == 2

    stack.report("b", state=DRAINED, protected=False)
    stack.tick()
    assert stack.desired(DEFAULT) == 1
    assert list(stack.registry.read_memory(DEFAULT.name)["released"]) == [idle.id]

    stack.enqueue("default", 2)
    stack.tick()
    assert stack.registry.order(worker_id("b")) == registry.ORDER_DRAIN  # stopping: never recalled
    assert stack.desired(DEFAULT) == 2


def test_a_draining_worker_is_recalled_by_an_order(stack: Stack) -> None:
    stack.set_desired(DEFAULT, 2)
    stack.report("a", active=4)
    stack.report("b", state=DRAINING, active=1)
    stack.registry.give_orders({worker_id("b"): registry.ORDER_DRAIN})
    stack.tick()
    assert stack.registry.order(worker_id("b")) == registry.ORDER_CONSUME
    assert stack.calls == ["DescribeServices", "DescribeTasks"]


def test_workers_of_another_pool_and_other_roles_are_not_counted(stack: Stack) -> None:
    stack.report("a", active=1)
    stack.report("b", active=1, pool=BIG.name)
    stack.report("c", active=1, role="triggerer")
    outcomes = stack.tick()
    assert {pool: outcome.figures()["Active"] for pool, outcome in outcomes.items()} == {"worker": 1, "big": 1}


def test_a_tag_on_the_service_pauses_its_pool_and_no_other(stack: Stack) -> None:
    (service,) = stack.ecs.describe_services(cluster=CLUSTER, services=[DEFAULT.service])["services"]
    stack.ecs.tag_resource(resourceArn=service["serviceArn"], tags=[{"key": "airflow-on-ecs:paused", "value": " True"}])
    stack.report("a", state=DRAINING)
    stack.enqueue("default", 9)
    stack.enqueue("big", 1)
    outcomes = stack.tick()
    assert (stack.desired(DEFAULT), stack.desired(BIG)) == (1, 1)
    assert "paused" in outcomes["worker"].decision.reason
    assert stack.registry.order(worker_id("a")) is None

    stack.ecs.untag_resource(resourceArn=service["serviceArn"], tagKeys=["airflow-on-ecs:paused"])
    stack.tick()
    assert stack.desired(DEFAULT) == 3


def test_a_pool_goes_from_zero_to_work_and_back_to_zero(stack: Stack) -> None:
    stack.enqueue("big", 2)
    stack.tick()
    assert stack.desired(BIG) == 2
    stack.redis.delete("big")
    for state, protected in ((CONSUMING, True), (DRAINED, False)):
        for name in ("a", "b"):
            stack.report(name, pool=BIG.name, state=state, protected=protected)
        stack.tick()
    assert stack.desired(BIG) == 0
    for name in (worker_id("a"), worker_id("b")):
        stack.registry.forget(name)
    stack.tick()
    assert stack.desired(BIG) == 0


def test_services_are_described_ten_to_a_call(stack: Stack) -> None:
    pools = tuple(replace(DEFAULT, name=f"p{n}", service=f"s{n}") for n in range(11))
    for pool in pools:
        stack.serve(pool, desired=1)
    stack.parts = replace(stack.parts, settings=replace(stack.parts.settings, pools=pools))
    outcomes = stack.tick()
    assert stack.calls == ["DescribeServices"] * 2
    assert not any(outcome.observation.unreadable for outcome in outcomes.values())


def test_a_service_may_be_given_by_its_arn(stack: Stack) -> None:
    (service,) = stack.ecs.describe_services(cluster=CLUSTER, services=[DEFAULT.service])["services"]
    pool = replace(DEFAULT, service=service["serviceArn"])
    stack.parts = replace(stack.parts, settings=replace(stack.parts.settings, pools=(pool,)))
    stack.enqueue("default", 9)
    stack.tick()
    assert stack.desired(DEFAULT) == 3


class Hours:
    """A clock that only sleeping moves; `then` happens once, at a time in seconds from the beginning."""

    def __init__(self, *, then: tuple[float, Callable[[], object]] | None = None) -> None:
        self.now = 0.0
        self._then = then

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._then is not None and self.now >= self._then[0]:
            _, act = self._then
            self._then = None
            act()

    def left(self) -> float:
        return 75.0 - self.now

    def read(self) -> float:
        return self.now


def times_of_ticks(stack: Stack, clock: Hours, *, ticks: int, stays: bool = False) -> list[float]:
    """Return when ECS was asked about the services, which each tick does once."""
    times: list[float] = []

    def note(**_: object) -> None:
        times.append(clock.now)

    stack.ecs.meta.events.register("before-call.ecs.DescribeServices", note)
    try:
        tick_repeatedly(
            stack.parts, ticks=ticks, seconds_left=clock.left, stays=stays, sleep=clock.sleep, clock=clock.read
        )
    finally:
        stack.ecs.meta.events.unregister("before-call.ecs.DescribeServices", note)
    return times


def test_an_invocation_ticks_at_even_intervals_and_not_once_more_than_asked(stack: Stack) -> None:
    assert times_of_ticks(stack, Hours(), ticks=4) == [0.0, 15.0, 30.0, 45.0]


def test_an_invocation_ticks_within_a_second_when_messages_come(stack: Stack) -> None:
    burst = Hours(then=(3.0, lambda: stack.enqueue("default", 9)))
    # At 4 s as many wait as at 3 s: the next tick is the regular one.
    assert times_of_ticks(stack, burst, ticks=2) == [0.0, 3.0, 15.0]
    assert stack.desired(DEFAULT) == 3


def test_an_invocation_glances_until_shortly_before_the_next_one(stack: Stack) -> None:
    late = Hours(then=(57.0, lambda: stack.enqueue("default", 9)))
    assert times_of_ticks(stack, late, ticks=4, stays=True) == [0.0, 15.0, 30.0, 45.0, 57.0]
    assert late.now == 58.0


def test_a_glance_that_fails_waits_for_the_next_regular_tick(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr("autoscaler.handler.read_queues", fail)
    burst = Hours(then=(3.0, lambda: stack.enqueue("default", 9)))
    assert times_of_ticks(stack, burst, ticks=2) == [0.0, 15.0]


@pytest.mark.parametrize(
    ("timeout_s", "ticks"),
    [(60.0, 4), (55.0, 4), (54.9, 3), (9.0, 1)],  # the last of four begins at 45 s, and may take 10 s
)
def test_an_invocation_ends_before_its_timeout(stack: Stack, timeout_s: float, ticks: int) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    answer = tick_repeatedly(
        stack.parts, ticks=9, seconds_left=lambda: timeout_s - clock[0], sleep=sleep, clock=lambda: clock[0]
    )
    assert answer["ticks"] == ticks


def test_every_tick_logs_its_reason_and_no_message_is_read(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.redis.lpush("default", "a message with a token")
    stack.report("a", active=2)
    tick_repeatedly(stack.parts, ticks=1, seconds_left=lambda: 60.0)
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
    assert stack.tick()["worker"].oldest_wait_s == 0
    (stored,) = [stack.redis.get(registry.scaler_key(DEFAULT.name))]
    assert isinstance(stored, bytes)
    assert secret.encode() not in stored
    heads = json.loads(stored)["heads"]
    assert set(heads) == {"default", "default\x06\x163"}
    assert [len(digest) for digest, _ in heads.values()] == [16, 16]

    heads["default"][1] -= 100  # a hundred seconds later
    stack.redis.set(registry.scaler_key(DEFAULT.name), json.dumps({"heads": heads}))
    stack.redis.lpush("default", "a younger one")
    wait = stack.tick()["worker"].oldest_wait_s
    assert wait is not None
    assert 100 <= wait < 110
    stack.redis.rpop("default")  # the oldest message is taken
    assert stack.tick()["worker"].oldest_wait_s < 10  # type: ignore[operator]
    assert json.loads(stack.redis.lindex(registry.decisions_key(DEFAULT.name), 0))["oldest_wait"] < 10  # type: ignore[arg-type]


def test_the_redis_commands_of_a_tick_do_not_depend_on_the_queues_length(stack: Stack) -> None:
    def commands() -> int:
        stack.tick()
        before = int(stack.redis.info("stats")["total_commands_processed"])
        stack.tick()
        return int(stack.redis.info("stats")["total_commands_processed"]) - before

    stack.enqueue("default", 1)
    few = commands()
    stack.enqueue("default", 50_000)
    assert commands() == few
