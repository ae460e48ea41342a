"""Unreadable or implausible input: the size stays, log and metric say why, the next tick recovers."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from autoscaler.handler import tick_repeatedly
from fleet import registry
from shared import aws
from shared.broker import Broker, broker_of
from shared.settings import BrokerSettings
from tests.support.servers import RedisServer
from tests.support.two_pools import BIG, CLUSTER, DEFAULT, Stack, two_pools, worker_id

BEFORE = 2  # the desired count when the harm begins
MORE, LESS = "more", "less"  # what the demand asks for meanwhile: more workers or fewer
NOWHERE = BrokerSettings(host="127.0.0.1", port=1, tls=False, user="default", secret_arn="-")


@pytest.fixture
def stack(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with two_pools(redis_server, monkeypatch) as found:
        yield found


@dataclass(frozen=True, kw_only=True)
class Harm:
    """A harm: `does` makes and undoes it, the decision `says` it, `metric` counts it, for each of `inputs` if any."""

    does: Callable[[Stack], AbstractContextManager[None]]
    says: str
    metric: str = "Unreadable"
    inputs: tuple[str, ...] = ()
    wants: tuple[str, ...] = (MORE, LESS)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Run one tick; return what it leaves: the log line and metrics of the pool, and the unreadable inputs."""

    level: str
    decision: dict[str, Any]
    metrics: dict[str, float]
    inputs: tuple[str, ...]


