"""Unit tests of the fleet's step in the event loop, on a fake of Celery's consumer."""

from types import SimpleNamespace
from typing import Any

import pytest
import redis

from agent.conduct import CONFIRM_IDLE_S, PROOF_S, Command
from agent.fleet_agent import HANGS_AFTER_S
from agent.unacked import holdings
from agent.worker import TICK_S, FleetStep, count_active

QUEUES = [SimpleNamespace(name="default"), SimpleNamespace(name="long")]


class TaskConsumer:
    """The part of kombu's Consumer that the step uses; `subscribed` are the queues that it takes messages from."""

    def __init__(self) -> None:
        self.listed = {queue.name for queue in QUEUES}
        self.subscribed: set[str] = set()
        qos = SimpleNamespace(has_room=True, can_consume=lambda: True)
        self.channel = SimpleNamespace(qos=qos, _in_poll=None, answered_at=0.0)

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


def test_a_worker_with_a_message_that_is_not_acknowledged_is_not_idle(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.worker.count_active", count_active)
    monkeypatch.setitem(holdings.messages, "tag", object())
    loop.run(2 * CONFIRM_IDLE_S)
    assert not loop.idle
    del holdings.messages["tag"]
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


def test_a_connection_on_which_no_request_is_answered_is_given_up(loop: Loop) -> None:
    loop.command(consume=True)
    loop.run(PROOF_S)
    with pytest.raises(redis.TimeoutError):
        loop.run(2 * TICK_S)


def test_a_connection_on_which_requests_are_answered_is_kept(loop: Loop) -> None:
    loop.command(consume=True)
    for _ in range(3):
        loop.run(PROOF_S)
        loop.tasks.channel.answered_at = loop.now
    assert loop.agent.snapshot is not None
    assert loop.agent.snapshot.read_at == loop.now - PROOF_S


def test_a_new_connection_has_its_own_time(loop: Loop) -> None:
    loop.command(consume=True)
    loop.run(PROOF_S)
    loop.step.stop(loop.consumer)
    loop.step.start(loop.consumer)
    loop.run(PROOF_S)


def test_a_worker_without_a_free_slot_asks_for_nothing_and_has_nothing_to_prove(loop: Loop) -> None:
    loop.command(consume=True)
    loop.tasks.channel.qos.has_room = False
    loop.tasks.channel.qos.can_consume = lambda: False
    loop.run(3 * PROOF_S)
    assert loop.agent.snapshot is not None
    assert loop.agent.snapshot.read_at == loop.now


def test_a_worker_that_may_take_no_more_has_not_proven_that_it_does(loop: Loop) -> None:
    """The broker refuses to record what it took: a new connection would not help."""
    loop.command(consume=True)
    loop.tasks.channel.qos.can_consume = lambda: False
    loop.run(3 * PROOF_S)
    assert loop.agent.snapshot is not None
    assert loop.agent.snapshot.read_at == 0.0
