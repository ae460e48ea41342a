"""Another terminal finds the running stack: Redis by address, its password in the embedded Secrets Manager."""

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from fleet import access
from fleet.registry import Registry, decisions_key
from local.servers.redis import Redis
from local.ui.decisions import read_decisions
from project import paths, running
from project.errors import CommandError
from project.running import Running, recorded
from tests.support.aws_api import AwsApi
from tests.support.broker_users import POOLS, broker_with_users, password_of

PASSWORD = "a-password-that-no-file-may-hold"


@pytest.fixture
def stack(api: AwsApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(paths, "RUNNING", tmp_path / "running.json")
    server = Redis(tmp_path / "redis", password=PASSWORD).start()
    secret = api.client("secretsmanager").create_secret(Name=str(tmp_path), SecretString=PASSWORD)
    yield Running(
        redis_host=server.host,
        redis_port=server.port,
        endpoint=f"http://localhost:{api.port}",
        region=api.region,
        broker_user="default",
        broker_secret_arn=secret["ARN"],
        invocations="http://127.0.0.1:1",
        pools=["worker", "big"],
    )
    server.stop()


def test_the_file_is_for_its_user_alone_holds_no_password_and_goes_with_the_stack(stack: Running) -> None:
    paths.RUNNING.write_text("left by a stack that was killed")
    with recorded(stack):
        assert stat.S_IMODE(paths.RUNNING.stat().st_mode) == 0o600
        assert PASSWORD not in paths.RUNNING.read_text()
        assert running.find_stack() == stack
    assert not paths.RUNNING.exists()


def push(broker: redis.Redis, t: object, pool: object = "worker", **other: object) -> None:
    """Push an entry as a foreign writer might: with an invalid time or pool."""
    decision = {"t": t, "pool": pool, "reason": "", "problems": [], **other}
    broker.lpush(decisions_key("worker"), json.dumps(decision))


def test_the_last_decisions_of_each_pool_come_in_order(stack: Running) -> None:
    with stack.broker() as broker:
        for t, pool in ((1.0, "worker"), (2.0, "big"), (3.0, "worker"), (4.0, "big"), (5.0, "worker")):
            Registry(broker).record_decision(pool, {"t": t, "pool": pool, "reason": "", "problems": []})
        assert [decision["t"] for decision in read_decisions(broker, stack.pools, 2).found] == [2.0, 3.0, 4.0, 5.0]


def test_the_user_of_a_deployed_stack_may_read_the_decisions(api: AwsApi, stack: Running) -> None:
    secret = api.client("secretsmanager").create_secret(Name="page", SecretString=password_of(access.PAGE))
    with broker_with_users() as broker:
        for t, pool in enumerate(POOLS):
            Registry(broker.administrator).record_decision(pool, {"t": t, "pool": pool, "reason": "", "problems": []})
        deployed = replace(
            stack,
            redis_port=broker.server.port,
            broker_user=access.PAGE,
            broker_secret_arn=secret["ARN"],
            pools=[*POOLS],
        )
        with deployed.broker() as client:
            found = read_decisions(client, deployed.pools, 1)
    assert [decision["pool"] for decision in found.found] == [*POOLS]


def test_decisions_that_may_not_be_read_are_no_malformed_ones() -> None:
    with (
        broker_with_users() as broker,
        broker.client(access.READER) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        read_decisions(client, POOLS, 1)


def test_an_entry_without_a_decision_is_counted_and_hides_no_other(stack: Running) -> None:
    with stack.broker() as broker:
        push(broker, 1.0)
        push(broker, "noon")
        push(broker, True)
        push(broker, -1)
        push(broker, 1e300)
        push(broker, 2.0, pool=None)
        push(broker, 2.0, reason=7)
        push(broker, 2.0, problems="many")
        for entry in ("no JSON", "[]", "null", b"\xff", "[" * 100_000):
            broker.lpush(decisions_key("worker"), entry)
        broker.set(decisions_key("big"), "no list")
        push(broker, 3.0)
        found = read_decisions(broker, stack.pools, 100)
        assert [decision["t"] for decision in found.found] == [1.0, 3.0]
        assert found.unreadable == 13


@pytest.mark.parametrize("content", [None, "", "{}", "[]"])
def test_a_missing_stack_is_reported_in_one_line(stack: Running, content: str | None) -> None:
    if content is not None:
        paths.RUNNING.write_text(content)
    with pytest.raises(CommandError, match="no local stack is running"):
        running.find_stack()


def test_a_killed_stack_is_reported_at_once(stack: Running) -> None:
    gone = Running(**{**json.loads(json.dumps(stack.__dict__)), "redis_port": 1})
    with pytest.raises(CommandError, match="does not answer") as refused:
        gone.broker()
    assert not isinstance(refused.value.__cause__, redis.RedisError)
    assert "\n" not in str(refused.value)