def tick_once(stack: Stack, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Seen:
    capsys.readouterr()
    caplog.clear()
    tick_repeatedly(stack.parts, ticks=1, seconds_left=lambda: 60.0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    blobs = [line for line in lines if "_aws" in line and line.get("pool") == DEFAULT.name]
    (metrics,) = [line for line in blobs if "input" not in line]
    records = [record for record in caplog.records if hasattr(record, "decision")]
    (record,) = [record for record in records if record.decision["pool"] == DEFAULT.name]
    return Seen(
        level=record.levelname,
        decision=record.decision,
        metrics={name: value[0] for name, value in metrics.items() if isinstance(value, list)},
        inputs=tuple(line["input"] for line in blobs if "input" in line and line["Unreadable"] == [1]),
    )


@contextlib.contextmanager
def replaced(stack: Stack, key: str, write: Callable[[], object]) -> Iterator[None]:
    """Let the key hold what `write` writes."""
    if existed := bool(stack.redis.exists(key)):
        stack.redis.rename(key, "aside")
    write()
    yield
    stack.redis.delete(key)
    if existed:
        stack.redis.rename("aside", key)


def key_is_a_string(key: str) -> Callable[[Stack], AbstractContextManager[None]]:
    return lambda stack: replaced(stack, key, lambda: stack.redis.set(key, "nothing of the kind"))


def key_is_a_list(key: str) -> Callable[[Stack], AbstractContextManager[None]]:
    return lambda stack: replaced(stack, key, lambda: stack.redis.lpush(key, "nothing of the kind"))


def record_is(text: str) -> Callable[[Stack], AbstractContextManager[None]]:
    key = registry.member_key(worker_id("b"))
    return lambda stack: replaced(stack, key, lambda: stack.redis.set(key, text))


def record_says(**change: Any) -> Callable[[Stack], AbstractContextManager[None]]:
    """Return the record of the worker b, except for a few fields."""
    key = registry.member_key(worker_id("b"))

    def write(stack: Stack) -> None:
        record = json.loads(stack.report("b").to_json())
        stack.redis.set(key, json.dumps(record | change))

    return lambda stack: replaced(stack, key, lambda: write(stack))


@contextlib.contextmanager
def member_from_the_future(stack: Stack) -> Iterator[None]:
    stack.redis.zadd(registry.MEMBERS_KEY, {worker_id("b"): stack.registry.now() + 3600})
    yield
    stack.report("b")


@contextlib.contextmanager
def service_deleted_by_hand(stack: Stack) -> Iterator[None]:
    stack.ecs.delete_service(cluster=CLUSTER, service=DEFAULT.service, force=True)
    yield
    stack.serve(DEFAULT, desired=BEFORE)


@contextlib.contextmanager
def service_never_made(stack: Stack) -> Iterator[None]:
    parts = stack.parts
    absent = replace(DEFAULT, service="stack-Absent")
    stack.parts = replace(parts, settings=replace(parts.settings, pools=(absent, BIG)))
    yield
    stack.parts = parts


def answer_lacks(what: str) -> Callable[[Stack], AbstractContextManager[None]]:
    @contextlib.contextmanager
    def harm(stack: Stack) -> Iterator[None]:
        def lose(response_dict: dict[str, Any], **_: Any) -> None:
            answer = json.loads(response_dict["body"])
            for service in answer["services"]:
                del service[what]
            response_dict["body"] = json.dumps(answer).encode()

        stack.ecs.meta.events.register("before-parse.ecs.DescribeServices", lose)
        yield
        stack.ecs.meta.events.unregister("before-parse.ecs.DescribeServices", lose)

    return harm


@contextlib.contextmanager
def redis_away(stack: Stack) -> Iterator[None]:
    parts = stack.parts
    stack.parts = replace(parts, broker=Broker(NOWHERE, read_password=lambda: ""))
    yield
    stack.parts = parts


@contextlib.contextmanager
def token_refused(stack: Stack) -> Iterator[None]:
    """Let Redis require another token than the secret holds."""
    secret = ["wrong"]
    parts = stack.parts
    stack.redis.config_set("requirepass", "right")
    refused = Broker(parts.settings.broker, read_password=lambda: secret[0])
    stack.parts = replace(parts, broker=refused)
    try:
        yield
        secret[0] = "right"
        assert refused.connect().ping()
    finally:
        stack.redis.config_set("requirepass", "")
        refused.close()
    stack.parts = parts


def malformed(does: Callable[[Stack], AbstractContextManager[None]]) -> Harm:
    return Harm(does=does, says="no scale-in: 1 registry record is malformed", metric="Malformed", wants=(LESS,))


HARMS = {
    "a record that is not JSON": malformed(record_is("no JSON")),
    "a deeply nested record": malformed(record_is("[" * 100_000)),
    "a record that is a list": malformed(key_is_a_list(registry.member_key(worker_id("b")))),
    "a record of an unknown version": malformed(record_says(version=99)),
    "a record with a negative count": malformed(record_says(active=-1)),
    "a record with an absurd count": malformed(record_says(active=10**9)),
    "a record whose count is a boolean": malformed(record_says(slots=True)),
    "a record in an unknown state": malformed(record_says(state="dancing")),
    "a record whose queues are no list": malformed(record_says(queues="default")),
    "a member from the future": malformed(member_from_the_future),
    "a queue that is a string": Harm(does=key_is_a_string("default"), says="default: WRONGTYPE", inputs=("queues",)),
    "a registry that is a list": Harm(
        does=key_is_a_list(registry.MEMBERS_KEY),
        says="(ZRANGE fleet:members 0 -1 WITHSCORES) of pipeline caused error: WRONGTYPE",
        inputs=("fleet",),
    ),
    "a service deleted by hand": Harm(
        does=service_deleted_by_hand, says="service: the service stack-Worker is INACTIVE", inputs=("service",)
    ),
    "a service that was never made": Harm(
        does=service_never_made, says="service: the service stack-Absent is MISSING", inputs=("service",)
    ),
    "an answer without a count": Harm(
        does=answer_lacks("runningCount"), says="without services[0].runningCount", inputs=("service",)
    ),
    "an answer without deployments": Harm(
        does=answer_lacks("deployments"), says="without services[0].deployments", inputs=("service",)
    ),
    "DescribeServices throttled": Harm(
        does=lambda stack: stack.refusing("DescribeServices"), says="ThrottlingException", inputs=("service",)
    ),
    "UpdateService throttled": Harm(
        does=lambda stack: stack.refusing("UpdateService"), says="ThrottlingException", metric="Failed", wants=(MORE,)
    ),
    "Redis away": Harm(does=redis_away, says="ConnectionError", inputs=("queues", "fleet")),
    "a token that Redis refuses": Harm(does=token_refused, says="AuthenticationError", inputs=("queues", "fleet")),
}


@pytest.mark.parametrize(
    ("harm", "wants"),
    [pytest.param(harm, wants, id=f"{name}-{wants}") for name, harm in HARMS.items() for wants in harm.wants],
)
def test_the_size_stays_log_and_metric_say_why_and_the_next_tick_recovers(
    stack: Stack, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, harm: Harm, wants: str
) -> None:
    stack.set_desired(DEFAULT, BEFORE)
    stack.report("a", active=1)
    stack.report("b")
    if wants == MORE:
        stack.enqueue("default", 9)

    with harm.does(stack):
        seen = tick_once(stack, capsys, caplog)
        assert stack.registry.order(worker_id("b")) is None
    assert stack.desired(DEFAULT) == BEFORE
    assert seen.level == "WARNING"
    assert harm.says in "; ".join([seen.decision["reason"], *seen.decision["problems"]])
    assert seen.metrics[harm.metric] == (len(harm.inputs) or 1)
    assert seen.inputs == harm.inputs

    seen = tick_once(stack, capsys, caplog)
    assert seen.level == "INFO"
    assert [seen.metrics[name] for name in ("Unreadable", "Malformed", "Failed")] == [0, 0, 0]
    if wants == MORE:
        assert stack.desired(DEFAULT) == 3  # 9 queued and 1 active, 4 a worker
    else:
        assert stack.registry.order(worker_id("b")) == registry.ORDER_DRAIN


def test_unreadable_input_has_no_figure(stack: Stack) -> None:
    stack.redis.set("huge", "no list")
    stack.redis.set(registry.MEMBERS_KEY, "no sorted set")
    figures = stack.tick()["big"].figures()
    assert not {"Queued", "Active", "Consuming"} & figures.keys()  # a zero would seem to be a measurement


def test_an_absurd_backlog_asks_for_no_more_than_the_maximum(stack: Stack) -> None:
    stack.enqueue("default", 50_000)
    stack.tick()
    assert stack.desired(DEFAULT) == DEFAULT.maximum


def test_the_secret_is_read_again_within_the_same_tick_after_a_rotation(stack: Stack) -> None:
    secrets = aws.client("secretsmanager")
    arn = secrets.create_secret(Name="token", SecretString="first")["ARN"]
    settings = replace(stack.parts.settings, broker=replace(stack.parts.settings.broker, secret_arn=arn))
    broker = broker_of(settings.broker)
    stack.parts = replace(stack.parts, settings=settings, broker=broker)
    stack.redis.config_set("requirepass", "first")
    try:
        stack.redis.auth("first")
        assert stack.tick()["worker"].is_well
        secrets.put_secret_value(SecretId=arn, SecretString="second")
        stack.redis.config_set("requirepass", "second")
        assert stack.tick()["worker"].is_well  # an authenticated connection stays open
        # Drop the function's connections, as a failover does; the test's own connection stays.
        stack.redis.client_kill_filter(_type="normal", skipme=True)
        assert stack.tick()["worker"].is_well
    finally:
        stack.redis.config_set("requirepass", "")
        broker.close()


def test_an_unknown_order_is_ignored(stack: Stack) -> None:
    stack.report("a")
    stack.redis.set(registry.order_key(worker_id("a")), b"\xff")
    assert stack.tick()["worker"].decision.needed == 1


@pytest.mark.parametrize("memory", ["no JSON", "[]", "[" * 100_000, '{"released": 3}', None], ids=lambda m: str(m)[:12])
def test_invalid_memory_is_replaced(stack: Stack, memory: str | None) -> None:
    key = registry.scaler_key(DEFAULT.name)
    if memory is None:
        stack.redis.lpush(key, "no string")
    else:
        stack.redis.set(key, memory)
    stack.enqueue("default", 9)
    assert "memory lost" in stack.tick()["worker"].problems[0]
    assert stack.desired(DEFAULT) == 3
    assert stack.tick()["worker"].problems == ()


ONE_POOLS_HARMS = {
    "its service deleted": lambda stack: service_deleted_by_hand(stack),
    "its UpdateService throttled": lambda stack: stack.refusing("UpdateService", of=DEFAULT.service),
    "its queue of another type": key_is_a_string("default"),
    "its memory of another type": key_is_a_list(registry.scaler_key(DEFAULT.name)),
    "its memory deeply nested": lambda stack: replaced(
        stack,
        registry.scaler_key(DEFAULT.name),
        lambda: stack.redis.set(registry.scaler_key(DEFAULT.name), "[" * 100_000),
    ),
    "its decisions of another type": key_is_a_string(registry.decisions_key(DEFAULT.name)),
}


@pytest.mark.parametrize("harm", ONE_POOLS_HARMS.values(), ids=ONE_POOLS_HARMS)
def test_the_failure_of_one_pool_leaves_the_others_alone(
    stack: Stack, harm: Callable[[Stack], AbstractContextManager[None]]
) -> None:
    stack.enqueue("default", 9)
    stack.enqueue("huge", 2)
    with harm(stack):
        outcomes = stack.tick()
        assert not outcomes["worker"].is_well
        assert outcomes["big"].is_well
        assert stack.desired(BIG) == 2
