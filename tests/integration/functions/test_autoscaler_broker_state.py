"""What the autoscaler reports about the whole broker: phantoms, and queues that no worker consumes."""

import json
from collections.abc import Iterator

import celery
import pytest

from autoscaler.handler import tick_repeatedly
from fleet import registry
from fleet.access import unacked_keys
from fleet.member import DRAINED, DRAINING, STARTING, STOPPED
from tests.support.servers import RedisServer
from tests.support.two_pools import DEFAULT, Stack, two_pools, worker_id

UNACKED = unacked_keys(DEFAULT.name)[0]


@pytest.fixture
def stack(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with two_pools(redis_server, monkeypatch) as found:
        yield found


def test_messages_of_a_killed_worker_are_a_metric_and_no_demand(stack: Stack) -> None:
    stack.report("a", active=2)
    stack.redis.hset(UNACKED, mapping={f"tag-{n}": "a message" for n in range(5)})
    seen = stack.tick_all()
    assert seen.state.phantoms == 3
    assert seen.outcomes[0].decision.needed == 1  # 2 / 4, rounded up
    stack.redis.set(registry.member_key(worker_id("a")), "no JSON")
    seen = stack.tick_all()
    assert seen.state.phantoms is None  # what that worker runs is unknown


def test_a_queue_that_no_worker_consumes_is_named(
    stack: Stack, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stack.report("a", active=1)
    for name in ("default", "gpu", "gpu\x06\x163", "big", "x.reply.celery.pidbox", "celeryev.1"):
        stack.enqueue(name, 1)
    tick_repeatedly(stack.parts, ticks=1, seconds_left=lambda: 60.0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (fleet,) = [line for line in lines if "UnconsumedQueues" in line]
    assert fleet["UnconsumedQueues"] == [2]
    (warning,) = [record for record in caplog.records if hasattr(record, "queues")]
    assert (warning.levelname, warning.queues) == ("WARNING", ["big", "gpu"])  # big has no worker yet


def test_a_scan_without_end_gives_no_figure(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoscaler.redis_reader.KEYS_PER_PAGE", 1)
    stack.redis.mset({f"key-{n}": "" for n in range(200)})
    seen = stack.tick_all()
    assert seen.state.unconsumed is None
    assert not seen.outcomes[0].observation.unreadable


def test_unacked_of_another_type_loses_only_its_own_figures(stack: Stack) -> None:
    stack.redis.set(UNACKED, "no hash")
    stack.enqueue("default", 9)
    seen = stack.tick_all()
    assert (seen.state.phantoms, seen.state.unconsumed) == (None, None)
    assert stack.desired(DEFAULT) == 3


def test_a_task_that_celery_sent_to_a_misspelt_queue_is_found(stack: Stack, redis_server: RedisServer) -> None:
    stack.report("a")
    with celery.Celery("executor", broker=redis_server.url) as app:
        app.send_task("execute_workload", args=("secret",), queue="typo", ignore_result=True)
        app.send_task("execute_workload", args=("secret",), queue="typo too", priority=9, ignore_result=True)
        app.send_task("execute_workload", args=("secret",), queue="default", ignore_result=True)
    assert stack.tick_all().state.unconsumed == ("typo", "typo too")


@pytest.mark.parametrize("state", [STARTING, DRAINING, DRAINED, STOPPED])
def test_a_worker_that_takes_no_messages_does_not_count_as_a_consumer(stack: Stack, state: str) -> None:
    stack.enqueue("default", 1)
    stack.report("a", state=state)
    assert stack.tick_all().state.unconsumed == ("default",)
    stack.report("b")
    assert stack.tick_all().state.unconsumed == ()


def test_figures_that_are_missing_are_explained(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    stack.redis.set(UNACKED, "no hash")
    tick_repeatedly(stack.parts, ticks=1, seconds_left=lambda: 60.0)
    (warning,) = [record for record in caplog.records if hasattr(record, "problem")]
    assert (warning.levelname, "WRONGTYPE" in warning.problem) == ("WARNING", True)
