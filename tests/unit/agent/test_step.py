"""Unit tests of the fleet's step in the event loop, on a fake of Celery's consumer."""

from types import SimpleNamespace
from typing import Any

import pytest

from agent.conduct import CONFIRM_IDLE_S, Command
from agent.fleet_agent import HANGS_AFTER_S
from agent.worker import TICK_S, FleetStep

QUEUES = [SimpleNamespace(name="default"), SimpleNamespace(name="long")]


class TaskConsumer:
    """The part of kombu's Consumer that the step uses; `subscribed` are the queues that it takes messages from."""

    def __init__(self) -> None:
        self.listed = {queue.name for queue in QUEUES}
        self.subscribed: set[str] = set()
        self.channel = SimpleNamespace(qos=SimpleNamespace(_delivered={}, _dirty=set()), _in_poll=None)

    def consuming_from(self, name: str) -> bool:
        return name in self.subscribed

    def add_queue(self, queue: Any) -> None:
        self.listed.add(queue.name)

    def consume(self) -> None:
        self.subscribed = set(self.listed)

    def cancel_by_queue(self, name: str) -> None:
        self.listed.discard(name)
        self.subscribed.discard(name)


class Loop:
    """A worker's event loop with the step in it, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.tasks = TaskConsumer()
        self.reserved = 0
        consume_from = {queue.name: queue for queue in QUEUES}
        self.consumer = SimpleNamespace(
            task_consumer=self.tasks,
            app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=consume_from))),
        )
        monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://127.0.0.1:1/0")
        monkeypatch.setenv("ECS_AGENT_URI", "http://127.0.0.1:1")
        monkeypatch.setattr("agent.worker.monotonic", lambda: self.now)
        monkeypatch.setattr("agent.worker.count_active", lambda: self.reserved)
        monkeypatch.setattr("agent.worker.FleetAgent.start", lambda _: None)
        self.step = FleetStep(self.consumer)
        self.agent = self.step._agent
        self.step.start(self.consumer)

    def command(self, *, consume: bool) -> None:
        self.agent.command = Command(consume=consume, epoch=self.agent.command.epoch + 1)

    def run(self, seconds: float = TICK_S) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.now += TICK_S
            self.step._tick(self.consumer)

    @property
    def idle(self) -> bool:
        assert self.agent.snapshot is not None
        return self.agent.snapshot.idle


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


def test_a_worker_consumes_nothing_by_default(loop: Loop) -> None:
    loop.tasks.consume()  # as Celery's event loop does when it starts
    assert loop.tasks.subscribed == set()


def test_a_worker_consumes_every_queue_on_command(loop: Loop) -> None:
    loop.command(consume=True)
    loop.run()
    assert loop.tasks.subscribed == {"default", "long"}


def test_a_worker_leaves_every_queue_on_command(loop: Loop) -> None:
    loop.command(consume=True)
    loop.run()
    loop.command(consume=False)
    loop.run()
    assert loop.tasks.subscribed == set()


def test_a_worker_whose_agent_hangs_leaves_every_queue_until_it_goes_on(loop: Loop) -> None:
    loop.command(consume=True)
    loop.run()
    loop.agent._ticked_at -= HANGS_AFTER_S + 1
    loop.run(CONFIRM_IDLE_S + 1)
    assert loop.tasks.subscribed == set()
    loop.agent._ticked_at += HANGS_AFTER_S + 1
    loop.run()
    assert loop.tasks.subscribed == {"default", "long"}
    # What was idle meanwhile is not idle under the next command.
    loop.command(consume=False)
    loop.run()
    assert not loop.idle


def test_a_quiet_worker_is_idle_after_a_while(loop: Loop) -> None:
    loop.run(CONFIRM_IDLE_S)
    assert not loop.idle
    loop.run()
    assert loop.idle


def test_a_worker_with_tasks_is_not_idle(loop: Loop) -> None:
    loop.reserved = 1
    loop.run(2 * CONFIRM_IDLE_S)
    assert not loop.idle


def test_a_worker_that_still_polls_is_not_idle(loop: Loop) -> None:
    loop.tasks.channel._in_poll = object()
    loop.run(2 * CONFIRM_IDLE_S)
    assert not loop.idle


def test_a_worker_with_a_message_that_is_not_acknowledged_is_not_idle(loop: Loop) -> None:
    loop.tasks.channel.qos._delivered["tag"] = object()
    loop.run(2 * CONFIRM_IDLE_S)
    assert not loop.idle
    loop.tasks.channel.qos._dirty.add("tag")
    loop.run(2 * CONFIRM_IDLE_S)
    assert loop.idle


def test_a_worker_that_consumes_is_not_idle(loop: Loop) -> None:
    loop.command(consume=True)
    loop.run(2 * CONFIRM_IDLE_S)
    assert not loop.idle


def test_a_lost_connection_drops_the_snapshot(loop: Loop) -> None:
    loop.run(2 * CONFIRM_IDLE_S)
    loop.step.stop(loop.consumer)
    assert loop.agent.snapshot is None
    loop.step.start(loop.consumer)
    loop.run(CONFIRM_IDLE_S)
    assert not loop.idle


def test_a_worker_between_connections_has_no_snapshot(loop: Loop) -> None:
    loop.run()
    loop.consumer.task_consumer = None
    loop.run()
    assert loop.agent.snapshot is None


def test_a_worker_never_counts_as_idle_on_a_kombu_without_the_private_attributes(loop: Loop) -> None:
    del loop.tasks.channel._in_poll
    with pytest.raises(AttributeError):
        loop.run()
    assert loop.agent.snapshot is None
